package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/stig"
	"github.com/docker-stig/docker-stig/tests/testbed"
)

// unseen is what is said of everything that only the engine's host can tell.
const unseen = "this connection cannot see the host"

// A row is what a checklist in JSON says of a requirement.
type row struct {
	VulnID   string
	Status   stig.Status
	Details  string
	Findings []stig.Finding
}

// fromHost reports whether a row rests on more than the engine's API told.
func (r row) fromHost() bool {
	for _, f := range r.Findings {
		for _, fact := range f.Evidence {
			if fact.Source != "engine" && !strings.HasPrefix(fact.Source, "https://") && !strings.Contains(fact.Answer, unseen) {
				return true
			}
		}
	}
	return false
}

// fromEngine reports whether a row rests on the engine's API, at least in part.
func (r row) fromEngine() bool {
	return slices.ContainsFunc(r.Findings, func(f stig.Finding) bool {
		return slices.ContainsFunc(f.Evidence, func(fact stig.Fact) bool { return fact.Source == "engine" })
	})
}

// A list is a checklist, by Vuln ID.
type list struct {
	output
	HostName, IP, MAC string
	rows              map[string]row
}

// run runs a program with the testbed's environment and more.
func (b *bed) run(t *testing.T, env []string, argv ...string) output {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = slices.Concat(os.Environ(), b.Env(), env)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exited := new(exec.ExitError); err != nil && !errors.As(err, &exited) {
		t.Fatalf("%s: %v", strings.Join(argv, " "), err)
	}
	return output{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// check runs docker stig check by way of another program and reads all rows.
// The options are docker's own.
func (b *bed) check(t *testing.T, env, by []string, options ...string) list {
	t.Helper()
	return rowsOf(t, b.run(t, env, slices.Concat(by, []string{b.variable("STIG_DOCKER")}, options, []string{"stig", "check", "--format", "json"})...))
}

// rowsOf reads all rows of a checklist in JSON.
func rowsOf(t *testing.T, out output) list {
	t.Helper()
	var answer struct {
		Target  struct{ HostName, IP, MAC string }
		Results []row
	}
	if err := json.Unmarshal([]byte(out.stdout), &answer); err != nil {
		t.Fatalf("%v: %s", err, out.stderr)
	}
	l := list{output: out, HostName: answer.Target.HostName, IP: answer.Target.IP, MAC: answer.Target.MAC, rows: map[string]row{}}
	for _, r := range answer.Results {
		l.rows[r.VulnID] = r
	}
	if len(l.rows) != 101 {
		t.Fatalf("%d rows: %s", len(l.rows), out.stderr)
	}
	return l
}

// planted stands in every file of the disk that no engine of another machine
// may be judged by.
const planted = "canary.example.com"

// canaryView lays files with the planted name over /etc, for one program: the
// machine itself stays as it is.
func canaryView(t *testing.T) []string {
	t.Helper()
	etc := t.TempDir()
	for name, content := range map[string]string{
		"docker/daemon.json":                    `{"insecure-registries": ["` + planted + `"], "log-opts": {"max-size": "` + planted + `"}}`,
		"docker/certs.d/" + planted + "/ca.crt": planted,
		"default/docker":                        `DOCKER_OPTS="--label=` + planted + `"`,
		"hostname":                              planted,
	} {
		writeFile(t, filepath.Join(etc, name), content, 0o666)
	}
	const script = `mount -t overlay -o lowerdir="$1":/etc overlay /etc && shift && exec "$@"`
	return []string{"unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", etc}
}

// writeFile writes a file of exactly this mode, with its folders.
func writeFile(t *testing.T, name, content string, mode os.FileMode) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(content), mode), os.Chmod(name, mode)); err != nil {
		t.Fatal(err)
	}
}

