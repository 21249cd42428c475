package admission

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distribution/reference"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/docker-stig/docker-stig/shared/disktest"
	"github.com/docker-stig/docker-stig/shared/logtest"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// approval is one of a container that a digest list approved.
func (s *site) approval(container string) Approval {
	s.tb.Helper()
	return Approval{Container: container, Made: s.now, Grant: policy.Grant{
		Ref: repository(s.tb, listed), Digest: good, ID: good, Digests: []digest.Digest{good}, Method: trust.DigestList, Scope: listed,
	}}
}

func id(i int) string { return fmt.Sprintf("%064x", i) }

func (s *site) file(container string) string {
	return filepath.Join(s.state, "approvals", container+".json")
}

func equal(a, b Approval) string {
	return cmp.Diff(a, b, cmp.Comparer(func(a, b reference.Named) bool { return a.String() == b.String() }))
}

func TestApprovalsOutliveTheProcess(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	daemon, cli := s.approvals(), s.approvals()
	want := s.approval(first)
	must(t, cli.Record(want))
	must(t, cli.Close(t.Context()))
	for name, reader := range map[string]*Approvals{"another process": daemon, "a later one": s.approvals()} {
		got, ok := reader.Find(first)
		if !ok || equal(got, want) != "" {
			t.Errorf("%s: %s", name, equal(got, want))
		}
	}
	info, err := os.Stat(s.file(first))
	must(t, err)
	folder, err := os.Stat(filepath.Dir(s.file(first)))
	must(t, err)
	if info.Mode().Perm() != 0o600 || folder.Mode().Perm() != 0o700 {
		t.Errorf("file has mode %v, its folder %v", info.Mode(), folder.Mode())
	}
	if err := cli.Record(want); err == nil {
		t.Error("recorded after the end")
	}
}

func TestApprovalsGoWithTheirContainers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := s.approvals()
	for i := range 6 {
		must(t, a.Record(s.approval(id(i))))
	}
	must(t, a.Close(t.Context()))
	a = s.approvals()
	stranger := s.approvals() // another process: its approval is on the disk only
	must(t, stranger.Record(s.approval(id(7))))
	must(t, stranger.Close(t.Context()))
	a.Forget(id(0))
	if _, ok := a.Find(id(0)); ok {
		t.Error("forgotten, and found")
	}
	listed := s.now.Add(time.Minute)
	must(t, os.Chtimes(s.file(id(7)), s.now, s.now))
	s.now = listed
	must(t, a.Record(s.approval(id(6)))) // made while the containers were listed
	a.Keep([]string{id(1), id(2)}, listed)
	must(t, a.Close(t.Context()))
	for name, reader := range map[string]*Approvals{"now": a, "later": s.approvals()} {
		for i, want := range []bool{false, true, true, false, false, false, true, false} {
			if _, ok := reader.Find(id(i)); ok != want {
				t.Errorf("%s: approval %d is there: %v", name, i, ok)
			}
		}
	}
}

// TestSpoiltApprovalsAreNotBelieved, at the start or when they are asked for,
// and are cleared away.
func TestSpoiltApprovalsAreNotBelieved(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	whole, err := s.approval(first).encode()
	must(t, err)
	replace := func(old, by string) []byte {
		if !strings.Contains(string(whole), old) {
			t.Fatalf("%s has no %s", whole, old)
		}
		return []byte(strings.Replace(string(whole), old, by, 1))
	}
	for name, raw := range map[string][]byte{
		"empty":             nil,
		"half":              whole[:len(whole)/2],
		"more behind it":    append(whole[:len(whole):len(whole)], whole...),
		"zeros":             make([]byte, len(whole)),
		"too long":          append(whole[:len(whole):len(whole)], make([]byte, maxApproval)...),
		"another container": replace(first, second),
		"another version":   replace(`"version":1`, `"version":2`),
		"an unknown field":  replace(`"version":1`, `"version":1,"x":1`),
		"no image":          replace(string(good), ""),
		"no scope":          replace(`"scope":"`+listed+`"`, `"scope":""`),
		"no method":         replace(`"digest-list"`, `""`),
		"no terms":          replace(`"digest-list"`, `"dct"`),
		"a tag":             replace(listed+`"`, listed+`:v1"`),
		"no full name":      replace(listed+`"`, `app"`),
	} {
		must(t, os.MkdirAll(filepath.Dir(s.file(first)), 0o700))
		running := s.approvals()
		must(t, os.WriteFile(s.file(first), raw, 0o600))
		if _, ok := running.Find(first); ok {
			t.Errorf("%s: believed when asked for", name)
		}
		if _, err := os.Lstat(s.file(first)); err == nil {
			t.Errorf("%s: still there", name)
		}
		must(t, os.WriteFile(s.file(first), raw, 0o600))
		if _, ok := s.approvals().Find(first); ok {
			t.Errorf("%s: believed at the start", name)
		}
	}
	if s.log.Count("is no approval and is removed") != 2*14 {
		t.Errorf("the log tells of it %d times", s.log.Count("is no approval and is removed"))
	}
	must(t, os.WriteFile(s.file(first), whole, 0o622))
	must(t, os.Chmod(s.file(first), 0o622))
	if _, ok := s.approvals().Find(first); ok {
		t.Error("an approval that others can write is believed")
	}
	for _, name := range []string{"../../etc/passwd", "", strings.ToUpper(first), first[:12], first + "0"} {
		if _, ok := s.approvals().Find(name); ok {
			t.Errorf("%q has an approval", name)
		}
	}
}

