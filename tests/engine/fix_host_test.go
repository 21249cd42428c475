package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/docker-stig/docker-stig/cli-plugin/remedy"
	"github.com/docker-stig/docker-stig/shared/stig"
	"github.com/docker-stig/docker-stig/tests/testbed"
)

// strangers own what root should.
const strangers = 1234

// kernelAudit stands in for the kernel behind auditctl, which all that runs on
// a machine shares: it is on, somebody listens, and it keeps the rules that it
// is given. The augenrules that calls it is the real one.
const kernelAudit = `#!/bin/sh
kept="$0.rules"
case "$1" in
-s) printf 'enabled 1\nfailure 1\npid 1\n' ;;
-l) if [ -s "$kept" ]; then cat "$kept"; else echo 'No rules'; fi ;;
-R) sed -n 's/^-w \([^ ]*\) -k/-w \1 -p rwxa -k/p' "$2" >"$kept" ;;
*) exit 1 ;;
esac
`

// hostScript makes a mount namespace in which the host is one that fails, and
// becomes the program it is given. What is changed below /etc goes to a folder
// of the test; /run has the engine's socket alone, and no systemd.
const hostScript = `set -e
mount -t overlay -o lowerdir=/etc,upperdir="$1/etc",workdir="$1/work" overlay /etc
mount -t tmpfs -o mode=755 run /run
ln -s "$2" /run/docker.sock
mount --bind "$1/auditctl" "$(readlink -f /usr/sbin/auditctl)"
shift 2
exec "$@"`

// A failingHost is a testbed's engine on a host that fails as much as can be,
// without the machine of the test failing.
type failingHost struct {
	*bed
	dir string // what the host has of its own
}

// newFailingHost starts an engine with a daemon.json on such a host.
func newFailingHost(t *testing.T, engine testbed.Engine, values string, config func(*failingHost) map[string]any) *failingHost {
	t.Helper()
	h := &failingHost{newBed(t, engine), t.TempDir()}
	h.env = []string{"STIG_SITE=" + h.path("site.yaml"), "STIG_POLICY=" + h.PolicyFile()}
	for name, content := range map[string]string{
		"site.yaml":                         values,
		"etc/os-release":                    "ID=ubuntu\nVERSION_ID=\"20.04\"\nPRETTY_NAME=\"Ubuntu 20.04 LTS\"\n",
		"etc/default/docker":                "# DOCKER_OPTS\n",
		"etc/docker/certs.d/r.test/ca.crt":  "-",
		"etc/systemd/system/docker.service": "[Service]\nExecStart=/usr/bin/dockerd\n",
		"etc/systemd/system/docker.socket":  "[Socket]\nListenStream=/run/docker.sock\n",
		"tls/README":                        "nothing\n",
	} {
		writeFile(t, h.path(name), content, 0o666)
	}
	writeFile(t, h.path("auditctl"), kernelAudit, 0o755)
	if err := errors.Join(os.Mkdir(h.path("work"), 0o755), os.Symlink(h.DaemonJSON(), h.path("etc/docker/daemon.json"))); err != nil {
		t.Fatal(err)
	}
	raw, err := json.MarshalIndent(config(h), "", "    ")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.RestartEngine(t.Context(), raw); err != nil {
		t.Fatal(err)
	}
	h.spoil(t)
	if out := h.by(t, "augenrules", "--load"); out.code != 0 { // as it is done at boot
		t.Fatalf("augenrules: %s%s", out.stdout, out.stderr)
	}
	return h
}

func (h *failingHost) path(name string) string { return filepath.Join(h.dir, name) }

// tlsFiles gives the engine certificates, in files that anybody may write.
func (h *failingHost) tlsFiles(t *testing.T) (ca, cert, key string) {
	t.Helper()
	ca, cert, key = h.path("tls/ca.pem"), h.path("tls/cert.pem"), h.path("tls/key.pem")
	for name, from := range map[string]string{ca: h.CA(), cert: h.Dir() + "/srv.crt", key: h.Dir() + "/srv.key"} {
		writeFile(t, name, read(t, from), 0o666)
	}
	return ca, cert, key
}

