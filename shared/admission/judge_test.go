package admission

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/mount"

	"github.com/docker-stig/docker-stig/shared/engine"
	"github.com/docker-stig/docker-stig/shared/engine/enginetest"
	"github.com/docker-stig/docker-stig/shared/trust"
)

var errProtected = errors.New("it reaches what it must not")

type refusing struct{}

func (refusing) Container(context.Context, engine.Container, reference.Named) error {
	return errProtected
}

// asked remembers which repository a configuration was judged for.
type asked struct{ repository string }

func (a *asked) Container(_ context.Context, _ engine.Container, image reference.Named) error {
	a.repository = image.Name()
	return nil
}

func TestMadeIsJudgedByContentUnderTheAskedName(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.sign("v2", next)
	j := s.judge(nil)
	protect := &asked{}
	j.Protect = protect
	_, err := s.create(j, first, good, signed+":v1")
	must(t, err)
	if protect.repository != signed {
		t.Errorf("the configuration was judged for %q", protect.repository)
	}
	_, err = s.create(j, second, next, signed+":v1") // signed, but not under this tag
	wantUnvouched(t, err, trust.DigestMismatch)
	_, err = s.create(j, second, good, "localhost:5000/else:v1")
	wantUnvouched(t, err, trust.NoScope)
	_, err = s.create(j, second, "", signed+":v1")
	if refusal := new(engine.Refusal); !errors.As(err, &refusal) {
		t.Errorf("no image: got %v", err)
	}
	if _, ok := j.Approvals.Find(second); ok {
		t.Error("a no was recorded")
	}
}

// TestConfigurationIsJudgedAtEachStart, approval or not.
func TestConfigurationIsJudgedAtEachStart(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	j := s.judge(nil)
	c, err := s.create(j, first, good, signed+":v1")
	must(t, err)
	protect := &asked{}
	j.Protect = protect
	admitted, err := j.Container(t.Context(), c)
	if err != nil || !admitted.Approved || !admitted.Configured || protect.repository != signed {
		t.Errorf("got %+v, %v, judged for %q", admitted, err, protect.repository)
	}
	j.Protect = refusing{}
	if _, err := j.Container(t.Context(), c); !errors.Is(err, errProtected) {
		t.Errorf("got %v", err)
	}
}

// TestImageMountsAreJudgedEachTime, and stand in no approval.
func TestImageMountsAreJudgedEachTime(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	mounted := mount.Mount{Type: mount.TypeImage, Source: signed + "@" + good.String(), Target: "/m"}
	c := s.engine.add(first, good, listed+":v1", mounted)
	j := s.judge(nil)
	for range 2 {
		admitted, err := j.Container(t.Context(), c)
		if err != nil || admitted.Approved || !slices.Equal(admitted.Others, []string{mounted.Source}) {
			t.Fatalf("got %+v, %v", admitted, err)
		}
	}
	made, err := j.Made(t.Context(), c)
	must(t, err)
	j.Approve(c, made)
	if _, ok := j.Approvals.Find(first); ok {
		t.Error("a container with an image mount was approved")
	}
	mounted.Source = signed + "@" + evil.String()
	_, err = j.Container(t.Context(), s.engine.add(first, good, listed+":v1", mounted))
	wantUnvouched(t, err, trust.Unsigned)

	// Were there an approval after all, it would not speak for the mount.
	plain := s.engine.add(second, good, listed+":v1")
	if _, err := j.Container(t.Context(), plain); err != nil {
		t.Fatal(err)
	}
	_, err = j.Container(t.Context(), s.engine.add(second, good, listed+":v1", mounted))
	wantUnvouched(t, err, trust.Unsigned)
	mounted.Source = signed + "@" + good.String()
	admitted, err := j.Container(t.Context(), s.engine.add(second, good, listed+":v1", mounted))
	if err != nil || !admitted.Approved || !slices.Equal(admitted.Others, []string{mounted.Source}) {
		t.Errorf("got %+v, %v", admitted, err)
	}
}

func TestAllJudgesEveryContainer(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.engine.add(first, good, signed+":v1")
	s.engine.add(second, evil, signed+":v1")
	const leaving, third = "cccc000000000000000000000000000000000000000000000000000000000000", "dddd000000000000000000000000000000000000000000000000000000000000"
	s.engine.add(leaving, good, signed+":v1")
	s.engine.add(third, good, listed+":v1")
	j := s.judge(nil)
	j.Engine = vanishing{s.engine, leaving}
	all, err := j.All(t.Context())
	must(t, err)
	var got []string
	for _, one := range all {
		verdict := "yes"
		if one.Err != nil {
			verdict = "no"
		}
		got = append(got, one.Container.ID[:4]+" "+verdict)
	}
	if want := []string{"aaaa yes", "bbbb no", "dddd yes"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, id := range []string{first, third} {
		if _, ok := j.Approvals.Find(id); !ok {
			t.Errorf("container %s is not approved", id)
		}
	}
	if _, ok := j.Approvals.Find(second); ok {
		t.Error("a container that may not run is approved")
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := j.All(cancelled); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	s.engine.broken = errors.New("the engine is ill")
	if _, err := j.All(t.Context()); !errors.Is(err, s.engine.broken) {
		t.Errorf("got %v", err)
	}
}

// vanishing loses a container after it was listed.
type vanishing struct {
	*engines
	id string
}

func (v vanishing) Container(ctx context.Context, id string) (engine.Container, error) {
	if id == v.id {
		v.remove(id)
	}
	return v.engines.Container(ctx, id)
}

// TestSilenceIsInconclusive: no trust server, or no engine, is no answer, and
// nothing runs by it.
func TestSilenceIsInconclusive(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.dark()
	j := s.judge(nil)
	c := s.engine.add(first, good, signed+":v1")
	_, err := j.Container(t.Context(), c)
	wantUnvouched(t, err, trust.Unreachable)
	s.engine.broken = errors.New("the engine is ill")
	if _, err = j.Container(t.Context(), c); !errors.Is(err, s.engine.broken) || !trust.Inconclusive(err) {
		t.Errorf("got %v", err)
	}
}

// BenchmarkStart is what a start costs beside the engine's container inspect.
func BenchmarkStart(b *testing.B) {
	s := newSite(b)
	j := s.judge(nil)
	c, err := s.create(j, first, good, signed+":v1")
	must(b, err)
	s.dark()
	b.ReportAllocs()
	for b.Loop() {
		if admitted, err := j.Container(b.Context(), c); err != nil || !admitted.Approved {
			b.Fatal(admitted, err)
		}
	}
}

// BenchmarkInspect is the container inspect that comes before, of a fake
// engine: a real one takes longer.
func BenchmarkInspect(b *testing.B) {
	fake := enginetest.Containerd().Start(b)
	fake.Add(first, "app", good.String(), signed+":v1")
	client := engine.NewClient(fake.URL(), time.Now)
	b.Cleanup(func() { _ = client.Close() })
	for b.Loop() {
		if _, err := client.Container(b.Context(), first); err != nil {
			b.Fatal(err)
		}
	}
}
