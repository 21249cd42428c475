package engine

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/rules"
	"github.com/docker-stig/docker-stig/shared/stig"
	"github.com/docker-stig/docker-stig/tests/testbed"
)

func TestEngineOptionsOfDocker(t *testing.T) { testEngineOptions(t, testbed.Docker) }

func TestEngineOptionsOfMoby(t *testing.T) { testEngineOptions(t, testbed.Moby) }

// wantOption is an option with the part of what is pending that has to be said.
type wantOption struct{ name, value, source, pending string }

// testEngineOptions asks one engine after another about itself, while others
// may run beside it on this machine.
func testEngineOptions(t *testing.T, engine testbed.Engine) {
	t.Helper()
	tb := testbed.Start(t, engine)
	cases := []struct {
		name    string
		config  string
		later   string // what is written into daemon.json while the engine runs
		options []wantOption
		rules   map[stig.ID]stig.Status
	}{
		{
			name: "defaults", config: `{}`,
			options: []wantOption{
				{"userland-proxy", "true", "default", ""},
				{"log-driver", "json-file", host.FromEngine, ""},
				{"insecure-registries", "nothing", host.FromEngine, ""},
				{"iptables", "false", "--iptables", ""},
			},
			rules: map[stig.ID]stig.Status{
				"DKER-EE-001050": stig.NotAFinding, "DKER-EE-001370": stig.Open, "DKER-EE-001800": stig.NotAFinding,
				"DKER-EE-001810": stig.NotAFinding, "DKER-EE-001830": stig.Open, "DKER-EE-001840": stig.NotAFinding,
				"DKER-EE-003230": stig.Open, "DKER-EE-001070": stig.Open, "DKER-EE-999999": stig.NotReviewed,
			},
		},
		{
			name: "in the file", config: `{"userland-proxy": false, "log-opts": {"max-size": "1m", "max-file": "2"}, "experimental": true, "insecure-registries": ["old.example.com:5000", "10.0.0.7/8"]}`,
			options: []wantOption{
				{"userland-proxy", "false", "daemon.json", ""},
				{"experimental", "true", host.FromEngine, ""},
				{"insecure-registries", "10.0.0.0/8, old.example.com:5000", host.FromEngine, ""},
			},
			rules: map[stig.ID]stig.Status{
				"DKER-EE-001830": stig.NotAFinding, "DKER-EE-001370": stig.NotAFinding, "DKER-EE-003310": stig.NotReviewed,
				"DKER-EE-001840": stig.Open, "DKER-EE-001800": stig.Open,
			},
		},
		{
			name: "changed after the start", config: `{}`, later: `{"userland-proxy": false, "experimental": true, "log-driver": "syslog"}`,
			options: []wantOption{
				{"userland-proxy", "false", "daemon.json", "does not tell which userland-proxy it read"},
				{"experimental", "false", host.FromEngine, "restart pending"},
				{"log-driver", "json-file", host.FromEngine, "restart pending"},
				{"iptables", "false", "--iptables", ""},
			},
			rules: map[stig.ID]stig.Status{"DKER-EE-001830": stig.NotReviewed, "DKER-EE-001840": stig.Open, "DKER-EE-003230": stig.Open},
		},
		{
			name: "a flag and the file", config: `{}`, later: `{"iptables": true}`,
			options: []wantOption{{"iptables", "false", "--iptables", "will not start again: iptables: set both"}},
			rules:   map[stig.ID]stig.Status{"DKER-EE-001840": stig.NotReviewed},
		},
		{
			name: "syslog", config: `{"log-driver": "syslog", "log-opts": {"syslog-address": "udp://192.0.2.1:514"}}`,
			options: []wantOption{{"log-driver", "syslog", host.FromEngine, ""}},
			rules: map[stig.ID]stig.Status{
				"DKER-EE-003230": stig.NotAFinding, "DKER-EE-001590": stig.NotReviewed, "DKER-EE-003320": stig.NotReviewed, "DKER-EE-001370": stig.Open,
			},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if err := tb.RestartEngine(t.Context(), []byte(c.config)); err != nil {
				t.Fatal(err)
			}
			if c.later != "" {
				if err := os.WriteFile(tb.DaemonJSON(), []byte(c.later), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			h := hostOf(t, tb)
			for _, want := range c.options {
				want.hold(t, h)
			}
			for id, want := range c.rules {
				holdRule(t, h, id, want)
			}
		})
	}
}

// hostOf is the testbed's engine as docker stig check asks it.
func hostOf(t *testing.T, tb *testbed.Testbed) *host.Host {
	t.Helper()
	var address string
	for _, entry := range tb.Env() {
		if value, ok := strings.CutPrefix(entry, "DOCKER_HOST="); ok {
			address = value
		}
	}
	api, err := client.New(client.WithHost(address))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = api.Close() })
	return &host.Host{Engine: api, Address: address, Files: host.NewDisk("/"), Programs: host.LocalPrograms{}, Now: time.Now}
}

func (want wantOption) hold(t *testing.T, h *host.Host) {
	t.Helper()
	got, err := h.Option(t.Context(), want.name)
	if err != nil {
		t.Errorf("%s: %v", want.name, err)
		return
	}
	if got.Value.String() != want.value || got.Source != want.source {
		t.Errorf("%s is %s (%s), want %s (%s)", want.name, got.Value, got.Source, want.value, want.source)
	}
	if (got.Pending == "") != (want.pending == "") || !strings.Contains(got.Pending, want.pending) {
		t.Errorf("%s: pending %q, want %q", want.name, got.Pending, want.pending)
	}
}

func holdRule(t *testing.T, h *host.Host, id stig.ID, want stig.Status) {
	t.Helper()
	rule, ok := rules.For(id)
	if !ok {
		t.Errorf("there is no rule for %s", id)
		return
	}
	findings, err := rule.Judge(t.Context(), h)
	if err != nil {
		t.Errorf("%s: %v", id, err)
		return
	}
	if got := stig.Worst(findings); got != want {
		t.Errorf("%s is %v, want %v: %+v", id, got, want, findings)
	}
}
