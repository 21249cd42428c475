package manifests_test

import (
	"bytes"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust/manifests"
	"github.com/opencontainers/go-digest"
)

func TestFetch(t *testing.T) {
	t.Parallel()
	raw := image("a")
	named, err := reference.ParseNormalizedNamed("registry.example.com/team/app")
	if err != nil {
		t.Fatal(err)
	}
	ref, err := reference.WithDigest(named, digest.FromBytes(raw))
	if err != nil {
		t.Fatal(err)
	}
	answer := func(code int, body []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = w.Write(body)
		}
	}
	cases := map[string]struct {
		handler http.HandlerFunc
		err     string
		missing bool
	}{
		"there":         {handler: answer(http.StatusOK, raw)},
		"not there":     {handler: answer(http.StatusNotFound, nil), err: "does not have it", missing: true},
		"login":         {handler: answer(http.StatusUnauthorized, nil), err: "docker login"},
		"too often":     {handler: answer(http.StatusTooManyRequests, nil), err: "limits"},
		"broken":        {handler: answer(http.StatusBadGateway, nil), err: "502 Bad Gateway"},
		"other bytes":   {handler: answer(http.StatusOK, image("b")), err: "the answer has the digest"},
		"endless":       {handler: answer(http.StatusOK, make([]byte, manifests.MaxSize+1)), err: "4 MiB"},
		"break off":     {handler: breakOff, err: "broke off"},
		"hang up":       {handler: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, err: "EOF"},
		"secret in URL": {handler: redirectToSecret, err: "refused"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/v2/team/app/manifests/"+ref.Digest().String() || len(r.Header["Accept"]) != 4 {
					t.Errorf("the registry is asked for %s, accepting %v", r.URL.Path, r.Header["Accept"])
				}
				c.handler(w, r)
			}))
			defer server.Close()
			got, err := manifests.Fetch(t.Context(), server.Client(), server.URL, ref)
			if c.err == "" && (err != nil || !bytes.Equal(got, raw)) {
				t.Errorf("Fetch gives %s, %v", got, err)
			}
			if c.err != "" && (err == nil || got != nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("Fetch gives the error %v, want one with %q", err, c.err)
			}
			if errors.Is(err, fs.ErrNotExist) != c.missing {
				t.Errorf("the error %v: is fs.ErrNotExist should be %v", err, c.missing)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error tells a secret: %v", err)
			}
		})
	}
}

func breakOff(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "1000")
	_, _ = w.Write([]byte("{"))
}

// redirectToSecret sends the client where nobody listens.
func redirectToSecret(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, "http://127.0.0.1:1/?token=hunter2", http.StatusTemporaryRedirect)
}
