package host

import (
	"os"
	"path/filepath"
	"testing"
)

func TestRealPath(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, dir := range []string{"usr/bin", "run", "srv"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{
		"bin": "usr/bin", "srv/etc": "../etc", "srv/abs": "/run", "srv/circle": "circle", "srv/out": "../../../../etc", "srv/two": "abs/x",
	} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	h := &Host{Files: NewDisk(root)}
	for name, want := range map[string]string{
		"/": "/", "/bin": "/usr/bin", "/bin/sh": "/usr/bin/sh", "/usr/../bin/": "/usr/bin", "/srv/etc/cron.d": "/etc/cron.d",
		"/srv/abs/docker.sock": "/run/docker.sock", "/srv/two": "/run/x", "/srv/out": "/etc", "/srv/missing/x": "/srv/missing/x",
		"/srv/circle": "/srv/circle",
	} {
		if got := h.RealPath(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	if got := (&Host{}).RealPath("/bin/../bin"); got != "/bin" {
		t.Errorf("without files: got %s", got)
	}
}
