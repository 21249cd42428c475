package testbed

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// packagesFile lists what `make deps` installs, a Debian package a line.
//
//go:embed packages.txt
var packagesFile string

// Packages are the Debian packages that the tests on real engines need.
func Packages() []string { return strings.Fields(packagesFile) }

// needed are the programs of a testbed and the packages they come from. The
// docker client is not among them: not every docker will do.
var needed = []struct{ program, pkg string }{
	{"dockerd", "docker.io"},
	{"containerd", "containerd"},
	{"runc", "runc"},
	{"docker-registry", "docker-registry"},
	{"notary-server", "notary"},
	{"notary-signer", "notary"},
	{"notary", "notary"}, // signs where the engine is Moby
	{"busybox", "busybox-static"},
	{"ip", "iproute2"},
	{"unshare", "util-linux"},
	{"nsenter", "util-linux"},
	{"systemd-socket-activate", "systemd"},
	{"systemd-socket-proxyd", "systemd"},
}

// systemFolders hold programs that root's path may lack.
var systemFolders = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}

func searchPath() string {
	return strings.Join(append([]string{os.Getenv("PATH")}, systemFolders...), ":")
}

// A MissingError says which programs a testbed lacks.
type MissingError struct{ Programs []string }

func (e *MissingError) Error() string {
	return fmt.Sprintf("missing here: %s; run `make deps`, or `apt-get install %s`",
		strings.Join(e.Programs, ", "), strings.Join(Packages(), " "))
}

// findPrograms finds what a testbed with that engine runs, by name.
func findPrograms(ctx context.Context, engine Engine) (map[string]string, error) {
	found := map[string]string{}
	var missing []string
	for _, n := range needed {
		path, err := lookup(n.program)
		if err != nil {
			missing = append(missing, fmt.Sprintf("%s (package %s)", n.program, n.pkg))
		}
		found[n.program] = path
	}
	client, err := dockerClient(ctx)
	if err != nil {
		missing = append(missing, err.Error())
	}
	found["docker"] = client
	if len(missing) > 0 {
		return nil, &MissingError{missing}
	}
	if engine == Moby {
		dir, err := MobyDir()
		if err != nil {
			return nil, err
		}
		found["dockerd"] = filepath.Join(dir, "dockerd")
	}
	return found, nil
}

// lookup finds a program on the path, in the system's folders, or where
// systemd keeps those that people do not call.
func lookup(name string) (string, error) {
	folders := append(filepath.SplitList(searchPath()), "/usr/lib/systemd", "/lib/systemd")
	for _, folder := range folders {
		if path, err := exec.LookPath(filepath.Join(folder, name)); err == nil && filepath.IsAbs(path) {
			return path, nil
		}
	}
	return "", exec.ErrNotFound
}

// dockerClient finds the first docker that can sign: 29 and up cannot.
func dockerClient(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for _, folder := range filepath.SplitList(searchPath()) {
		path, err := exec.LookPath(filepath.Join(folder, "docker"))
		if err != nil || !filepath.IsAbs(path) {
			continue
		}
		// A client without the command shows its general help instead.
		help, err := command(ctx, path, "trust", "sign", "--help").Output()
		if err == nil && strings.Contains(string(help), "docker trust sign") {
			return path, nil
		}
	}
	return "", errors.New("a docker client with `docker trust` (package docker.io)")
}
