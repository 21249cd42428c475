package packages

import (
	"archive/tar"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/docker-stig/docker-stig/shared/trust/policy"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// contents are the files of each package, with mode and owner; the same for
// every format. Folders that the system owns are left out, and so are the
// pages of docker stig's commands, which TestEveryCommandBringsItsPage counts.
var contents = map[string]map[string]string{
	"docker-stig": {
		"/usr/libexec/docker/cli-plugins/docker-stig":  "755 root:root",
		"/usr/share/doc/docker-stig/copyright":         "644 root:root",
		"/usr/share/man/man5/docker-stig-policy.5.gz":  "644 root:root",
		"/usr/share/man/man5/docker-stig-site.5.gz":    "644 root:root",
		"/usr/share/man/man7/docker-stig-check.7.gz":   "644 root:root",
		"/usr/share/man/man7/docker-stig-fix.7.gz":     "644 root:root",
		"/usr/share/man/man7/docker-stig-signing.7.gz": "644 root:root",
		"/usr/share/man/man7/docker-stig-trust.7.gz":   "644 root:root",
	},
	"docker-stig-authz": {
		"/usr/sbin/docker-stig-authz":                       "755 root:root",
		"/usr/lib/systemd/system/docker-stig-authz.service": "644 root:root",
		"/usr/lib/systemd/system/docker-stig-authz.socket":  "644 root:root",
		"/usr/lib/systemd/system/docker-stig-guard.service": "644 root:root",
		"/usr/lib/systemd/system/docker-stig-guard.socket":  "644 root:root",
		"/usr/share/docker-stig/docker.socket-guard.conf":   "644 root:root",
		"/etc/docker-stig":                           "755 root:root",
		"/etc/docker-stig/policy.json":               "644 root:root",
		"/usr/share/doc/docker-stig-authz/copyright": "644 root:root",
		"/usr/share/man/man8/docker-stig-authz.8.gz": "644 root:root",
	},
}

func TestContentsOfDeb(t *testing.T) {
	t.Parallel()
	requireTools(t, "dpkg-deb")
	for name, want := range contents {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := packageOf(t, version, name, "deb")
			if diff := cmp.Diff(want, debContents(t, file), withoutCommandPages); diff != "" {
				t.Errorf("contents: -want +got:\n%s", diff)
			}
			fields := run(t, "dpkg-deb", "-f", file, "Package", "Version", "Architecture", "Maintainer", "Homepage")
			for _, want := range []string{
				"Package: " + name, "Version: 0.1.0~dev+g0000001", "Architecture: " + runtime.GOARCH,
				"Maintainer: The docker-stig authors <", "Homepage: https://",
			} {
				if !strings.Contains(fields, want) {
					t.Errorf("the control file lacks %q:\n%s", want, fields)
				}
			}
		})
	}
}

// debContents reads the modes and owners in a deb, and holds every file
// against the one time they were all built with.
func debContents(t *testing.T, file string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for r := tar.NewReader(strings.NewReader(run(t, "dpkg-deb", "--fsys-tarfile", file))); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatalf("reading %s: %v", file, err)
		}
		if h.ModTime.Unix() != epoch {
			t.Errorf("%s is of %s, want the time of the commit", h.Name, h.ModTime)
		}
		path := strings.TrimSuffix(strings.TrimPrefix(h.Name, "."), "/")
		if h.Typeflag == tar.TypeReg || path == "/etc/docker-stig" {
			found[path] = fmt.Sprintf("%o %s:%s", h.Mode&0o7777, h.Uname, h.Gname)
		}
	}
}

func TestContentsOfRPM(t *testing.T) {
	t.Parallel()
	requireTools(t, "rpm")
	for name, want := range contents {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := packageOf(t, version, name, "rpm")
			if diff := cmp.Diff(want, rpmContents(t, file), withoutCommandPages); diff != "" {
				t.Errorf("contents: -want +got:\n%s", diff)
			}
			fields := run(t, "rpm", "-qp", "--qf", "%{NAME} %{VERSION} %{LICENSE} %{URL} %{PACKAGER}", file)
			if want := name + " 0.1.0~dev+g0000001 Apache-2.0 https://"; !strings.HasPrefix(fields, want) {
				t.Errorf("the header says %q, want it to begin with %q", fields, want)
			}
		})
	}
}

func rpmContents(t *testing.T, file string) map[string]string {
	t.Helper()
	found := map[string]string{}
	format := `[%{FILENAMES} %{FILEMODES:octal} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILEMTIMES}\n]`
	for line := range strings.Lines(run(t, "rpm", "-qp", "--qf", format, file)) {
		fields := strings.Fields(line)
		mode, err := strconv.ParseInt(fields[1], 8, 32)
		if err != nil {
			t.Fatalf("rpm says %q: %v", line, err)
		}
		found[fields[0]] = fmt.Sprintf("%o %s", mode&0o7777, fields[2])
		if fields[3] != strconv.Itoa(epoch) {
			t.Errorf("%s is of %s s, want the time of the commit", fields[0], fields[3])
		}
	}
	return found
}

// TestPolicyBelongsToTheSite wants both managers to keep a changed policy.
func TestPolicyBelongsToTheSite(t *testing.T) {
	t.Parallel()
	requireTools(t, "dpkg-deb", "rpm")
	const path = "/etc/docker-stig/policy.json"
	if got := run(t, "dpkg-deb", "-I", packageOf(t, version, "docker-stig-authz", "deb"), "conffiles"); strings.TrimSpace(got) != path {
		t.Errorf("conffiles of the deb: %q, want %s alone", got, path)
	}
	flags := run(t, "rpm", "-qp", "--qf", `[%{FILENAMES} %{FILEFLAGS:fflags}\n]`, packageOf(t, version, "docker-stig-authz", "rpm"))
	if !strings.Contains(flags, path+" cn\n") { // config, noreplace
		t.Errorf("flags of the rpm's files:\n%swant cn for %s", flags, path)
	}
}

// TestPolicyJudgesAndLetsThrough: what is installed blocks nothing, pins
// nothing, and spells out the values that hold without it.
func TestPolicyJudgesAndLetsThrough(t *testing.T) {
	t.Parallel()
	got, err := policy.Load("../../packaging/policy.json")
	if err != nil {
		t.Fatal(err)
	}
	want, err := policy.Parse("defaults", []byte(`{"content-trust": {"mode": "permissive"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("-defaults +packaged:\n%s", diff)
	}
}

// TestProgramsAreStatic: they run on any distribution, whatever its libc.
func TestProgramsAreStatic(t *testing.T) {
	t.Parallel()
	requireTools(t, "dpkg-deb")
	for name, path := range map[string]string{
		"docker-stig":       "usr/libexec/docker/cli-plugins/docker-stig",
		"docker-stig-authz": "usr/sbin/docker-stig-authz",
	} {
		dir := t.TempDir()
		run(t, "dpkg-deb", "-x", packageOf(t, version, name, "deb"), dir)
		program, err := elf.Open(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		defer program.Close()
		if program.Section(".interp") != nil {
			t.Errorf("%s wants a dynamic linker", name)
		}
		data, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(data), version) {
			t.Errorf("%s does not know its version %s", name, version)
		}
		if here, err := os.Getwd(); err == nil && strings.Contains(string(data), filepath.Dir(filepath.Dir(here))+"/") {
			t.Errorf("%s holds paths of the machine that built it", name)
		}
	}
}
