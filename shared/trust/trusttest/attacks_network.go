package trusttest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/theupdateframework/notary/tuf/data"

	"github.com/docker-stig/docker-stig/shared/trust"
)

// Attacks by somebody who answers for the server and has nothing to say.

const (
	// impatience is how long an attacker who gives no answer is waited for.
	impatience = 300 * time.Millisecond
	// maxSent is how many bytes an endless answer may cost whoever reads it:
	// the longest root there may be, and what lies in buffers of TLS and HTTP/2.
	maxSent = 16 << 20
)

// networkAttacks spoil answers on their way.
func networkAttacks() []attack {
	var list []attack
	for _, role := range []data.RoleName{data.CanonicalRootRole, data.CanonicalTimestampRole, data.CanonicalSnapshotRole, data.CanonicalTargetsRole, releases} {
		list = append(list,
			unanswered("endless data: "+string(role), role, endless),
			unanswered("endless data: 100 GB announced of "+string(role), role, announced),
			unanswered("gzip bomb: "+string(role), role, gzipBomb),
			unanswered("slow retrieval: 1 byte a second of "+string(role), role, drip),
			unanswered("slow retrieval: no answer for "+string(role), role, silence),
			unanswered("wrong length: too short, "+string(role), role, func(*testing.T) http.HandlerFunc { return text(`{"signed":{"_type":"`) }),
		)
	}
	return append(list,
		redirect("redirect to another host", func(other string) string { return "https://" + other }),
		redirect("redirect to another host, without TLS", func(other string) string { return "http://" + other }),
		attack{
			name: "redirect in a circle",
			do: func(_ *testing.T, a *arena) {
				a.Fault(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) })
			},
			fresh: refused(trust.Unreachable),
		},
		attack{
			name:  "duplicate JSON keys: signed stands twice in the root",
			do:    func(_ *testing.T, a *arena) { a.Spoil(a.gun, data.CanonicalRootRole, signedTwice) },
			fresh: refused(trust.Unreachable),
		},
		attack{
			name:  "duplicate JSON keys: signed stands twice in the timestamp",
			do:    func(_ *testing.T, a *arena) { a.Spoil(a.gun, data.CanonicalTimestampRole, signedTwice) },
			fresh: refused(trust.Unreachable),
		},
	)
}

// unanswered is an attack after which a machine that knows the repository
// goes on with what it has verified.
func unanswered(name string, role data.RoleName, handler func(*testing.T) http.HandlerFunc) attack {
	return attack{
		name:     name,
		do:       func(t *testing.T, a *arena) { t.Helper(); a.answer(role, handler(t)) },
		fresh:    refused(trust.Unreachable),
		patience: impatience,
	}
}

// A meter counts what is sent, and fails the test if it was too much.
func meter(t *testing.T) *atomic.Int64 {
	t.Helper()
	sent := new(atomic.Int64)
	t.Cleanup(func() {
		if n := sent.Load(); n > maxSent {
			t.Errorf("%d bytes were read of an answer without end, and %d are enough", n, maxSent)
		}
	})
	return sent
}

// pour writes the same bytes again and again, so often and no longer than
// somebody reads.
func pour(w http.ResponseWriter, r *http.Request, sent *atomic.Int64, chunk []byte, times int64) {
	for ; times > 0 && r.Context().Err() == nil; times-- {
		n, err := w.Write(chunk)
		sent.Add(int64(n))
		if err != nil {
			return
		}
	}
}

const (
	gigabyte = 1 << 30
	forever  = 1 << 62
)

// endless begins like metadata and has no end.
func endless(t *testing.T) http.HandlerFunc {
	t.Helper()
	sent := meter(t)
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"signed":{"_type":"Root","version":1,"roles":[`)
		pour(w, r, sent, bytes.Repeat([]byte("[],"), 1<<14), forever)
	}
}

// announced says beforehand how much it will be.
func announced(t *testing.T) http.HandlerFunc {
	t.Helper()
	sent := meter(t)
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.FormatInt(100*gigabyte, 10))
		pour(w, r, sent, bytes.Repeat([]byte(" "), 1<<16), 100*gigabyte>>16)
	}
}

// gzipBomb sends 10 GB of zeros in 10 MB: a MiB of them in each of 10,240
// members, which readers of gzip put together.
func gzipBomb(t *testing.T) http.HandlerFunc {
	t.Helper()
	var member bytes.Buffer
	zip := gzip.NewWriter(&member)
	if _, err := zip.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	sent := meter(t)
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		pour(w, r, sent, member.Bytes(), 10*gigabyte>>20)
	}
}

// drip sends a byte a second.
func drip(*testing.T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			if _, err := io.WriteString(w, " "); err != nil || http.NewResponseController(w).Flush() != nil {
				return
			}
			select {
			case <-r.Context().Done():
				return
			case <-tick.C:
			}
		}
	}
}

func silence(*testing.T) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
}

func text(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, body)
	}
}

// redirect leads to a server that gives the very same answers, and must not
// be asked.
func redirect(name string, to func(host string) string) attack {
	return attack{
		name: name,
		do: func(t *testing.T, a *arena) {
			t.Helper()
			asked := new(atomic.Int64)
			other := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
			t.Cleanup(other.Close)
			t.Cleanup(func() {
				if asked.Load() > 0 {
					t.Errorf("a host that the policy does not name was asked %d times", asked.Load())
				}
			})
			a.Fault(func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, to(other.Listener.Addr().String())+r.URL.Path, http.StatusFound)
			})
		},
		fresh: refused(trust.Unreachable),
	}
}

// signedTwice puts a forged signed part before the good one: who reads the
// first of two equal members, or merges them, sees what nobody signed.
func signedTwice(raw []byte) []byte {
	return []byte(fmt.Sprintf(`{"signed":{"version":9},%s`, strings.TrimPrefix(string(raw), "{")))
}
