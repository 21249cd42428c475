package protect

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/moby/moby/api/types/container"

	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// TestWhatCannotBeLookedAt is refused, and no no: a bind's source may lie on a
// server that is away. A chain of links without end is seen for what it is.
func TestWhatCannotBeLookedAt(t *testing.T) {
	t.Parallel()
	why := errors.New("stale file handle")
	no := &Refusal{Setting: policy.SettingPaths, Text: "the bind cannot be judged"}
	for err, want := range map[error]bool{why: true, errLinks: false} {
		got := new(Refusal)
		if refused := byWayOf("a volume", unseen(err, no)); !errors.As(refused, &got) || got.Inconclusive() != want || errors.Is(refused, why) != want {
			t.Errorf("%v: got %+v", err, got)
		}
	}
	p, err := policy.Parse("policy.json", []byte(`{"content-trust": {"mode": "enforced"}}`))
	if err != nil {
		t.Fatal(err)
	}
	// Below a file nothing can be looked at.
	file := filepath.Join(t.TempDir(), "file")
	write(t, "/", file, "")
	subject := Subject{Made: true, Mounts: []container.MountPoint{{Type: "bind", Source: file + "/x", Destination: "/x"}}}
	got := new(Refusal)
	if err := New(p.Protect, Options{}).Container(t.Context(), subject, nil); !errors.As(err, &got) || !got.Inconclusive() || !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("got %v", err)
	}
}
