package signing

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust/trusttest"
	"github.com/opencontainers/go-digest"
	"github.com/theupdateframework/notary/tuf/data"
)

const gun = "registry.example.com/prod/app"

// A world is a repository that the fake trust server serves, a signer with a
// delegation in it, and what was sent there. The server takes whatever it is
// sent and goes on serving what it had: a real one is asked in tests/engine.
type world struct {
	*trusttest.Repository
	signer *Signer
	server Server

	mu   sync.Mutex
	sent []string // bodies
}

func newWorld(t *testing.T, answer http.HandlerFunc) *world {
	t.Helper()
	notary := trusttest.NewNotary(t)
	w := &world{Repository: notary.NewRepository(t, gun)}
	front := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/v2/":
		case r.Method != http.MethodPost:
			notary.ServeHTTP(rw, r)
		default:
			raw, _ := io.ReadAll(r.Body)
			w.mu.Lock()
			w.sent = append(w.sent, string(raw))
			w.mu.Unlock()
			if answer != nil {
				answer(rw, r)
			}
		}
	}))
	t.Cleanup(front.Close)
	w.server = Server{URL: front.URL, CA: caOf(t, front)}
	w.signer = newSigner(t, func(reference.Named) (Server, error) { return w.server, nil })
	return w
}

func newSigner(t *testing.T, server func(reference.Named) (Server, error)) *Signer {
	t.Helper()
	s, err := New(Options{
		Dir: t.TempDir(), Server: server, Timeout: 5 * time.Second,
		Passphrases: &Passphrases{Env: func(string) string { return "a passphrase" }},
		wait:        func(ctx context.Context, _ time.Duration) bool { return ctx.Err() == nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func caOf(t *testing.T, server *httptest.Server) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, certificatePEM(server), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// delegate makes qa a signer, with its keys in the folder.
func (w *world) delegate(t *testing.T) {
	t.Helper()
	for _, role := range []data.RoleName{releasesRole, roleOf("qa")} {
		key := w.Delegate(role)
		private, _, err := w.Keys.GetPrivateKey(key.ID())
		if err != nil {
			t.Fatal(err)
		}
		if err := w.signer.keep("qa", private); err != nil {
			t.Fatal(err)
		}
	}
}

func target(tag string) Target {
	return Target{GUN: gun, Tag: tag, Digest: digest.FromString(tag), Size: 528}
}

func (w *world) publish(t *testing.T, targets ...Target) Result {
	t.Helper()
	results := w.signer.Publish(t.Context(), targets, Order{Signer: "qa"})
	if len(results) != 1 {
		t.Fatalf("%d results", len(results))
	}
	return results[0]
}

// TestPublishedIsServed wants no success unless the server serves what it took.
func TestPublishedIsServed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.delegate(t)
	w.Sign("1", digest.FromString("1"), releasesRole, roleOf("qa"))
	w.Publish()
	got := w.publish(t, target("2"))
	if !errors.Is(got.Err, errConflict) || len(got.Failed) != 1 || len(got.Published) != 0 {
		t.Errorf("the server never served it: %+v", got)
	}
	if len(w.sent) != maxChanges {
		t.Errorf("sent %d times, want %d", len(w.sent), maxChanges)
	}
	for _, role := range []string{"targets/releases", "targets/qa"} {
		if !strings.Contains(w.sent[0], `filename="`+role+`"`) {
			t.Errorf("%s was not sent", role)
		}
	}
}

func TestUnchangedIsNotSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.delegate(t)
	w.Sign("1", digest.FromString("1"), releasesRole, roleOf("qa"))
	w.Publish()
	if got := w.publish(t, target("1")); got.Err != nil || len(got.Unchanged) != 1 || len(w.sent) != 0 {
		t.Errorf("%+v, sent %d", got, len(w.sent))
	}
}

// TestExpiringIsSignedAnew signs the same again when it does not last.
func TestExpiringIsSignedAnew(t *testing.T) {
	t.Parallel()
	for name, expires := range map[string]time.Time{
		"soon": time.Now().Add(24 * time.Hour), "expired": time.Now().Add(-time.Hour),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.delegate(t)
			w.Expires[releasesRole] = expires
			w.Sign("1", digest.FromString("1"), releasesRole, roleOf("qa"))
			w.Sign("old", digest.FromString("old"), releasesRole)
			w.Publish()
			w.publish(t, target("1"))
			if len(w.sent) == 0 || !strings.Contains(w.sent[0], `"old":`) {
				t.Errorf("want the role sent, with what was in it: %.300q", w.sent)
			}
		})
	}
}

