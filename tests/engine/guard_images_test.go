package engine

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func (b twice) saveAndLoad(t *testing.T, image string) {
	t.Helper()
	var sums [2]string
	for i, side := range []*bed{b.bare, b.through} {
		file := filepath.Join(t.TempDir(), "image.tar")
		if out := side.docker(t, "save", "--output", file, image); out.code != 0 {
			t.Fatal(out.stderr)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sums[i] = fmt.Sprintf("%x", sha256.Sum256(data))
		if out := side.docker(t, "load", "--input", file); out.code != 0 || !strings.Contains(out.stdout, image) {
			t.Errorf("%+v", out)
		}
	}
	if sums[0] != sums[1] {
		t.Error("the archive is another one through the guard")
	}
}

// build goes through the classic builder, which both engines have.
func (b twice) build(t *testing.T, image string) {
	t.Helper()
	context := t.TempDir()
	for name, text := range map[string]string{"Dockerfile": "FROM " + image + "\nCOPY file /file\nCMD [\"cat\", \"/file\"]\n", "file": "built\n"} {
		if err := os.WriteFile(filepath.Join(context, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i, side := range []*bed{b.bare, b.through} {
		classic := &bed{Testbed: side.Testbed, env: append([]string{"DOCKER_BUILDKIT=0"}, side.env...)}
		tag := fmt.Sprintf("built:%d", i)
		if out := classic.docker(t, "build", "--no-cache", "--tag", tag, context); out.code != 0 {
			t.Fatalf("%+v", out)
		}
		if out := side.docker(t, "run", "--rm", "--network", "none", tag); out.stdout != "built\n" {
			t.Errorf("%+v", out)
		}
	}
}
