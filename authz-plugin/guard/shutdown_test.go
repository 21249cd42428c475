package guard

import (
	"context"
	"testing"
	"time"
)

func TestShutdown(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	idle, silent, owed := connect(t, g.public), connect(t, g.public), connect(t, g.public)
	send(t, idle, "GET /")
	engineIdle := g.accept(t)
	want(t, engineIdle, "GET /")
	send(t, engineIdle, "answer")
	want(t, idle, "answer")
	send(t, owed, "POST /containers/a/wait")
	engineOwed := g.accept(t)
	want(t, engineOwed, "POST /containers/a/wait")

	_ = g.listener.Close()
	if err := <-g.served; err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	cut := make(chan int, 1)
	go func() { cut <- g.Shutdown(ctx) }()
	wantEnd(t, idle)
	wantEnd(t, engineIdle)
	wantEnd(t, silent)
	select {
	case <-cut:
		t.Fatal("one that was owed an answer was not waited for")
	default:
	}
	send(t, engineOwed, "answer")
	want(t, owed, "answer")
	wantEnd(t, owed)
	if n := <-cut; n != 0 {
		t.Errorf("%d connections were cut", n)
	}
}

func TestShutdownCutsWhatDoesNotEnd(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	stream := connect(t, g.public)
	send(t, stream, "GET /events")
	g.accept(t)
	g.logged(t, "connection passed on")
	_ = g.listener.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if n := g.Shutdown(ctx); n != 1 {
		t.Errorf("%d connections were cut, want 1", n)
	}
	wantEnd(t, stream)
}