// isRemote wants everything that the engine tells judged as on its own host,
// and nothing else judged at all.
func (l list) isRemote(t *testing.T, local list) {
	t.Helper()
	if strings.Contains(l.stdout+l.stderr, planted) {
		t.Error("the local disk shows")
	}
	if l.IP != "" || l.MAC != "" || l.HostName != local.HostName {
		t.Errorf("the checklist is of %q, %s, %s: the engine is on %q", l.HostName, l.IP, l.MAC, local.HostName)
	}
	told, hidden := 0, 0
	for _, id := range slices.Sorted(maps.Keys(local.rows)) {
		far, near := l.rows[id], local.rows[id]
		if far.fromHost() {
			t.Errorf("%s: evidence from the local disk: %+v", id, far.Findings)
		}
		switch {
		case far.Status == stig.NotReviewed && strings.Contains(far.Details, unseen):
			hidden++
			if near.fromEngine() && !near.fromHost() {
				t.Errorf("%s: the engine tells it, yet: %s", id, far.Details)
			}
		case far.Status != near.Status:
			t.Errorf("%s is %v, and %v on the engine's own host: %s", id, far.Status, near.Status, far.Details)
		case far.fromEngine():
			told++
		case near.fromHost():
			t.Errorf("%s is %v, and only the host can tell: %s", id, far.Status, far.Details)
		}
	}
	if told < 20 || hidden < 20 {
		t.Errorf("%d rows were told by the engine, %d hidden: that is no comparison", told, hidden)
	}
}

// freePort is a port on loopback that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// TestRemoteEngines asks engines through docker contexts over TLS and over
// ssh. They run on this machine, and its disk must not be believed all the
// same.
func TestRemoteEngines(t *testing.T) {
	for _, engine := range []testbed.Engine{testbed.Docker, testbed.Moby} {
		t.Run(string(engine), func(t *testing.T) {
			sshd := startSSHD(t)
			b := newBed(t, engine)
			port := freePort(t)
			config, err := json.Marshal(map[string]any{
				"hosts":     []string{b.variable("DOCKER_HOST"), fmt.Sprintf("tcp://127.0.0.1:%d", port)},
				"tlsverify": true, "tlscacert": b.CA(), "tlscert": b.Dir() + "/srv.crt", "tlskey": b.Dir() + "/srv.key",
				"userland-proxy": false,
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := b.RestartEngine(t.Context(), config); err != nil {
				t.Fatal(err)
			}
			image := b.must(t)(b.UnsignedImage(t.Context(), "shop:1")).Ref
			b.tell(t, "create", "--name", "plain", "--network", "none", "--volume", "/etc:/host", image, "true")
			b.tell(t, "create", "--name", "open", "--network", "host", image, "true")
			b.tell(t, "context", "create", "tls", "--docker", fmt.Sprintf("host=tcp://127.0.0.1:%d,ca=%s,cert=%s/signer-client.crt,key=%[3]s/signer-client.key", port, b.CA(), b.Dir()))
			b.tell(t, "context", "create", "ssh", "--docker", fmt.Sprintf("host=ssh://root@127.0.0.1:%d%s/d.sock", sshd.port, b.Dir()))
			view := canaryView(t)

			local := b.check(t, nil, view)
			if !strings.Contains(local.stdout, planted) {
				t.Fatal("the engine's own host does not show the planted name: it proves nothing")
			}
			pid, err := b.EnginePID()
			if err != nil {
				t.Fatal(err)
			}
			t.Run("tls", func(t *testing.T) {
				room := []string{"nsenter", "--net=/proc/" + strconv.Itoa(pid) + "/ns/net", "--"} // the engine's loopback is its own
				b.check(t, nil, append(room, view...), "--context", "tls").isRemote(t, local)
			})
			t.Run("ssh", func(t *testing.T) {
				b.check(t, sshd.env, view, "--context", "ssh").isRemote(t, local)
			})
			t.Run("ssh without the key", func(t *testing.T) {
				none := b.check(t, []string{"PATH=" + sshd.strangers + ":" + os.Getenv("PATH")}, view, "--context", "ssh")
				for id, r := range none.rows {
					if r.Status == stig.Open || r.Status == stig.NotAFinding {
						t.Errorf("%s is %v, and nobody was asked: %s", id, r.Status, r.Details)
					}
				}
			})
		})
	}
}
