package notary_test

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/notary"
	"github.com/opencontainers/go-digest"
	"github.com/theupdateframework/notary/tuf/data"
)

// Ways past what was seen before, and past the clock.

// TestSharedKeyIsNoWayBack: while one of a role's keys stays, the versions that
// it signed bind. Only when all are replaced the count starts anew.
func TestSharedKeyIsNoWayBack(t *testing.T) {
	t.Parallel()
	for name, between := range map[string]bool{"with a look in between": true, "at once": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			leaves := b.Threshold("targets/alice", 1)
			b.Publish()
			old := b.Served("targets/alice")
			b.Sign("v1", other, "targets/alice")
			b.Publish()
			b.scope.Signers = []string{"alice"}
			_, err := b.verify(t, gun+":v1")
			must(t, err)
			must(t, b.TUF.UpdateDelegationKeys("targets/alice", nil, []string{leaves.ID()}, 1))
			b.Publish()
			if between {
				_, err = b.verify(t, gun+":v1")
				must(t, err)
			}
			b.ServeRaw("targets/alice", old)
			_, err = b.verify(t, gun+":v1")
			wantReason(t, err, trust.Rollback)
		})
	}
}

// TestFloorIsNotLostBetweenProcesses: of two that write at the same time, the
// one that was denied a role does not make the other's look at it forgotten.
func TestFloorIsNotLostBetweenProcesses(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.opts.Timeout = 20 * time.Second
	b.Delegate("targets/bob")
	b.Sign("v1", good, "targets/bob")
	b.Publish()
	old := b.Served("targets/bob")
	b.Sign("v1", other, "targets/bob")
	b.Publish()
	state := b.server.State()
	held, release := make(chan struct{}, 1), make(chan struct{})
	b.server.Fault(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Path, "targets/bob") {
			_, _ = w.Write(state[r.URL.Path])
			return
		}
		select {
		case held <- struct{}{}:
		default:
		}
		<-release
		w.WriteHeader(http.StatusNotFound)
	})
	ended := make(chan error)
	go func() {
		_, err := notary.New(b.opts).Verify(t.Context(), trust.Question{Ref: named(gun + ":v1")}, b.scope)
		ended <- err
	}()
	<-held
	b.server.Fault(nil)
	_, err := b.verify(t, gun+":v1") // sees what bob signed last, and keeps it
	must(t, err)
	close(release)
	must(t, <-ended)
	b.ServeRaw("targets/bob", old)
	b.scope.Signers = []string{"bob"}
	_, err = b.verify(t, gun+":v1")
	wantReason(t, err, trust.Rollback)
}

// TestUnreadableCacheIsNotAnEmptyOne: as long as nobody can tell which versions
// were seen, none is accepted. There may be no descriptor free.
func TestUnreadableCacheIsNotAnEmptyOne(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	v := notary.New(b.opts)
	b.rollBack(t, v)
	file := notary.CacheFile(b.opts.CacheDir, gun)
	must(t, os.Rename(file, file+".aside"))
	must(t, os.Symlink(file, file)) // is there, and opens for nobody
	for _, v := range []*notary.Verifier{v, notary.New(b.opts)} {
		_, err := b.verifyWith(t, v, gun+":v1")
		wantReason(t, err, trust.Unreachable)
	}
	must(t, os.Rename(file+".aside", file))
	_, err := b.verifyWith(t, v, gun+":v1")
	wantReason(t, err, trust.Rollback)
}

// TestClockSetBackUnderADaemon: what a process has confirmed from hour to hour
// counts, although the server gave nothing new all the while.
func TestClockSetBackUnderADaemon(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.opts.Refresh = time.Minute
	began := b.now
	b.Expires["timestamp"] = began.Add(24 * time.Hour)
	b.Publish()
	daemon := notary.New(b.opts)
	for _, hours := range []time.Duration{0, 6, 12, 18, 23} {
		b.now = began.Add(hours * time.Hour)
		_, err := b.verifyWith(t, daemon, gun+":v1")
		must(t, err)
	}
	b.now = began.Add(time.Hour)
	b.Expires["timestamp"] = began.Add(2 * time.Hour)
	b.Publish()
	b.now = b.now.Add(2 * time.Minute)
	for _, v := range []*notary.Verifier{daemon, notary.New(b.opts)} {
		_, err := b.verifyWith(t, v, gun+":v1")
		wantReason(t, err, trust.Expired)
	}
}

// TestEndedPinIsNoPin: the certificate of a pinned key ends for a process that
// has known it for long as for one that starts.
func TestEndedPinIsNoPin(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.opts.Refresh = time.Minute
	for _, role := range append([]data.RoleName{"targets/releases", "targets/alice"}, data.BaseRoles...) {
		b.Expires[role] = b.now.AddDate(20, 0, 0)
	}
	b.Publish()
	b.now = b.now.AddDate(9, 0, 0) // of the ten that it is good for
	daemon := notary.New(b.opts)
	_, err := b.verifyWith(t, daemon, gun+":v1")
	must(t, err)
	b.now = b.now.AddDate(2, 0, 0)
	for name, v := range map[string]*notary.Verifier{"daemon": daemon, "fresh process": notary.New(b.opts)} {
		if signed, err := b.verifyWith(t, v, gun+":v1"); err == nil {
			t.Errorf("%s: accepted: %+v", name, signed)
		}
	}
}

// TestSecondImportIsNoServer: importing a bundle again does not make of it what
// a server has confirmed.
func TestSecondImportIsNoServer(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	carried, _, err := notary.New(b.opts).Copy(t.Context(), named(gun), b.scope)
	must(t, err)
	b.opts.CacheDir = t.TempDir()
	b.scope.Servers = nil
	for range 3 {
		_, err = notary.New(b.opts).Adopt(t.Context(), named(gun), b.scope, carried)
		must(t, err)
		found, err := notary.New(b.opts).Kept(t.Context(), named(gun), b.scope)
		must(t, err)
		if found.Source != trust.Bundle {
			t.Errorf("source %q, want %q", found.Source, trust.Bundle)
		}
		signed, err := b.verify(t, gun+":v1")
		must(t, err)
		if signed.Source != trust.Bundle {
			t.Errorf("answered from %q, want %q", signed.Source, trust.Bundle)
		}
	}
}

// TestIDThatIsNoDigest: whatever an engine calls its content, it is refused and
// ends no process.
func TestIDThatIsNoDigest(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, id := range []digest.Digest{
		"abc", ":", "sha256", "sha256:", "sha256:x", "sha512:" + digest.Digest(good.Encoded()),
		"sha256:" + digest.Digest(strings.Repeat("ab", 100)), "sha256:" + digest.Digest(strings.Repeat("zz", 32)),
	} {
		for _, store := range []trust.Store{trust.ContainerdStore, trust.GraphdriverStore} {
			content := trust.Content{ID: id, Store: store, RepoDigests: []string{gun + "@" + string(id)}}
			for image, want := range map[string]trust.Reason{gun: trust.Unsigned, gun + ":v1": trust.DigestMismatch} {
				_, err := b.verify(t, image, content)
				wantReason(t, err, want)
			}
		}
	}
}

// TestCapitalsAreAnotherText: a digest is one text, or what is revoked by it
// could be asked for by another.
func TestCapitalsAreAnotherText(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	capitals := digest.Digest("sha256:" + strings.ToUpper(good.Encoded()))
	_, err := b.verify(t, gun, trust.Content{ID: capitals, Store: trust.ContainerdStore})
	wantReason(t, err, trust.Unsigned)
}