// TestWhoOnlyLooksRemovesNothing, at the start or when asked: what is no
// approval to this program may be one to the daemon, and what is unfinished
// its work.
func TestWhoOnlyLooksRemovesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	spoilt, leftover := s.file(first), filepath.Join(s.state, "approvals", "."+second+".json123456")
	must(t, os.MkdirAll(filepath.Dir(spoilt), 0o700))
	must(t, os.WriteFile(spoilt, []byte(`{"version":2}`), 0o600))
	must(t, os.WriteFile(leftover, []byte("{"), 0o600))
	s.now = s.now.Add(2 * unfinishedFor)
	looker := OpenApprovals(ApprovalOptions{Dir: filepath.Dir(spoilt), Log: s.log.Logger(), Owner: mine, Now: func() time.Time { return s.now }})
	if _, ok := looker.Find(first); ok || looker.Len() != 0 {
		t.Error("it is believed")
	}
	must(t, looker.Close(t.Context()))
	for _, name := range []string{spoilt, leftover} {
		if _, err := os.Lstat(name); err != nil {
			t.Errorf("gone: %v", err)
		}
	}
}

// TestFullDisk: what cannot be written does not hold, is told once, and does
// so again when there is room.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	disk, log, now := disktest.New(t, 64), &logtest.Log{}, time.Now().UTC()
	synctest.Test(t, func(t *testing.T) {
		s := &site{tb: t, state: disk, log: log, now: now}
		a := s.approvals()
		record := func(i int) {
			must(t, a.Record(s.approval(id(i))))
			time.Sleep(2 * settle)
			synctest.Wait() // for the writer
		}
		record(0)
		ballast := disktest.Fill(t, disk)
		for i := range 5 {
			record(i)
		}
		for i := range 5 {
			_, ok := a.Find(id(i))
			if want := i == 0; ok != want { // the first is on the disk from before
				t.Errorf("approval %d holds: %v", i, ok)
			}
		}
		must(t, os.Remove(ballast))
		record(1)
		err := a.Close(t.Context())
		if err == nil || !strings.Contains(err.Error(), "4 approvals are not written") {
			t.Errorf("got %v", err)
		}
		later := s.approvals()
		for i, want := range []bool{true, true, false} {
			if _, ok := later.Find(id(i)); ok != want {
				t.Errorf("later: approval %d holds: %v", i, ok)
			}
		}
	})
	if n := log.Count("approvals cannot be written"); n != 1 {
		t.Errorf("the log tells of it %d times", n)
	}
	if n := log.Count("is no approval"); n != 0 {
		t.Errorf("a full disk left %d spoilt files", n)
	}
}

