package guard

import (
	"crypto/rand"
	"crypto/sha256"
	"io"
	"net"
	"runtime"
	"testing"
	"time"
)

func TestBytesAndEndsPassBothWays(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	client := connect(t, g.public)
	send(t, client, "POST /attach")
	there := g.accept(t)
	want(t, there, "POST /attach")
	send(t, there, "hello")
	want(t, client, "hello")

	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest := wantEnd(t, there); rest != "" {
		t.Errorf("the engine got %q", rest)
	}
	send(t, there, "output after the input's end")
	want(t, client, "output after the input's end")
	if err := there.Close(); err != nil {
		t.Fatal(err)
	}
	wantEnd(t, client)
}

func TestTheEngineMayEndFirst(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	client := connect(t, g.public)
	send(t, client, "POST /exec")
	there := g.accept(t)
	want(t, there, "POST /exec")
	if err := there.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	wantEnd(t, client)
	send(t, client, "input after the output's end")
	want(t, there, "input after the output's end")
}

// TestWhoIsGoneIsGone: a side that closed altogether is not half open for the
// other, as it would not be without the guard.
func TestWhoIsGoneIsGone(t *testing.T) {
	t.Parallel()
	for name, pick := range map[string]func(client, there *net.UnixConn) (goes, stays *net.UnixConn){
		"client": func(client, there *net.UnixConn) (*net.UnixConn, *net.UnixConn) { return client, there },
		"engine": func(client, there *net.UnixConn) (*net.UnixConn, *net.UnixConn) { return there, client },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := start(t, nil)
			client := connect(t, g.public)
			send(t, client, "GET /")
			there := g.accept(t)
			want(t, there, "GET /")
			goes, stays := pick(client, there)
			send(t, goes, "last words")
			if err := goes.Close(); err != nil {
				t.Fatal(err)
			}
			if got := wantEnd(t, stays); got != "last words" {
				t.Errorf("got %q", got)
			}
			for deadline := time.Now().Add(soon); !gone(stays); runtime.Gosched() {
				if time.Now().After(deadline) {
					t.Fatal("half open")
				}
			}
		})
	}
}

// TestAnAnswerDuringAnUploadArrives: an engine that refuses a long body
// answers, and hangs up without having read it.
func TestAnAnswerDuringAnUploadArrives(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	for range 50 {
		client := connect(t, g.public)
		sent := make(chan error, 1)
		go func() {
			_, err := client.Write(append([]byte("POST /build"), make([]byte, 4<<20)...))
			sent <- err
		}()
		there := g.accept(t)
		want(t, there, "POST /build")
		send(t, there, "HTTP/1.1 403 Forbidden")
		if err := there.Close(); err != nil {
			t.Fatal(err)
		}
		if got := wantEnd(t, client); got != "HTTP/1.1 403 Forbidden" {
			t.Fatalf("the client reads %q", got)
		}
		if err := <-sent; err == nil {
			t.Error("all of it was taken")
		}
	}
}

func TestMuchBothWays(t *testing.T) {
	t.Parallel()
	const size = 32 << 20 // bytes
	g := start(t, nil)
	client := connect(t, g.public)
	send(t, client, "POST")
	there := g.accept(t)
	want(t, there, "POST")
	sums := make(chan [2][32]byte, 2)
	for _, ends := range [][2]*net.UnixConn{{client, there}, {there, client}} {
		sent := make(chan [32]byte, 1)
		go func() {
			data := make([]byte, size)
			_, _ = rand.Read(data)
			_, _ = ends[0].Write(data)
			_ = ends[0].CloseWrite()
			sent <- sha256.Sum256(data)
		}()
		go func() {
			sum := sha256.New()
			_, _ = io.Copy(sum, ends[1])
			sums <- [2][32]byte{<-sent, [32]byte(sum.Sum(nil))}
		}()
	}
	for range 2 {
		if sum := <-sums; sum[0] != sum[1] {
			t.Error("what arrived is not what was sent")
		}
	}
}