// TestStrangersTargetsAreNotSignedOver has a server serve a delegation that a
// stranger signed. To add to it would vouch for the stranger's tags.
func TestStrangersTargetsAreNotSignedOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.delegate(t)
	w.Sign("evil", digest.FromString("evil"), releasesRole)
	w.Publish()
	w.Replace(releasesRole, w.SignWith(releasesRole, w.NewKey(targetsRole)))
	got := w.publish(t, target("2"))
	if got.Err == nil || !strings.Contains(got.Err.Error(), "does not verify") || len(w.sent) != 0 {
		t.Errorf("%v, sent %d", got.Err, len(w.sent))
	}
}

// TestForgottenRepositoryIsNotBegun wants no second root for a repository that
// was seen before.
func TestForgottenRepositoryIsNotBegun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.delegate(t)
	w.Sign("1", digest.FromString("1"), releasesRole, roleOf("qa"))
	w.Publish()
	if got := w.publish(t, target("1")); got.Err != nil {
		t.Fatal(got.Err)
	}
	empty := newWorld(t, nil)
	w.server = empty.server
	got := w.publish(t, target("1"))
	if got.Err == nil || !strings.Contains(got.Err.Error(), "no longer has the signatures") || len(empty.sent) != 0 {
		t.Errorf("%v, sent %d", got.Err, len(empty.sent))
	}
}

// TestOtherRootIsRefused wants the root that was seen first, or one that it
// leads to.
func TestOtherRootIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.delegate(t)
	w.Sign("1", digest.FromString("1"), releasesRole, roleOf("qa"))
	w.Publish()
	if got := w.publish(t, target("1")); got.Err != nil {
		t.Fatal(got.Err)
	}
	other := newWorld(t, nil)
	other.delegate(t)
	other.Publish()
	w.server = other.server
	if got := w.publish(t, target("2")); got.Err == nil || len(other.sent) != 0 {
		t.Errorf("%v, sent %d", got.Err, len(other.sent))
	}
}

// TestRefusals wants words with a next step for each answer of a server.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		code int
		body string
		want string
	}{
		"401":         {401, "", "it wants a login for registry.example.com/prod/app (401)"},
		"403":         {403, "", "does not let this login sign"},
		"500":         {500, "a secret", "answers 500 Internal Server Error"},
		"302":         {302, "", "name the server itself"},
		"old version": {400, `{"errors":[{"code":"VERSION","message":"x","detail":{}}]}`, "somebody else publishes"},
		"refused":     {400, `{"errors":[{"code":"BAD_TARGETS","message":"x"}]}`, "refuses what was signed for " + gun + " (BAD_TARGETS)"},
		"odd code":    {400, `{"errors":[{"code":"<script>"}]}`, "answers 400"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("WWW-Authenticate", `Basic realm="x"`)
				rw.WriteHeader(c.code)
				_, _ = io.WriteString(rw, c.body)
			})
			w.delegate(t)
			w.Publish()
			got := w.publish(t, target("1"))
			if got.Err == nil || !strings.Contains(got.Err.Error(), c.want) || strings.Contains(got.Err.Error(), "secret") {
				t.Errorf("want %q, got %v", c.want, got.Err)
			}
		})
	}
}

func TestCheckTargets(t *testing.T) {
	t.Parallel()
	for name, targets := range map[string][]Target{
		"no digest":   {{GUN: gun, Tag: "1", Size: 1}},
		"sha512":      {{GUN: gun, Tag: "1", Digest: digest.SHA512.FromString("x"), Size: 1}},
		"no size":     {{GUN: gun, Tag: "1", Digest: digest.FromString("x")}},
		"no tag":      {{GUN: gun, Digest: digest.FromString("x"), Size: 1}},
		"two digests": {target("1"), {GUN: gun, Tag: "1", Digest: digest.FromString("x"), Size: 1}},
	} {
		if err := checkTargets(targets); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := checkTargets([]Target{target("1"), target("1"), target("2")}); err != nil {
		t.Error(err)
	}
}

func TestCheckName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "releases", "root", "targets", "Alice", "../x", "a b", "-a", strings.Repeat("a", 101)} {
		if CheckName(name) == nil {
			t.Errorf("%q is taken", name)
		}
	}
	for _, name := range []string{"qa", "alice_2", "team-a"} {
		if err := CheckName(name); err != nil {
			t.Error(err)
		}
	}
}

// TestPublishGivenUp publishes nothing of what was not begun.
func TestPublishGivenUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	results := w.signer.Publish(ctx, []Target{target("1")}, Order{Signer: "qa"})
	if !errors.Is(results[0].Err, context.Canceled) || len(w.sent) != 0 {
		t.Errorf("%v, sent %d", results[0].Err, len(w.sent))
	}
}