// TestKilledProcess: one that is killed while it writes leaves whole files
// only, and what it left unfinished is cleared away in time.
func TestKilledProcess(t *testing.T) {
	t.Parallel()
	if state := os.Getenv("STIG_APPROVE_FOREVER"); state != "" {
		s := &site{tb: t, state: state, log: &logtest.Log{}, now: time.Now()}
		for a, i := s.approvals(), 0; ; i++ {
			must(t, a.Record(s.approval(id(i%50))))
		}
	}
	s := newSite(t)
	for range 8 {
		must(t, os.RemoveAll(filepath.Dir(s.file(first))))
		killed := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledProcess$")
		killed.Env = append(os.Environ(), "STIG_APPROVE_FOREVER="+s.state)
		must(t, killed.Start())
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
			if names, _ := filepath.Glob(s.file("*")); len(names) > 0 {
				break
			}
			time.Sleep(time.Millisecond) // between two looks
		}
		time.Sleep(time.Duration(rand.IntN(50)) * time.Millisecond) // so that it dies anywhere
		must(t, killed.Process.Kill())
		_ = killed.Wait()
		a, found := s.approvals(), 0
		for i := range 50 {
			if _, ok := a.Find(id(i)); ok {
				found++
			}
		}
		if found == 0 {
			t.Error("nothing was left")
		}
	}
	if n := s.log.Count("is no approval"); n != 0 {
		t.Errorf("kills left %d spoilt files", n)
	}
	leftover := filepath.Join(s.state, "approvals", "."+first+".json123456")
	must(t, os.WriteFile(leftover, []byte("{"), 0o600))
	s.approvals()
	if _, err := os.Stat(leftover); err != nil {
		t.Errorf("what may be another process's work was removed: %v", err)
	}
	s.now = s.now.Add(2 * time.Hour)
	s.approvals()
	if _, err := os.Stat(leftover); err == nil {
		t.Error("what a crash left is still there")
	}
}

// TestCloseHasItsTime: what is not written by then is counted.
func TestCloseHasItsTime(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := s.approvals()
	for i := range 200 {
		must(t, a.Record(s.approval(id(i))))
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Close(over); !errors.Is(err, context.Canceled) {
		t.Skipf("200 files were written before a look: %v", err)
	}
	must(t, a.Close(t.Context()))
	if names, _ := filepath.Glob(s.file("*")); len(names) != 200 {
		t.Errorf("%d files", len(names))
	}
}

// TestApprovalsAtOnce is for the race detector, and for their end: the last
// word about a container is what is on the disk.
func TestApprovalsAtOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := s.approvals()
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for i := range 100 {
				container := id(worker*10 + i%10)
				switch i % 3 {
				case 0:
					must(t, a.Record(s.approval(container)))
				case 1:
					a.Forget(container)
				default:
					a.Find(container)
				}
			}
			if worker == 0 {
				a.Keep([]string{id(1)}, s.now)
			}
		})
	}
	group.Wait()
	for i := range 80 {
		if i%2 == 0 {
			must(t, a.Record(s.approval(id(i))))
		} else {
			a.Forget(id(i))
		}
	}
	must(t, a.Close(t.Context()))
	later := s.approvals()
	for i := range 80 {
		_, now := a.Find(id(i))
		_, then := later.Find(id(i))
		if want := i%2 == 0; now != want || then != want {
			t.Errorf("approval %d: %v in memory, %v on the disk", i, now, then)
		}
	}
}

// FuzzApproval: what is believed is of the container asked about, and can be
// written and read again.
func FuzzApproval(f *testing.F) {
	f.Add(first, []byte(`{"version":1,"container":"`+first+`","image":"`+string(good)+`","repository":"`+listed+`","digest":"`+string(good)+`","method":"digest-list","scope":"x","made":"2026-08-01T10:00:00Z"}`))
	f.Add(first, []byte(`{"version":1,"container":"`+first+`","image":"`+string(good)+`","repository":"`+signed+`","digest":"`+string(good)+`","digests":["`+string(next)+`"],"seen":true,"parts":["`+string(evil)+`"],"method":"dct","scope":"x","terms":"`+first+`","keys":["k"],"signers":["s"],"made":"2026-08-01T10:00:00Z"}`))
	f.Fuzz(func(t *testing.T, container string, raw []byte) {
		a, err := parseApproval(container, raw)
		if err != nil {
			if !errors.Is(err, errUnbelieved) {
				t.Errorf("an error of another kind: %v", err)
			}
			return
		}
		if a.Container != container || !fullID.MatchString(container) || a.ID == "" || a.Digest == "" || a.Scope == "" {
			t.Errorf("believed: %+v", a)
		}
		written, err := a.encode()
		must(t, err)
		again, err := parseApproval(container, written)
		must(t, err)
		if second, err := again.encode(); err != nil || string(second) != string(written) {
			t.Errorf("%s, then %s, %v", written, second, err)
		}
	})
}
