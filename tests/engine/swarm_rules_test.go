package engine

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/rules"
	"github.com/docker-stig/docker-stig/cli-plugin/site"
	"github.com/docker-stig/docker-stig/shared/stig"
	"github.com/docker-stig/docker-stig/tests/testbed"
)

// TestSwarmRules makes swarms of one real node, good and bad, and holds the
// rules about swarms, and about what is run in containers, against them.
func TestSwarmRules(t *testing.T) {
	for _, engine := range []testbed.Engine{testbed.Docker, testbed.Moby} {
		t.Run(string(engine), func(t *testing.T) {
			s := swarmBed{newBed(t, engine)}
			s.alone(t)
			s.run(t, "swarm", "init", "--listen-addr", "127.0.0.1:2377", "--advertise-addr", "127.0.0.1")
			s.manager(t)
			s.networks(t)
			s.secrets(t)
			s.execs(t)
			s.run(t, "swarm", "leave", "--force")
			s.run(t, "swarm", "init", "--advertise-addr", "127.0.0.1")
			s.wants(t, "", "DKER-EE-006270", stig.Open, "the manager listens on every address")
		})
	}
}

type swarmBed struct{ *bed }

func (s swarmBed) run(t *testing.T, args ...string) {
	t.Helper()
	if out := s.docker(t, args...); out.code != 0 {
		t.Fatalf("docker %s: %s", strings.Join(args, " "), out.stderr)
	}
}

// wants asks a rule about the engine as it is now.
func (s swarmBed) wants(t *testing.T, values string, id stig.ID, want stig.Status, says string) {
	t.Helper()
	address := s.variable("DOCKER_HOST")
	api, err := client.New(client.WithHost(address))
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	known, err := site.Parse("site.yaml", []byte(values))
	if err != nil {
		t.Fatal(err)
	}
	rule, ok := rules.For(id)
	if !ok {
		t.Fatalf("there is no rule for %s", id)
	}
	findings, err := rule.Judge(t.Context(), &host.Host{Engine: api, Address: address, Site: known, Files: host.NewDisk("/"), Now: time.Now})
	if err != nil {
		findings = []stig.Finding{{Details: err.Error()}}
	}
	raw, err := json.Marshal(findings)
	if err != nil {
		t.Fatal(err)
	}
	if got := stig.Worst(findings); got != want || !strings.Contains(string(raw), says) {
		t.Errorf("%s: got %v, want %v and %q in\n%s", id, got, want, says, raw)
	}
	if strings.Contains(string(raw), "SWMTKN") || strings.Contains(string(raw), canary) {
		t.Errorf("%s tells a secret: %s", id, raw)
	}
}

const canary = "canary-5d1e"

func (s swarmBed) alone(t *testing.T) {
	t.Helper()
	for _, id := range []stig.ID{"DKER-EE-002400", "DKER-EE-002660", "DKER-EE-005060", "DKER-EE-005080", "DKER-EE-006240", "DKER-EE-006270"} {
		s.wants(t, "", id, stig.NotApplicable, "in no swarm")
	}
}

func (s swarmBed) manager(t *testing.T) {
	t.Helper()
	const ninetyDays = "swarm: {node-cert-expiry: 2160h}"
	s.wants(t, "", "DKER-EE-005060", stig.NotAFinding, "the swarm has 1 managers")
	s.wants(t, "", "DKER-EE-006270", stig.NotAFinding, "127.0.0.1:2377")
	s.wants(t, "", "DKER-EE-002400", stig.Open, "AutoLockManagers is false")
	s.run(t, "swarm", "update", "--autolock=true")
	s.wants(t, "", "DKER-EE-002400", stig.NotAFinding, "AutoLockManagers is true")
	s.wants(t, "", "DKER-EE-005080", stig.NotReviewed, "live for 2160h0m0s")
	s.wants(t, ninetyDays, "DKER-EE-005080", stig.NotAFinding, "as the plan says")
	s.run(t, "swarm", "update", "--cert-expiry", "720h")
	s.wants(t, ninetyDays, "DKER-EE-005080", stig.Open, "live for 720h0m0s")
}

func (s swarmBed) networks(t *testing.T) {
	t.Helper()
	const said = "swarm: {encrypted-by-application: []}"
	s.wants(t, said, "DKER-EE-006240", stig.NotAFinding, "0 overlay networks are encrypted; 1 of the swarm itself")
	s.overlay(t, "safe", "--opt", "encrypted")
	s.wants(t, said, "DKER-EE-006240", stig.NotAFinding, "1 overlay networks are encrypted")
	s.overlay(t, "plain")
	s.wants(t, said, "DKER-EE-006240", stig.Open, "network plain")
	s.wants(t, "", "DKER-EE-006240", stig.NotReviewed, "swarm.encrypted-by-application")
	s.wants(t, "swarm: {encrypted-by-application: [plain]}", "DKER-EE-006240", stig.NotAFinding, "its applications encrypt")
}

// overlay makes a network, and waits until the swarm has set it up.
func (s swarmBed) overlay(t *testing.T, name string, options ...string) {
	t.Helper()
	s.run(t, slices.Concat([]string{"network", "create", "--driver", "overlay"}, options, []string{name})...)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if out := s.docker(t, "network", "inspect", "--format", "{{.Driver}}", name); strings.TrimSpace(out.stdout) == "overlay" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("network %s has no driver", name)
		}
	}
}

func (s swarmBed) secrets(t *testing.T) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(canary), 0o600); err != nil {
		t.Fatal(err)
	}
	image := s.must(t)(s.UnsignedImage(t.Context(), "swarm/app:1"))
	s.run(t, "secret", "create", "db-password", file)
	s.run(t, "service", "create", "--detach", "--no-resolve-image", "--replicas", "0", "--name", "web", "--secret", "db-password", "--env", "TOKEN="+canary, image.Ref, "true")
	s.wants(t, "", "DKER-EE-002660", stig.NotReviewed, "the swarm has 1 secrets")
	s.wants(t, "swarm: {secrets: {web: [db-password]}}", "DKER-EE-002660", stig.NotAFinding, "it uses db-password")
	s.wants(t, "swarm: {secrets: {web: [db-password, api-key]}}", "DKER-EE-002660", stig.Open, "it does not use api-key")
}

// execs asks the engine about what docker exec started. The audit log is that
// of the machine, and no test writes to it.
func (s swarmBed) execs(t *testing.T) {
	t.Helper()
	image := s.must(t)(s.UnsignedImage(t.Context(), "swarm/exec:1"))
	s.run(t, "run", "--detach", "--network", "none", "--name", "held", "--user", "7", image.Ref, "sleep", "1000")
	s.run(t, "exec", "--detach", "held", "sleep", "1000")
	s.wants(t, "", "DKER-EE-002080", stig.NotReviewed, "1 programs that were started in 1 containers")
	s.wants(t, "", "DKER-EE-002090", stig.NotReviewed, "1 programs that were started in 1 containers")
	s.run(t, "exec", "--detach", "--user", "8", "held", "sleep", "1000")
	s.wants(t, "", "DKER-EE-002080", stig.NotReviewed, "2 programs that were started in 1 containers")
	s.wants(t, "", "DKER-EE-002090", stig.Open, "container held")
	s.run(t, "rm", "--force", "held")
}
