package guard

import (
	"io"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestStarts(t *testing.T) {
	t.Parallel()
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	for name, test := range map[string]struct {
		pieces []string
		answer string // part of it; "" is passed on
		log    string
	}{
		"GET":                       {pieces: []string{"GET /_ping"}},
		"HEAD":                      {pieces: []string{"HEAD /_ping"}},
		"POST":                      {pieces: []string{"POST /containers/create"}},
		"PUT":                       {pieces: []string{"PUT /containers/a/archive"}},
		"DELETE":                    {pieces: []string{"DELETE /containers/a"}},
		"OPTIONS":                   {pieces: []string{"OPTIONS /"}},
		"a byte at a time":          {pieces: strings.Split("POST /build", "")},
		"as the preface, at first":  {pieces: []string{"P", "U", "T", " /"}},
		"upgrade":                   {pieces: []string{"POST /grpc HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"}},
		"preface":                   {[]string{preface}, "by an upgrade of POST /grpc", "HTTP/2 on the engine's socket"},
		"preface, a byte at a time": {strings.Split(preface, ""), "by an upgrade of POST /grpc", "HTTP/2 on the engine's socket"},
		"preface with a request":    {[]string{preface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"}, "by an upgrade of POST /grpc", "HTTP/2"},
		"preface without its end":   {[]string{"PRI * HTTP/1.1\r\n\r\n"}, "by an upgrade of POST /grpc", "HTTP/2"},
		"preface behind a line":     {[]string{"\r\n" + preface}, "400 Bad Request", "no HTTP/1 request"},
		"request behind a line":     {[]string{"\r\nGET / HTTP/1.1\r\n\r\n"}, "400 Bad Request", "no HTTP/1 request"},
		"lower case":                {[]string{"get / HTTP/1.1\r\n\r\n"}, "400 Bad Request", "no HTTP/1 request"},
		"frames without a preface":  {[]string{"\x00\x00\x00\x04\x00\x00\x00\x00\x00"}, "400 Bad Request", "no HTTP/1 request"},
		"TLS":                       {[]string{"\x16\x03\x01\x02\x00\x01"}, "400 Bad Request", "no HTTP/1 request"},
		"a method without routes":   {[]string{"CONNECT x:1 HTTP/1.1\r\n\r\n"}, "400 Bad Request", "no HTTP/1 request"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := start(t, nil)
			client := connect(t, g.public)
			for _, piece := range test.pieces {
				if _, err := io.WriteString(client, piece); err != nil && test.answer == "" {
					t.Fatal(err)
				}
				runtime.Gosched()
			}
			if test.answer == "" {
				want(t, g.accept(t), strings.Join(test.pieces, ""))
				g.logged(t, "connection passed on")
				return
			}
			_ = client.CloseWrite()
			if got := wantEnd(t, client); !strings.Contains(got, test.answer) {
				t.Errorf("the client reads %q, want %q in it", got, test.answer)
			}
			g.logged(t, test.log)
			g.wantNothing(t)
		})
	}
}

func TestBeginningsThatDoNotCome(t *testing.T) {
	t.Parallel()
	impatient := func(g *guarded) { g.firstBytesWithin = 30 * time.Millisecond }
	for name, test := range map[string]struct {
		change func(*guarded)
		sends  string
		ends   bool
		log    string
	}{
		"nothing":               {change: impatient},
		"too little":            {change: impatient, sends: "GE", log: "2 bytes came"},
		"nothing and its end":   {ends: true},
		"too little and an end": {sends: "PRI", ends: true, log: "3 bytes came"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := start(t, test.change)
			client := connect(t, g.public)
			if test.sends != "" {
				send(t, client, test.sends)
			}
			if test.ends {
				_ = client.CloseWrite()
			}
			if got := wantEnd(t, client); got != "" {
				t.Errorf("the client reads %q", got)
			}
			g.wantNothing(t)
			if test.log != "" {
				g.logged(t, test.log)
			}
		})
	}
}
