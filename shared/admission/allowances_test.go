package admission

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/docker-stig/docker-stig/shared/engine"
	"github.com/docker-stig/docker-stig/shared/logtest"
	"github.com/docker-stig/docker-stig/shared/trust"
)

func (s *site) allowance(repository string, dgst digest.Digest) Allowance {
	return Allowance{Repository: repository, Digest: dgst, Until: s.now.Add(2 * time.Hour), Reason: "outage 4711", Author: "root (uid 0)"}
}

func TestAllowanceMatchesContentAndNothingElse(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	must(t, s.allowances().Add(t.Context(), s.allowance(signed, evil), s.now))
	containerd := trust.Content{ID: evil, Store: trust.ContainerdStore}
	for name, test := range map[string]struct {
		ref     string
		content trust.Content
		want    bool
	}{
		"its content under any tag":         {signed + ":v9", containerd, true},
		"its content, repository only":      {signed, containerd, true},
		"its image ID on a graphdriver":     {signed, trust.Content{ID: evil, Store: trust.GraphdriverStore}, true},
		"its digest on a graphdriver":       {signed, trust.Content{ID: good, Store: trust.GraphdriverStore, RepoDigests: []string{signed + "@" + evil.String()}}, true},
		"its digest, nothing held":          {signed + "@" + evil.String(), trust.Content{}, true},
		"another repository":                {listed, containerd, false},
		"a tag, nothing held":               {signed + ":v1", trust.Content{}, false},
		"another digest, nothing held":      {signed + "@" + good.String(), trust.Content{}, false},
		"its digest asked for, other held":  {signed + "@" + evil.String(), trust.Content{ID: good, Store: trust.ContainerdStore}, false},
		"a RepoDigest the content has not":  {signed, trust.Content{ID: good, Store: trust.ContainerdStore, RepoDigests: []string{signed + "@" + evil.String()}}, false},
		"a RepoDigest of an unknown store":  {signed, trust.Content{ID: good, RepoDigests: []string{signed + "@" + evil.String()}}, false},
		"a repository whose name begins so": {signed + "2", containerd, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := trust.Question{Ref: repository(t, test.ref), Content: test.content}
			if _, _, got := s.allowances().Find([]trust.Question{q}, s.now); got != test.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

// TestAllowanceEndsByItself, and a clock that is set back opens nothing.
func TestAllowanceEndsByItself(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	must(t, s.allowances().Add(t.Context(), s.allowance(signed, evil), s.now))
	c := s.engine.add(first, evil, signed+":v1")
	start := s.now
	for _, test := range []struct {
		after time.Duration
		holds bool
	}{{0, true}, {time.Hour, true}, {2*time.Hour - 1, true}, {2 * time.Hour, false}, {-time.Second, false}, {time.Minute, true}} {
		s.now = start.Add(test.after)
		j := s.judge(nil)
		admitted, err := j.Container(t.Context(), c)
		if (err == nil) != test.holds {
			t.Errorf("after %v: got %v", test.after, err)
		}
		if err == nil && (admitted.Allowance == nil || admitted.Answer.Method != "" || admitted.Answer.Digest != "" || admitted.Answer.Question.Ref.Name() != signed) {
			t.Errorf("after %v: got %+v", test.after, admitted)
		}
	}
	if uses := s.log.Count("BREAK-GLASS"); uses != 4 {
		t.Errorf("4 uses are in the log %d times", uses)
	}
}

// TestAllowanceWorksWithoutAnyTrustSource, by whatever name the image is held.
func TestAllowanceWorksWithoutAnyTrustSource(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.dark()
	must(t, s.allowances().Add(t.Context(), s.allowance(signed, evil), s.now))
	s.engine.images[evil] = engine.HeldImage{ID: evil, RepoTags: []string{signed + ":v9"}}
	j := s.judge(nil)
	for name, ask := range map[string]string{"tag": signed + ":v9", "image ID": evil.String(), "other name": "localhost:5000/else:v1"} {
		c := s.engine.add(first, evil, ask)
		if admitted, err := j.Container(t.Context(), c); err != nil || admitted.Allowance == nil {
			t.Errorf("%s: got %+v, %v", name, admitted, err)
		}
	}
	// By name, before the engine holds it.
	image, err := engine.ByName(t.Context(), s.engine, signed+"@"+evil.String())
	must(t, err)
	if admitted, err := j.Images(t.Context(), []engine.Image{image}); err != nil || admitted.Allowance == nil {
		t.Errorf("got %+v, %v", admitted, err)
	}
	// The image of a mount: said, although it is not the first.
	app, err := engine.ByName(t.Context(), s.engine, listed+"@"+good.String())
	must(t, err)
	if admitted, err := j.Images(t.Context(), []engine.Image{app, image}); err != nil || admitted.Allowance == nil || admitted.Answer.Method != trust.DigestList {
		t.Errorf("got %+v, %v", admitted, err)
	}
	// Nobody is asked anything more when no allowance is of the content.
	before := s.engine.asked
	_, err = j.Container(t.Context(), s.engine.add(first, good, "localhost:5000/else:v1"))
	wantUnvouched(t, err, trust.NoScope)
	if s.engine.asked != before+1 {
		t.Errorf("the engine was asked for images %d times", s.engine.asked-before)
	}
}

func TestAddRefuses(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for want, change := range map[string]func(*Allowance){
		"no full name":   func(a *Allowance) { a.Repository = "app" },
		"full name":      func(a *Allowance) { a.Repository = signed + ":v1" },
		"digest":         func(a *Allowance) { a.Digest = "sha256:12" },
		"ends after":     func(a *Allowance) { a.Until = s.now },
		"30 days":        func(a *Allowance) { a.Until = s.now.Add(MaxAllowance + time.Second) },
		"needs a reason": func(a *Allowance) { a.Reason = " " },
		"needs a author": func(a *Allowance) { a.Author = "" },
		"printable":      func(a *Allowance) { a.Reason = "x\n\x1b[2J" },
		"500 bytes":      func(a *Allowance) { a.Reason = strings.Repeat("x", 501) },
	} {
		a := s.allowance(signed, evil)
		change(&a)
		if err := s.allowances().Add(t.Context(), a, s.now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	list, err := s.allowances().List()
	if err != nil || list != nil {
		t.Errorf("got %v, %v", list, err)
	}
}

func TestAddReplacesAndDropsWhatHasEnded(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	store := s.allowances()
	must(t, store.Add(t.Context(), s.allowance(signed, good), s.now))
	must(t, store.Add(t.Context(), s.allowance(signed, evil), s.now.Add(time.Hour)))
	s.now = s.now.Add(90 * time.Minute)
	again := s.allowance(signed, evil)
	again.Reason = "still out"
	must(t, store.Add(t.Context(), again, s.now)) // good has half an hour left
	list, err := store.List()
	must(t, err)
	if len(list) != 2 || list[1].Reason != "still out" || !list[1].Made.Equal(s.now) {
		t.Errorf("got %+v", list)
	}
	s.now = s.now.Add(time.Hour)
	must(t, store.Add(t.Context(), s.allowance(listed, evil), s.now))
	list, err = store.List()
	must(t, err)
	if len(list) != 2 || list[0].Digest != evil || list[1].Repository != listed {
		t.Errorf("got %+v", list)
	}
	info, err := os.Stat(store.Path)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v", info.Mode())
	}
}

// TestAllowancesOfOthersAreNotBelieved, and what was believed ends with that.
func TestAllowancesOfOthersAreNotBelieved(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	store := s.allowances()
	must(t, store.Add(t.Context(), s.allowance(signed, evil), s.now))
	good, err := os.ReadFile(store.Path)
	must(t, err)
	questions := []trust.Question{{Ref: repository(t, signed+"@"+evil.String())}}
	for name, spoil := range map[string]func() error{
		"others can write it": func() error { return os.Chmod(store.Path, 0o622) },
		"half of it":          func() error { return os.WriteFile(store.Path, good[:len(good)/2], 0o600) },
		"more behind it":      func() error { return os.WriteFile(store.Path, append(good, "{}"...), 0o600) },
		"empty":               func() error { return os.WriteFile(store.Path, nil, 0o600) },
		"too long":            func() error { return os.WriteFile(store.Path, append(good, make([]byte, maxAllowFile)...), 0o600) },
		"a year": func() error {
			long := strings.Replace(string(good), fmt.Sprintf(`"until": "%d`, s.now.Year()), fmt.Sprintf(`"until": "%d`, s.now.Year()+1), 1)
			return os.WriteFile(store.Path, []byte(long), 0o600)
		},
		"a symlink": func() error {
			return errors.Join(os.Rename(store.Path, store.Path+".real"), os.Symlink(store.Path+".real", store.Path))
		},
		"a pipe":   func() error { return unix.Mkfifo(store.Path, 0o600) },
		"a folder": func() error { return os.Mkdir(store.Path, 0o700) },
		"nothing":  func() error { return nil },
	} {
		must(t, os.RemoveAll(store.Path))
		must(t, os.WriteFile(store.Path, good, 0o600))
		if _, _, ok := store.Find(questions, s.now); !ok {
			t.Fatalf("before %s: not found", name)
		}
		if name == "a pipe" || name == "a folder" || name == "nothing" {
			must(t, os.Remove(store.Path))
		}
		must(t, spoil())
		if _, _, ok := store.Find(questions, s.now); ok {
			t.Errorf("%s: believed", name)
		}
		if name == "half of it" {
			before := s.log.Count("break-glass is closed")
			store.Find(questions, s.now)
			if s.log.Count("break-glass is closed") != before {
				t.Error("the same fault is logged again")
			}
			if err := store.Add(t.Context(), s.allowance(signed, evil), s.now); err == nil || !strings.Contains(err.Error(), "move ") {
				t.Errorf("got %v", err)
			}
		}
	}
	must(t, os.RemoveAll(store.Path))
	must(t, os.WriteFile(store.Path, good, 0o600))
	strict := &Allowances{Path: store.Path, Log: s.log.Logger()}
	if _, _, ok := strict.Find(questions, s.now); ok != (os.Geteuid() == 0) {
		t.Errorf("a file of user %d: believed is %v", os.Geteuid(), ok)
	}
	if os.Geteuid() == 0 {
		must(t, os.Chown(store.Path, 1, 1))
		if _, _, ok := strict.Find(questions, s.now); ok {
			t.Error("a file of another user is believed")
		}
	}
}

// TestProcessesAddAtOnce: none is lost, and a reader sees whole files only.
func TestProcessesAddAtOnce(t *testing.T) {
	t.Parallel()
	const each, processes = 20, 4
	if args := os.Getenv("STIG_ADD_ALLOWANCES"); args != "" {
		path, number, _ := strings.Cut(args, " ")
		store := &Allowances{Path: path, Log: new(logtest.Log).Logger(), Owner: mine}
		for i := range each {
			now := time.Now()
			must(t, store.Add(context.Background(), Allowance{
				Repository: signed, Digest: digest.FromString(fmt.Sprint(number, i)), Until: now.Add(time.Hour), Reason: "r", Author: "a",
			}, now))
		}
		return
	}
	s := newSite(t)
	store := s.allowances()
	var running []*exec.Cmd
	for i := range processes {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProcessesAddAtOnce$")
		cmd.Env = append(os.Environ(), fmt.Sprintf("STIG_ADD_ALLOWANCES=%s %d", store.Path, i))
		must(t, cmd.Start())
		running = append(running, cmd)
	}
	ended := make(chan error)
	go func() {
		var err error
		for _, cmd := range running {
			err = errors.Join(err, cmd.Wait())
		}
		ended <- err
	}()
	for alive := true; alive; {
		select {
		case err := <-ended:
			must(t, err)
			alive = false
		default:
			if _, err := store.List(); err != nil {
				t.Fatal(err)
			}
		}
	}
	list, err := store.List()
	must(t, err)
	got := map[digest.Digest]bool{}
	for _, a := range list {
		got[a.Digest] = true
	}
	if len(list) != each*processes || len(got) != each*processes {
		t.Errorf("%d allowances of %d are there", len(got), each*processes)
	}
}

// TestAddDoesNotWaitForEver for a lock.
func TestAddDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	unlock, err := lock(t.Context(), filepath.Join(s.state, "allowances.json.lock"))
	must(t, err)
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.allowances().Add(ctx, s.allowance(signed, evil), s.now); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// FuzzAllowances: what is believed can be written and read again, and lets
// nothing run for longer than an allowance may.
func FuzzAllowances(f *testing.F) {
	f.Add([]byte(`{"version":1,"allowances":[]}`))
	f.Add([]byte(`{"version":1,"allowances":[{"repository":"` + signed + `","digest":"` + string(evil) + `","until":"2026-08-01T12:00:00Z","reason":"x","author":"y","made":"2026-08-01T10:00:00Z"}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		list, err := parseAllowances(raw)
		if err != nil {
			if !errors.Is(err, errUnbelieved) {
				t.Errorf("an error of another kind: %v", err)
			}
			return
		}
		for _, a := range list {
			if a.Holds(a.Made.Add(-1)) || a.Holds(a.Until) || a.Holds(a.Made.Add(MaxAllowance)) {
				t.Errorf("%+v holds outside its time", a)
			}
		}
		written, err := encodeAllowances(list)
		must(t, err)
		again, err := parseAllowances(written)
		must(t, err)
		if diff := cmp.Diff(list, again); len(list) > 0 && diff != "" {
			t.Error(diff)
		}
	})
}

// TestRemoveEndsOneBeforeItsTime, and touches no other.
func TestRemoveEndsOneBeforeItsTime(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	store := s.allowances()
	if _, err := store.Remove(t.Context(), signed, evil, s.now); !errors.Is(err, ErrNoAllowance) {
		t.Errorf("of none: got %v", err)
	}
	if files, err := os.ReadDir(s.state); err != nil || len(files) != 0 {
		t.Errorf("it left %v behind (%v)", files, err)
	}
	must(t, store.Add(t.Context(), s.allowance(signed, evil), s.now))
	must(t, store.Add(t.Context(), s.allowance(listed, evil), s.now))
	must(t, store.Add(t.Context(), s.allowance(signed, good), s.now))
	c := s.engine.add(first, evil, signed+":v1")
	j := s.judge(nil)
	if _, err := j.Container(t.Context(), c); err != nil {
		t.Fatalf("before: %v", err)
	}
	if _, err := store.Remove(t.Context(), signed, next, s.now); !errors.Is(err, ErrNoAllowance) {
		t.Errorf("of another digest: got %v", err)
	}
	removed, err := store.Remove(t.Context(), signed, evil, s.now)
	if err != nil || removed.Reason != "outage 4711" || removed.Repository != signed || removed.Digest != evil {
		t.Errorf("got %+v, %v", removed, err)
	}
	_, err = j.Container(t.Context(), c) // that process notices
	wantUnvouched(t, err, trust.Unsigned)
	list, err := store.List()
	must(t, err)
	if len(list) != 2 || list[0].Repository != listed || list[1].Digest != good {
		t.Errorf("left are %+v", list)
	}
	if _, err := store.Remove(t.Context(), signed, good, s.now.Add(3*time.Hour)); !errors.Is(err, ErrNoAllowance) {
		t.Errorf("of one that has ended: got %v", err)
	}
	must(t, os.WriteFile(store.Path, []byte("{"), 0o600))
	if _, err := store.Remove(t.Context(), listed, evil, s.now); err == nil || !strings.Contains(err.Error(), "move ") {
		t.Errorf("of a torn file: got %v", err)
	}
}

// TestAllowanceMakesNoApproval: when it ends, the next start is refused.
func TestAllowanceMakesNoApproval(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	must(t, s.allowances().Add(t.Context(), s.allowance(signed, evil), s.now))
	j := s.judge(nil)
	c, err := s.create(j, first, evil, signed+":v1")
	must(t, err)
	if admitted, err := j.Container(t.Context(), c); err != nil || admitted.Allowance == nil {
		t.Fatalf("got %+v, %v", admitted, err)
	}
	must(t, j.Approvals.Close(t.Context()))
	s.now = s.now.Add(2 * time.Hour)
	_, err = s.judge(nil).Container(t.Context(), c)
	wantUnvouched(t, err, trust.Unsigned)
}

// TestWhatHasEndedStaysEnded while the process lives, whatever becomes of the
// clock; allowed again, it holds.
func TestWhatHasEndedStaysEnded(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	store := s.allowances()
	must(t, store.Add(t.Context(), s.allowance(signed, evil), s.now))
	must(t, store.Add(t.Context(), s.allowance(signed, good), s.now))
	early, late := s.now.Add(time.Hour), s.now.Add(3*time.Hour)
	if !store.Names(evil, early) || store.Names(evil, late) {
		t.Fatal("it does not last for its two hours")
	}
	if store.Names(evil, early) || len(store.Holding(early)) > 0 {
		t.Error("it was seen to have ended, the clock was set back, and it holds again")
	}
	must(t, store.Add(t.Context(), s.allowance(signed, good), early)) // the file is another one
	if store.Names(evil, early) || !store.Names(good, early) {
		t.Errorf("holding are %+v", store.Holding(early))
	}
}

// TestAllowanceAndRevokedKey: that the trust server is silent opens nothing
// that a revoked key had closed.
func TestAllowanceAndRevokedKey(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	must(t, s.allowances().Add(t.Context(), s.allowance(signed, good), s.now))
	must(t, s.allowances().Add(t.Context(), s.allowance(signed, evil), s.now))
	must(t, s.allowances().Add(t.Context(), s.allowance("localhost:5000/else", evil), s.now))
	revoking := func(key string) *Judge {
		return s.judge(map[string]any{"revoked": map[string]any{"keys": []string{key}}})
	}
	inSignature := s.engine.add(first, good, signed+":v1")
	unsigned := s.engine.add(second, evil, signed+":v1")
	_, err := revoking(s.repo.RootKeyID()).Container(t.Context(), inSignature)
	wantUnvouched(t, err, trust.Revoked)
	if admitted, err := revoking(anyKey).Container(t.Context(), unsigned); err != nil || admitted.Allowance == nil {
		t.Errorf("no revoked key signed it: got %+v, %v", admitted, err)
	}
	s.dark()
	for _, key := range []string{s.repo.RootKeyID(), anyKey} {
		_, err := revoking(key).Container(t.Context(), inSignature)
		wantUnvouched(t, err, trust.Unreachable)
	}
	unpinned := s.engine.add(second, evil, "localhost:5000/else:v1")
	if admitted, err := revoking(anyKey).Container(t.Context(), unpinned); err != nil || admitted.Allowance == nil {
		t.Errorf("nobody could sign it: got %+v, %v", admitted, err)
	}
}

// TestSlowDiskBlocksNobodyElse: the file is read without the lock held that
// others need.
func TestSlowDiskBlocksNobodyElse(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	must(t, s.allowances().Add(t.Context(), s.allowance(signed, evil), s.now))
	reading, read := make(chan struct{}), make(chan struct{})
	var readers atomic.Int32
	store := s.allowances()
	store.Owner = func(info os.FileInfo) error {
		if readers.Add(1) == 1 {
			close(reading)
			<-read
		}
		return mine(info)
	}
	ended := make(chan bool)
	go func() { ended <- store.Names(evil, s.now) }()
	<-reading
	if !store.Names(evil, s.now) { // the first is still at it
		t.Error("it does not hold")
	}
	close(read)
	if !<-ended {
		t.Error("it does not hold for the first")
	}
}
