package admission

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/opencontainers/go-digest"
	"github.com/theupdateframework/notary/tuf/data"

	"github.com/docker-stig/docker-stig/shared/engine"
	"github.com/docker-stig/docker-stig/shared/logtest"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
	"github.com/docker-stig/docker-stig/shared/trust/trusttest"
)

const (
	good   = digest.Digest("sha256:1111111111111111111111111111111111111111111111111111111111111111")
	next   = digest.Digest("sha256:2222222222222222222222222222222222222222222222222222222222222222")
	evil   = digest.Digest("sha256:eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee")
	first  = "aaaa000000000000000000000000000000000000000000000000000000000000"
	second = "bbbb000000000000000000000000000000000000000000000000000000000000"
	signed = "localhost:5000/app"    // its tags are signed on a trust server
	listed = "localhost:5000/listed" // its digests stand in the policy
	anyKey = "84ca6e4400000000000000000000000000000000000000000000000000000000"
)

// A site is a machine with a policy: a trust server with one signed
// repository, an engine with the containerd store, and a state folder.
type site struct {
	tb     testing.TB
	notary *trusttest.Notary
	repo   *trusttest.Repository
	engine *engines
	state  string
	log    *logtest.Log
	policy map[string]any
	now    time.Time
}

func newSite(tb testing.TB) *site {
	tb.Helper()
	s := &site{
		tb: tb, notary: trusttest.NewNotary(tb), state: tb.TempDir(), log: &logtest.Log{}, now: time.Now().UTC().Round(time.Second),
		engine: &engines{containers: map[string]engine.Container{}, images: map[digest.Digest]engine.HeldImage{}},
	}
	s.repo = s.notary.NewRepository(tb, data.GUN(signed))
	s.repo.Delegate("targets/releases")
	s.repo.Delegate("targets/alice")
	s.sign("v1", good)
	s.policy = map[string]any{
		"content-trust": map[string]any{"mode": "enforced", "trust-pinning": map[string]any{"root-keys": map[string]any{"localhost:5000/app*": []string{s.repo.RootKeyID()}}}},
		"notary":        map[string]any{"servers": map[string]any{"localhost:5000": []string{s.notary.URL}}, "ca": map[string]any{"localhost:5000": s.notary.CA}, "timeout": "20s"},
		"digests":       map[string]any{listed: []digest.Digest{good, next}},
	}
	return s
}

func (s *site) sign(tag string, dgst digest.Digest) {
	s.repo.Sign(tag, dgst, "targets/releases", "targets/alice")
	s.repo.Publish()
}

// verifier judges by the policy, with some of its parts replaced, and has
// nothing in memory or on the disk.
func (s *site) verifier(change map[string]any) *policy.Verifier {
	s.tb.Helper()
	whole := maps.Clone(s.policy)
	maps.Copy(whole, change)
	raw, err := json.Marshal(whole)
	must(s.tb, err)
	p, err := policy.Parse("policy.json", raw)
	must(s.tb, err)
	return policy.NewVerifier(p, policy.Options{Now: func() time.Time { return s.now }})
}

// approvals opens the approvals of the state folder until the test ends.
func (s *site) approvals() *Approvals {
	s.tb.Helper()
	a := OpenApprovals(ApprovalOptions{
		Dir: filepath.Join(s.state, "approvals"), Log: s.log.Logger(), Owner: mine, Clear: true,
		Now: func() time.Time { return s.now },
	})
	s.tb.Cleanup(func() { _ = a.Close(context.Background()) })
	return a
}

func (s *site) allowances() *Allowances {
	return &Allowances{Path: filepath.Join(s.state, "allowances.json"), Log: s.log.Logger(), Owner: mine}
}

// judge is a new process on the machine.
func (s *site) judge(change map[string]any) *Judge {
	s.tb.Helper()
	return &Judge{
		Engine: s.engine, Verifier: s.verifier(change), Recorded: true,
		Approvals: s.approvals(), Allowances: s.allowances(),
		Now: func() time.Time { return s.now }, Log: s.log.Logger(),
	}
}

// create makes a container of content under a name, and has it judged.
func (s *site) create(j *Judge, id string, content digest.Digest, name string) (engine.Container, error) {
	s.tb.Helper()
	c := s.engine.add(id, content, name)
	admitted, err := j.Made(s.tb.Context(), c)
	if err == nil {
		j.Approve(c, admitted)
	}
	return c, err
}

// dark stops the trust server from answering.
func (s *site) dark() {
	s.notary.Fault(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
}

// mine believes files of whoever runs the tests.
func mine(info os.FileInfo) error {
	if info.Mode().Perm()&0o022 != 0 {
		return errors.New("others can write it")
	}
	return nil
}

// engines is an engine in memory. What it does not know nobody here may ask.
type engines struct {
	engine.Engine
	mu         sync.Mutex
	containers map[string]engine.Container
	images     map[digest.Digest]engine.HeldImage
	store      trust.Store
	broken     error
	asked      int // for images
}

func (e *engines) add(id string, content digest.Digest, name string, mounts ...mount.Mount) engine.Container {
	c := engine.Container{ID: id, Name: id[:4], ImageID: content, ImageName: name, Host: &container.HostConfig{Mounts: mounts}}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.containers[id] = c
	return c
}

func (e *engines) remove(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.containers, id)
}

func (e *engines) Store(context.Context) (trust.Store, error) {
	if e.store == trust.UnknownStore {
		return trust.ContainerdStore, e.broken
	}
	return e.store, e.broken
}

func (e *engines) Image(_ context.Context, name string) (engine.HeldImage, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked++
	if image, ok := e.images[digest.Digest(name)]; ok {
		return image, e.broken
	}
	return engine.HeldImage{}, errors.Join(engine.ErrNotFound, e.broken)
}

func (e *engines) Known(digest.Digest) (engine.HeldImage, bool) { return engine.HeldImage{}, false }

func (e *engines) Container(_ context.Context, id string) (engine.Container, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c, ok := e.containers[id]; ok {
		return c, e.broken
	}
	return engine.Container{}, engine.ErrNotFound
}

func (e *engines) Containers(context.Context) ([]engine.Container, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []engine.Container
	for _, id := range slices.Sorted(maps.Keys(e.containers)) {
		c := e.containers[id]
		list = append(list, engine.Container{ID: id, Name: c.Name, ImageName: c.ImageName, Running: true})
	}
	return list, e.broken
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func repository(tb testing.TB, name string) reference.Named {
	tb.Helper()
	ref, err := reference.ParseNormalizedNamed(name)
	must(tb, err)
	return ref
}

// wantUnvouched wants a no, or no answer, for a reason.
func wantUnvouched(tb testing.TB, err error, reason trust.Reason) {
	tb.Helper()
	unvouched, refused := new(Unvouched), new(trust.Error)
	if !errors.As(err, &unvouched) || !errors.As(err, &refused) || refused.Reason != reason {
		tb.Fatalf("got %v, want %s", err, reason)
	}
}
