package remedy

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/docker-stig/docker-stig/cli-plugin/benchmark"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/packages"
	"github.com/docker-stig/docker-stig/cli-plugin/remedy/documents"
	"github.com/docker-stig/docker-stig/cli-plugin/remedy/transaction"
)

// canary is somebody's password, which no plan tells. The key is Docker's for
// its packages for Debian; approved, it counts for rpm, too.
const (
	dockerKey   = "9DC858229FC7DD38854AE2D88D81803C0EBFCD88"
	dockerRing  = "/etc/apt/keyrings/docker-engine-8d81803c0ebfcd88.asc"
	rpmRing     = "/etc/pki/rpm-gpg/RPM-GPG-KEY-docker-engine-8d81803c0ebfcd88"
	vendorsFile = "../host/packages/testdata/docker-ce-deb.asc"
	canary      = "TOPSECRET"
)

// inside is the variable that tells a test that it runs on a host of its own:
// its folder.
const inside = "STIG_TEST_HOST"

// hostScript makes a mount namespace whose /etc and /var are those of a folder,
// and becomes the program it is given. Nothing that is made there is open to
// others by itself.
const hostScript = `umask 077; for d in etc var; do mount --bind "$STIG_TEST_HOST/$d" "/$d"; done; exec "$@"`

// onHost runs the test once more on a host with some files, and reports true
// there.
func onHost(t *testing.T, files map[string]string) bool {
	t.Helper()
	if os.Getenv(inside) != "" {
		return true
	}
	if os.Geteuid() != 0 {
		if os.Getenv("STIG_REQUIRE_ENGINE") == "1" {
			t.Fatal("a host of its own takes root")
		}
		t.Skip("a host of its own takes root")
	}
	root := t.TempDir()
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(name, "bin/") {
			if err := os.Chmod(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "--propagation", "private", "sh", "-ec", hostScript, "sh", self, "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"="+root, "PATH="+filepath.Join(root, "bin")+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("on a host of its own: %v\n%s", err, out)
	}
	return false
}

// vendorRun fixes V-235788 on the host that the test runs on.
type vendorRun struct {
	runner  transaction.Runner
	host    func() *host.Host
	options Options
}

func newVendorRun(t *testing.T) vendorRun {
	t.Helper()
	guide, err := benchmark.DockerEnterprise()
	if err != nil {
		t.Fatal(err)
	}
	rule, ok := guide.Find("V-235788")
	if !ok {
		t.Fatal("the guide has no V-235788")
	}
	return vendorRun{
		runner: transaction.Runner{Store: transaction.StoreIn(t.TempDir()), Now: time.Now, Program: RunProgram, Talk: func(string) {}},
		host: func() *host.Host {
			h := newHost()
			h.Site.VendorKey, h.Site.ApprovedKeys = vendorsFile, []string{dockerKey}
			h.Package = func(ctx context.Context) (packages.Proof, error) {
				return packages.Installed(ctx, packages.Options{Root: "/", Approved: h.Site.ApprovedKeys, Now: time.Now()})
			}
			return h
		},
		options: Options{Guide: guide, Requirements: []benchmark.Requirement{rule}, Named: true, Open: documents.Places{}.Open, Now: time.Now},
	}
}

func (r vendorRun) plan(t *testing.T, repository string) Plan {
	t.Helper()
	p, err := r.make(t.Context(), repository)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (r vendorRun) make(ctx context.Context, repository string) (Plan, error) {
	h := r.host()
	h.Site.VendorRepository = repository
	return Make(ctx, h, r.options)
}

// applied carries out a plan that was written down, and gives the way back.
func (r vendorRun) applied(t *testing.T, repository string) (undo func()) {
	t.Helper()
	p := r.plan(t, repository)
	discreet(t, p)
	raw, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	written, err := ReadPlan(write(t, filepath.Join(t.TempDir(), "plan.json"), string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	p = r.plan(t, repository)
	if err := p.Same(written); err != nil {
		t.Fatalf("nothing has changed: %v", err)
	}
	j, _, err := p.Apply(t.Context(), r.runner, func(ctx context.Context) (Plan, error) { return r.make(ctx, repository) }, r.options)
	if err != nil {
		t.Fatal(err)
	}
	if again := r.plan(t, repository); !again.Empty() {
		t.Errorf("wanted again: %+v", again.Changes)
	}
	r.guarded(t)
	return func() {
		t.Helper()
		j, err := r.runner.Store.Read(j.ID)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.runner.Undo(t.Context(), j, false); err != nil {
			t.Fatal(err)
		}
	}
}

// discreet wants no password in what is shown and written of a plan.
func discreet(t *testing.T, p Plan) {
	t.Helper()
	if len(p.Changes) < 2 {
		t.Fatalf("too little is planned: %+v", p)
	}
	raw, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	if err := p.Show(&table); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"JSON": string(raw), "table": table.String()} {
		if strings.Contains(text, canary) {
			t.Errorf("the plan as %s tells a password:\n%s", name, text)
		}
	}
	if !strings.Contains(table.String(), "<NOT SHOWN>") {
		t.Errorf("a line with a password is not shown as changed:\n%s", table.String())
	}
}

// guarded wants what is kept for the way back to be root's alone.
func (r vendorRun) guarded(t *testing.T) {
	t.Helper()
	for name, entry := range tree(t, r.runner.Store.Dir) {
		if !strings.HasSuffix(entry.mode, "------") {
			t.Errorf("%s can be read by others: %s", name, entry.mode)
		}
	}
}

type entry struct{ mode, sum string }

// tree is what is in a folder.
func tree(t *testing.T, dir string) map[string]entry {
	t.Helper()
	found := map[string]entry{}
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		one := entry{mode: info.Mode().String()}
		if info.Mode().IsRegular() {
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			one.sum = fmt.Sprintf("%x", sha256.Sum256(raw))
		}
		found[path] = one
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return found
}

// hasMode wants files or folders with modes.
func hasMode(t *testing.T, modes map[string]fs.FileMode) {
	t.Helper()
	for path, mode := range modes {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: want mode %o: %v, %v", path, mode, info, err)
		}
	}
}

func holds(t *testing.T, path string, words ...string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range words {
		if !strings.Contains(string(raw), word) {
			t.Errorf("%s lacks %q:\n%s", path, word, raw)
		}
	}
}

const installedDocker = "Package: docker-ce\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5:26.1.4-1~debian.12~bookworm\n"

// TestVendorKeyDeb: the key and the entries of apt's are there after a plan,
// open to apt's own user, and gone when it is taken back. Passwords in those
// entries stay where they are.
func TestVendorKeyDeb(t *testing.T) {
	if !onHost(t, map[string]string{
		"etc/os-release":                   "ID=debian\nVERSION_CODENAME=bookworm\n",
		"etc/apt/sources.list":             "deb https://me:" + canary + "@other.example.com/debian bookworm main\ndeb https://me:" + canary + "@mirror.example.com/docker bookworm stable\n",
		"var/lib/dpkg/status":              installedDocker,
		"var/lib/dpkg/info/docker-ce.list": "/usr/bin/dockerd\n",
		"var/lib/apt/lists/mirror.example.com_docker_dists_bookworm_stable_binary-amd64_Packages": installedDocker,
	}) {
		return
	}
	r, before := newVendorRun(t), tree(t, "/etc")
	undo := r.applied(t, "")
	hasMode(t, map[string]fs.FileMode{filepath.Dir(dockerRing): 0o755, dockerRing: 0o644, "/etc/apt/sources.list": 0o600})
	holds(t, dockerRing, "-----BEGIN PGP PUBLIC KEY BLOCK-----")
	holds(t, "/etc/apt/sources.list", "deb https://me:"+canary+"@other.example.com/debian bookworm main\n",
		"deb [signed-by="+dockerRing+"] https://me:"+canary+"@mirror.example.com/docker bookworm stable\n")
	undo()
	if diff := cmp.Diff(before, tree(t, "/etc"), cmp.AllowUnexported(entry{})); diff != "" {
		t.Errorf("taken back, it is not as it was: %s", diff)
	}
}

// fakeRPM stands in for rpm, which would refuse to take a key away on a host of
// another package manager's. It keeps the keys that it imports beside itself.
const fakeRPM = `#!/bin/sh
key="$0.key"
echo "$*" >>"$0.log"
case "$*" in
*--version*) echo 'RPM version 4.18.0' ;;
*--querytags*) echo NAME ;;
"-q gpg-pubkey-0ebfcd88-"*) [ -e "$key" ] ;;
*gpg-pubkey) if [ -e "$key" ]; then cat "$key"; fi ;;
"--import "*) cp "$2" "$key" ;;
"-e --allmatches gpg-pubkey-0ebfcd88-"*) rm "$key" ;;
*-qa*) ;;
*) exit 1 ;;
esac
`

// TestVendorKeyRPM: the key is laid out and rpm, which is a fake, imports it;
// it is taken out of rpm and off the disk when that is taken back.
func TestVendorKeyRPM(t *testing.T) {
	const repo = "/etc/yum.repos.d/docker.repo"
	if !onHost(t, map[string]string{
		"bin/rpm":                  fakeRPM,
		"etc/os-release":           "ID=rhel\nVERSION_ID=9.4\n",
		"var/lib/rpm/rpmdb.sqlite": "",
		repo: "[other]\npassword=" + canary + "\n\n[docker]\npassword=" + canary + "\ngpgcheck=1\ngpgkey=https://me:" + canary +
			"@mirror.example.com/gpg\nbaseurl=https://mirror.example.com/docker\n",
	}) {
		return
	}
	r, before := newVendorRun(t), tree(t, "/etc")
	rpm := filepath.Join(os.Getenv(inside), "bin/rpm")
	undo := r.applied(t, "https://mirror.example.com/docker")
	hasMode(t, map[string]fs.FileMode{filepath.Dir(rpmRing): 0o755, rpmRing: 0o644, repo: 0o600})
	holds(t, repo, "gpgkey=file://"+rpmRing, "[other]\npassword="+canary, "\npassword="+canary+"\nbaseurl=https://mirror.example.com/docker\n")
	holds(t, rpm+".log", "\n--import "+rpmRing+"\n")
	holds(t, rpm+".key", "-----BEGIN PGP PUBLIC KEY BLOCK-----")
	undo()
	holds(t, rpm+".log", "\n-e --allmatches gpg-pubkey-0ebfcd88-")
	if _, err := os.Stat(rpm + ".key"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("rpm still has the key: %v", err)
	}
	if diff := cmp.Diff(before, tree(t, "/etc"), cmp.AllowUnexported(entry{})); diff != "" {
		t.Errorf("taken back, it is not as it was: %s", diff)
	}
}

// TestReadPlanBounds: what is no file, or too much, is not read.
func TestReadPlanBounds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if out, err := exec.CommandContext(t.Context(), "mkfifo", fifo).CombinedOutput(); err != nil {
		t.Fatalf("mkfifo: %v\n%s", err, out)
	}
	large := write(t, filepath.Join(dir, "large"), "")
	if err := os.Truncate(large, maxPlan+1); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		fifo: "is no regular file", "/dev/zero": "is no regular file", dir: "is no regular file", large: "more than 32 MiB", filepath.Join(dir, "none"): "no such file",
	} {
		if _, err := ReadPlan(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
}