// spoil gives all files that rules look at to a stranger, and to everybody.
func (h *failingHost) spoil(t *testing.T) {
	t.Helper()
	names := []string{h.DaemonJSON(), h.Dir() + "/d.sock"}
	for _, name := range []string{
		"etc/docker", "etc/docker/certs.d/r.test", "etc/docker/certs.d/r.test/ca.crt", "etc/default/docker",
		"etc/systemd/system/docker.service", "etc/systemd/system/docker.socket", "tls/ca.pem", "tls/cert.pem", "tls/key.pem",
	} {
		names = append(names, h.path(name))
	}
	for _, name := range names {
		if _, err := os.Stat(name); errors.Is(err, os.ErrNotExist) && strings.Contains(name, "/tls/") {
			continue
		}
		if err := errors.Join(os.Chown(name, strangers, strangers), os.Chmod(name, 0o777)); err != nil {
			t.Fatal(err)
		}
	}
}

// by runs a program on the failing host.
func (h *failingHost) by(t *testing.T, argv ...string) output {
	t.Helper()
	return h.run(t, append([]string{"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin"}, h.env...), append(h.view(), argv...)...)
}

func (h *failingHost) view() []string {
	return []string{"unshare", "--mount", "--propagation", "private", "sh", "-c", hostScript, "host", h.dir, h.Dir() + "/d.sock"}
}

// stig runs docker stig on the failing host, and wants an exit code.
func (h *failingHost) stig(t *testing.T, code int, args ...string) output {
	t.Helper()
	out := h.by(t, slices.Concat([]string{h.variable("STIG_DOCKER"), "stig"}, args)...)
	if out.code != code {
		t.Errorf("docker stig %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), out.code, code, out.stdout, out.stderr)
	}
	return out
}

// statuses are those of a check on the failing host.
func (h *failingHost) statuses(t *testing.T) map[stig.ID]row {
	t.Helper()
	out := h.by(t, h.variable("STIG_DOCKER"), "stig", "check", "--format", "json")
	var answer struct {
		Results []struct {
			row
			StigID stig.ID
		}
	}
	fromJSON(t, out.stdout, &answer)
	rows := map[stig.ID]row{}
	for _, r := range answer.Results {
		rows[r.StigID] = r.row
	}
	return rows
}

// process is that of the engine.
func (h *failingHost) process(t *testing.T) int {
	t.Helper()
	pid, err := h.EnginePID()
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// plan is what a fix would do, as docker stig writes it down.
func (h *failingHost) plan(t *testing.T) remedy.Plan {
	t.Helper()
	file := h.path("plan.json")
	h.stig(t, 2, h.withRestart(t, "fix", "--out", file)...)
	plan, err := remedy.ReadPlan(file)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// withRestart lets a command restart the engine.
func (h *failingHost) withRestart(t *testing.T, args ...string) []string {
	t.Helper()
	return append(args, "--allow-restart", "--restart-command", h.restarter(t))
}

// testbedProgram restarts the engine in place of systemd.
var testbedProgram = sync.OnceValues(func() (string, error) {
	path := filepath.Join(programs, "testbed")
	out, err := exec.Command("go", "build", "-o", path, "github.com/docker-stig/docker-stig/tests/testbed/cmd/testbed").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building the testbed's program: %w\n%s", err, out)
	}
	return path, nil
})

// restarter is a program that restarts the engine, and counts.
func (h *failingHost) restarter(t *testing.T) string {
	t.Helper()
	program, err := testbedProgram()
	if err != nil {
		t.Fatal(err)
	}
	path := h.path("restart")
	writeFile(t, path, fmt.Sprintf("#!/bin/sh\necho restarted >>'%s.count'\nexec '%s' restart --dir '%s'\n", path, program, h.Dir()), 0o755)
	return path
}

// restarts is how often the engine was restarted by it.
func (h *failingHost) restarts(t *testing.T) int {
	t.Helper()
	raw, err := os.ReadFile(h.path("restart.count"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Count(string(raw), "\n")
}

// snapshot is the failing host's files as text, a line each: owner, mode, and
// what they hold or lead to.
func (h *failingHost) snapshot(t *testing.T) map[string]string {
	t.Helper()
	const script = `find /etc /run "$@" -printf '%p\t%y %U:%G %m %l\n'; find /etc /run "$@" -type f -exec sha256sum {} +`
	out := h.by(t, "sh", "-c", script, "find", h.path("tls"), h.DaemonJSON(), h.Dir()+"/d.sock")
	if out.code != 0 {
		t.Fatal(out.stderr)
	}
	files := map[string]string{}
	for line := range strings.Lines(out.stdout) {
		line = strings.TrimSuffix(line, "\n")
		if name, says, ok := strings.Cut(line, "\t"); ok {
			files[name] += says
			continue
		}
		sum, name, _ := strings.Cut(line, "  ")
		files[name] += " " + sum + " "
	}
	return files
}
