package notary_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/disktest"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/notary"
	"github.com/opencontainers/go-digest"
)

// TestServerDiesAtEachRequest: whichever request is the last one answered, the
// digest is the one known before or the one signed since, and never another.
func TestServerDiesAtEachRequest(t *testing.T) {
	t.Parallel()
	for name, die := range map[string]http.HandlerFunc{
		"hangs up":      func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"500":           status(http.StatusInternalServerError),
		"404":           status(http.StatusNotFound),
		"half the body": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"signed":{"_type":`)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for alive := range int64(8) {
				b := newBench(t)
				var known []digest.Digest
				if alive%2 == 0 { // half of them have been asked before
					_, err := b.verify(t, gun+":v1")
					must(t, err)
					known = append(known, good)
				}
				b.Sign("v1", other, "targets/releases", "targets/alice")
				b.Publish()
				known = append(known, other)
				state, left := b.server.State(), atomic.Int64{}
				left.Store(alive)
				b.server.Fault(func(w http.ResponseWriter, r *http.Request) {
					if left.Add(-1) < 0 {
						die(w, r)
						return
					}
					_, _ = w.Write(state[r.URL.Path])
				})
				signed, err := b.verify(t, gun+":v1")
				wantOneOf(t, signed, err, known)
				b.server.Fault(nil)
				signed, err = b.verify(t, gun+":v1")
				must(t, err)
				wantOneOf(t, signed, err, []digest.Digest{other})
			}
		})
	}
}

func wantOneOf(t *testing.T, signed trust.Signed, err error, allowed []digest.Digest) {
	t.Helper()
	if err != nil {
		return
	}
	for _, dgst := range allowed {
		if signed.Digest == dgst {
			return
		}
	}
	t.Errorf("vouched for %s, want one of %v or a refusal", signed.Digest, allowed)
}

// TestKilledProcess kills verifiers in the middle of their work on one cache.
// What they leave is whole, and binds those after them.
func TestKilledProcess(t *testing.T) {
	t.Parallel()
	if os.Getenv("STIG_VERIFY_FOREVER") != "" {
		verifyForever()
	}
	b := newBench(t)
	b.opts.Timeout = 20 * time.Second
	var log bytes.Buffer
	b.opts.Log = slog.New(slog.NewTextHandler(&log, nil))
	for round := range 8 {
		killed := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledProcess$")
		killed.Env = append(os.Environ(), "STIG_VERIFY_FOREVER="+strings.Join([]string{b.opts.CacheDir, b.server.URL, b.server.CA, b.RootKeyID()}, " "))
		must(t, killed.Start())
		deadline := time.Now().Add(time.Duration(20+rand.IntN(120)) * time.Millisecond)
		for time.Now().Before(deadline) {
			b.Sign("v1", digest.FromString(fmt.Sprint(round, time.Now())), "targets/releases", "targets/alice")
			b.Publish()
		}
		must(t, killed.Process.Kill())
		_ = killed.Wait()

		last := b.server.State()
		b.Sign("v1", other, "targets/releases", "targets/alice")
		b.Publish()
		signed, err := b.verify(t, gun+":v1")
		must(t, err)
		wantOneOf(t, signed, err, []digest.Digest{other})
		newest := b.server.State()
		b.server.SetState(last)
		_, err = b.verify(t, gun+":v1")
		wantReason(t, err, trust.Rollback)
		b.server.SetState(newest)
	}
	if text := log.String(); strings.Contains(text, "unreadable") {
		t.Errorf("a kill left half a file: %s", text)
	}
}

// verifyForever is the process that is killed.
func verifyForever() {
	args := strings.Fields(os.Getenv("STIG_VERIFY_FOREVER"))
	scope := notary.Scope{Pattern: gun, Servers: []string{args[1]}, CA: args[2], RootKeys: []string{args[3]}}
	for {
		v := notary.New(notary.Options{Now: time.Now, CacheDir: args[0]})
		_, _ = v.Inspect(context.Background(), named(gun+":v1"), scope)
	}
}

// TestFullDisk: a disk without room costs no question its answer, and what was
// kept before stays whole.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.opts.CacheDir = filepath.Join(disktest.New(t, 128), "trust")
	_, err := b.verify(t, gun+":v1")
	must(t, err)
	disktest.Fill(t, filepath.Dir(b.opts.CacheDir))
	before := b.server.State()
	b.Sign("v1", other, "targets/releases", "targets/alice")
	b.Publish()
	v := notary.New(b.opts)
	for range 2 {
		signed, err := b.verifyWith(t, v, gun+":v1")
		must(t, err)
		wantOneOf(t, signed, err, []digest.Digest{other})
	}
	b.server.SetState(before)
	_, err = b.verifyWith(t, v, gun+":v1")
	wantReason(t, err, trust.Rollback) // this process has seen more than the disk
	b.server.Fault(status(http.StatusServiceUnavailable))
	signed, err := b.verify(t, gun+":v1")
	must(t, err) // and what is on the disk can still be read
	wantOneOf(t, signed, err, []digest.Digest{good})
}

// TestDiskTurnsReadOnly in the middle of everything.
func TestDiskTurnsReadOnly(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	disk := disktest.New(t, 128)
	b.opts.CacheDir = filepath.Join(disk, "trust")
	v := notary.New(b.opts)
	before := b.server.State()
	_, err := b.verifyWith(t, v, gun+":v1")
	must(t, err)
	disktest.ReadOnly(t, disk)
	b.Sign("v1", other, "targets/releases", "targets/alice")
	b.Publish()
	_, err = b.verifyWith(t, v, gun+":v1")
	must(t, err)
	b.server.SetState(before)
	_, err = b.verifyWith(t, v, gun+":v1")
	wantReason(t, err, trust.Rollback)
}
