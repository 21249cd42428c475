package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker-stig/docker-stig/tests/testbed"
)

// clientPlugins are those of Docker's that talk to an engine.
func (b *bed) clientPlugins(t *testing.T, image string) {
	t.Helper()
	built := testbed.ClientPlugins(t)
	for _, name := range []string{"docker-compose", "docker-buildx"} {
		if err := os.Symlink(filepath.Join(built, name), filepath.Join(b.variable("DOCKER_CONFIG"), "cli-plugins", name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("compose", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "compose.yaml")
		text := "services:\n  app:\n    image: " + image + "\n    network_mode: none\n    command: [sh, -c, 'echo composed']\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		compose := []string{"compose", "--project-name", "guarded", "--file", file}
		if out := b.docker(t, append(compose, "up", "--no-color")...); out.code != 0 || !strings.Contains(out.stdout, "composed") {
			t.Errorf("%+v", out)
		}
		if out := b.docker(t, append(compose, "down")...); out.code != 0 {
			t.Errorf("%+v", out)
		}
	})
	t.Run("buildx", func(t *testing.T) {
		dir := t.TempDir()
		for name, text := range map[string]string{"Dockerfile": "FROM scratch\nCOPY file /file\n", "file": "built\n"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if out := b.docker(t, "buildx", "build", "--progress", "plain", "--tag", "built:x", dir); out.code != 0 {
			t.Fatalf("%+v", out)
		}
		if out := b.docker(t, "image", "inspect", "built:x"); out.code != 0 {
			t.Error(out.stderr)
		}
	})
}
