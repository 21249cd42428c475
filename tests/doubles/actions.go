package doubles

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
)

const maxUpload = 4 << 20 // bytes of what a double reads of a request

// actions are the faults that take the handler's place.
var actions = map[Fault]func(*server, http.ResponseWriter, *http.Request){
	Unauthorized: func(_ *server, w http.ResponseWriter, _ *http.Request) {
		writeError(w, http.StatusUnauthorized, "UNAUTHORIZED", "the double was told to refuse")
	},
	Forbidden: func(_ *server, w http.ResponseWriter, _ *http.Request) {
		writeError(w, http.StatusForbidden, "NOT_AUTHORIZED", "the double was told to refuse")
	},
	NotFound: func(_ *server, w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) },
	ServerError: func(_ *server, w http.ResponseWriter, _ *http.Request) {
		writeError(w, http.StatusInternalServerError, "INTERNAL_ERROR", "the double was told to fail")
	},
	HTML: func(_ *server, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "<!DOCTYPE html><html><title>Sign in</title></html>\n")
	},
	Silence:    func(s *server, _ http.ResponseWriter, r *http.Request) { s.silent(r) },
	SilentBody: silentBody,
	Endless:    endless,
	Redirect: func(_ *server, w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://elsewhere.example.com"+r.URL.Path, http.StatusTemporaryRedirect)
	},
	Echo: echo,
}

// silent returns when the client or the double goes.
func (s *server) silent(r *http.Request) {
	_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, maxUpload)) // or the client's leaving goes unnoticed
	select {
	case <-r.Context().Done():
	case <-s.closed:
	}
}

func silentBody(s *server, w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush() // the client may be gone
	s.silent(r)
}

// endless writes until the client has had enough.
func endless(s *server, w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	chunk := []byte(strings.Repeat(" ", 64<<10))
	for r.Context().Err() == nil {
		if _, err := w.Write(chunk); err != nil {
			return
		}
		select {
		case <-s.closed:
			return
		default:
		}
	}
}

// echo is the server that would leak what it was sent.
func echo(_ *server, w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, maxUpload)) // what there is will do
	w.WriteHeader(http.StatusInternalServerError)
	_, _ = fmt.Fprintf(w, "cannot handle %s %s with Authorization %s and body %s\n",
		r.Method, r.URL.Path, r.Header.Get("Authorization"), body)
}

// A cutter keeps what a handler writes and sends half of it.
type cutter struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

// WriteHeader keeps the status for later.
func (c *cutter) WriteHeader(status int) { c.status = status }

// Write keeps the bytes for later.
func (c *cutter) Write(b []byte) (int, error) { return c.body.Write(b) }

// end sends half the body: as if it were all, or with a length that promises
// the rest and a connection that ends.
func (c *cutter) end(promise bool) {
	whole := c.body.Bytes()
	if promise {
		c.Header().Set("Content-Length", fmt.Sprint(len(whole)))
	}
	if c.status != 0 {
		c.ResponseWriter.WriteHeader(c.status)
	}
	_, _ = c.ResponseWriter.Write(whole[:len(whole)/2]) // the client may be gone
	if promise {
		_ = http.NewResponseController(c.ResponseWriter).Flush()
		panic(http.ErrAbortHandler) // net/http's way to end a connection early
	}
}
