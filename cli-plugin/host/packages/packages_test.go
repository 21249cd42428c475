package packages

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestInstalledStray: a dockerd put beside the packaged one is told of.
func TestInstalledStray(t *testing.T) {
	h := copyHost(t)
	write(t, h.path("usr/local/bin/dockerd"), "by hand")
	proof, err := Installed(t.Context(), approvedVendor(h.root))
	want(t, "", proof, err)
	for _, f := range proof.Facts {
		if f.Asked == "/usr/local/bin/dockerd" && strings.Contains(f.Answer, "outside the package") {
			return
		}
	}
	t.Error("no fact names it")
}

// TestRoot: links are followed below the root, never out of it.
func TestRoot(t *testing.T) {
	h := copyHost(t)
	outside := filepath.Join(t.TempDir(), "dockerd")
	write(t, outside, read(t, h.path("usr/bin/dockerd")))
	sh(t, nil, "ln", "-sf", outside, h.path("usr/bin/dockerd"))
	proof, err := Installed(t.Context(), approvedVendor(h.root))
	want(t, "refused: is gone", proof, err)

	write(t, h.path("opt/engine"), read(t, outside))
	sh(t, nil, "ln", "-sf", "/opt/engine", h.path("usr/bin/dockerd"))
	proof, err = Installed(t.Context(), approvedVendor(h.root))
	want(t, "", proof, err)
}
