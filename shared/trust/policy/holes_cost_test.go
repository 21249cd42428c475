package policy

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// What may be known of a repository without making questions about it, or
// about others, slow. The tests run alone: the system counts for all.

// processorTime is what this process has had of processors, whoever else is
// busy.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano())
}

// cost of a question that has been asked before, on average.
func cost(t *testing.T, v *Verifier, q trust.Question, want trust.Reason) time.Duration {
	t.Helper()
	const times = 20
	ask := func() {
		if _, err := v.Verify(t.Context(), q); reasonOf(err) != want || (want == "" && err != nil) {
			t.Fatalf("got %v, want %q", err, want)
		}
	}
	ask()
	runtime.GC()
	began := processorTime(t)
	for range times {
		ask()
	}
	return (processorTime(t) - began) / times
}

// TestRefusalReadsNoDocuments: what a refusal costs does not depend on how
// large the known manifests of the repository are.
func TestRefusalReadsNoDocuments(t *testing.T) {
	took := map[int]time.Duration{}
	for _, size := range []int{1 << 10, 256 << 10} {
		s := newShop(t)
		var signed []digest.Digest
		var known [][]byte
		for i := range 80 {
			known = append(known, paddedManifest(t, fmt.Sprint("config ", i), size))
			signed = append(signed, digest.FromBytes(known[i]))
		}
		v := s.verifier(map[string]string{"app": s.sign("app", signed...)}, nil)
		teach(t, v, known...)
		took[size] = cost(t, v, s.question("app@"+string(digest.FromString("nobody's")), trust.Content{}), trust.Unsigned)
	}
	if took[256<<10] > 5*took[1<<10]+time.Millisecond {
		t.Errorf("manifests of 1 KiB: %v, of 256 KiB: %v", took[1<<10], took[256<<10])
	}
}

// teach makes a verifier know documents as if a bundle had brought them.
func teach(t *testing.T, v *Verifier, documents ...[]byte) {
	t.Helper()
	for _, raw := range documents {
		if _, err := v.contents.imported.Add(raw); err != nil {
			t.Fatal(err)
		}
	}
}

// TestForeignListsCostLittle: lists of others that name a repository's content
// are passed over one by one, and not once for each of its tags.
func TestForeignListsCostLittle(t *testing.T) {
	took := map[int]time.Duration{}
	for _, n := range []int{300, 3_000} {
		s := newShop(t)
		image := newRelease(t, "app")
		signed := []digest.Digest{image.listID}
		var foreign [][]byte
		for i := range n {
			signed = append(signed, digest.FromString(fmt.Sprint("old ", i)))
			foreign = append(foreign, listOf(t, entryOf(image.amd64, fmt.Sprint("foreign", i))))
		}
		v := s.verifier(map[string]string{"app": s.sign("app", signed...)}, nil)
		teach(t, v, append(foreign, image.list)...)
		took[n] = cost(t, v, s.question("app", containerd(image.platform)), "")
	}
	if took[3_000] > 40*took[300]+time.Millisecond {
		t.Errorf("300 lists and tags: %v, 3,000: %v", took[300], took[3_000])
	}
}
