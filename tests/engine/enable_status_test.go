package engine

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker-stig/docker-stig/tests/testbed"
)

// enforcing is a policy that refuses what it does not list.
var enforcing = map[string]any{
	"content-trust": map[string]any{"mode": "enforced"},
	"digests":       map[string][]string{"example.com/app": {"sha256:" + strings.Repeat("a", 64)}},
}

// newEnforcing is a bed whose engine enforces, and listens on hosts, too.
func newEnforcing(t *testing.T, hosts ...string) (*bed, plugin) {
	t.Helper()
	b := newBed(t, testbed.Docker)
	if err := b.WritePolicy(enforcing); err != nil {
		t.Fatal(err)
	}
	plugin := b.startPlugin(t)
	config, err := json.Marshal(map[string][]string{
		"authorization-plugins": {"docker-stig-authz"}, "hosts": append([]string{b.variable("DOCKER_HOST")}, hosts...),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.RestartEngine(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	return b, plugin
}

// TestStatusSeesEveryListener: what the engine serves counts, however it was
// told to and whatever its file says by now. The swarm's own ports are not the
// API.
func TestStatusSeesEveryListener(t *testing.T) {
	b, plugin := newEnforcing(t, "127.0.0.1:23875")
	const gap = "the engine listens on tcp://127.0.0.1:23875, and asks nobody for a certificate"
	contains(t, b.stig(t, 2, "authz", "status").stdout, "This engine does NOT enforce: "+gap)
	replace(t, b.DaemonJSON(), `,"127.0.0.1:23875"`, "")
	contains(t, b.stig(t, 2, "authz", "status").stdout, "This engine does NOT enforce: "+gap)
	if err := b.RestartEngine(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	b.stig(t, 0, "authz", "status")

	if out := b.docker(t, "swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "0.0.0.0:23777"); out.code == 0 {
		t.Fatal("the swarm was made, which the policy denies")
	}
	writePolicy(t, b, map[string]any{"requests": map[string]any{"swarm-join": "allow"}})
	plugin.reload(t, "policy in force")
	if out := b.docker(t, "swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "0.0.0.0:23777"); out.code != 0 {
		t.Fatal(out.stderr)
	}
	b.stig(t, 0, "authz", "status")
}

// writePolicy is WritePolicy with what newEnforcing has in it.
func writePolicy(t *testing.T, b *bed, more map[string]any) {
	t.Helper()
	for key, value := range enforcing {
		more[key] = value
	}
	if err := b.WritePolicy(more); err != nil {
		t.Fatal(err)
	}
}

// TestStatusKnowsWhichPolicyIsInForce: a file that was not read again decides
// nothing.
func TestStatusKnowsWhichPolicyIsInForce(t *testing.T) {
	b := newBed(t, testbed.Docker)
	image := b.must(t)(b.Sign(t.Context(), "prod/app:1"))
	if err := b.Pin("enforced", "prod/app"); err != nil {
		t.Fatal(err)
	}
	plugin := b.startPlugin(t)
	if err := b.RestartEngine(t.Context(), []byte(`{"authorization-plugins": ["docker-stig-authz"]}`)); err != nil {
		t.Fatal(err)
	}
	b.stig(t, 0, "authz", "status")
	inForce := filepath.Join(b.variable("STIG_STATE"), "in-force.json")
	if info, err := os.Stat(inForce); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}

	good := read(t, b.PolicyFile())
	replace(t, b.PolicyFile(), "{", `{"revoked": {"digests": ["`+string(image.Digest)+`"]},`)
	contains(t, b.stig(t, 2, "authz", "status").stdout, "This engine does NOT enforce: reload pending: ", "  Next     systemctl reload docker-stig-authz\n")
	plugin.reload(t, "policy in force")
	b.stig(t, 0, "authz", "status")
	b.refused(t, "revoked", "run", "--rm", "--network", "none", image.Ref)

	// One that cannot be read leaves what is in force, and what is said of it.
	said := read(t, inForce)
	replace(t, b.PolicyFile(), "{", "{{")
	plugin.reload(t, "the old one stays in force")
	b.stig(t, 2, "authz", "status")
	if got := read(t, inForce); got != said {
		t.Errorf("a policy that was refused is said to be in force:\n%s", got)
	}

	other := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(other, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	contains(t, b.stig(t, 2, "authz", "status", "--policy", other).stdout, "docker-stig-authz goes by another policy than "+other+": by "+b.PolicyFile())
	if err := os.Remove(inForce); err != nil {
		t.Fatal(err)
	}
	contains(t, b.stig(t, 3, "authz", "status", "--policy", other).stdout, "docker-stig-authz does not say which policy is in force")
}
