package rules_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/cli-plugin/host/hosttest"
	"github.com/docker-stig/docker-stig/cli-plugin/rules"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// TestDaemonRulesTellNoSecrets plants secrets wherever dockerd is told
// something, and looks for them in all that the rules say.
func TestDaemonRulesTellNoSecrets(t *testing.T) {
	t.Parallel()
	cases := cases(t, "testdata/daemon.txtar")
	machine := cases["good"]
	machine["engine/info"] = `{"ServerVersion": "29.3.0", "LoggingDriver": "splunk", "HttpProxy": "http://me:canary@proxy.example.com", "RegistryConfig": {}}`
	machine["root/etc/docker/daemon.json"] = `{"log-driver": "splunk", "proxies": {"https-proxy": "http://me:canary@proxy.example.com"},
		"log-opts": {"splunk-token": "canary", "splunk-url": "https://me:canary@splunk.example.com", "max-size": "1m"}}`
	machine["root/proc/812/cmdline"] = "/usr/bin/dockerd\n-H\nfd://\n--http-proxy=http://me:canary@proxy.example.com\n--label\ncanary\n"
	machine["root/lib/systemd/system/docker.service"] = "[Service]\nEnvironment=HTTP_PROXY=http://me:canary@proxy.example.com\nExecStart=/usr/bin/dockerd -H fd:// --label canary\n"
	broken := hosttest.Machine{}
	for name, content := range machine {
		broken[name] = content
	}
	broken["root/etc/docker/daemon.json"] = `{"log-opts": {"splunk-token": canary}}`
	judged := 0
	for _, m := range []hosttest.Machine{machine, broken} {
		h := m.Host(t)
		for line := range strings.Lines(cases["silent"]["want"]) {
			id, _, _ := strings.Cut(line, " ")
			rule, ok := rules.For(stig.ID(id))
			if !ok {
				t.Fatalf("there is no rule for %s", id)
			}
			findings, err := rule.Judge(t.Context(), h)
			if err != nil {
				findings = append(findings, stig.Finding{Details: err.Error()})
			}
			said, err := json.Marshal(findings)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(said), "canary") {
				t.Errorf("%s tells a secret: %s", id, said)
			}
			judged++
		}
	}
	if judged != 24 {
		t.Errorf("%d rules were asked, want the 12 of the engine's configuration twice", judged)
	}
}

// TestSupportEnds lets the days go by that vendors have named, and the time for
// which a word without a day counts.
func TestSupportEnds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		platform, version string
		now               string
		want              stig.Status
	}{
		{"Mirantis Container Runtime", "25.0.14", "2026-12-04T23:59:59Z", stig.NotAFinding},
		{"Mirantis Container Runtime", "25.0.14", "2026-12-05T00:00:01Z", stig.Open},
		{"Mirantis Container Runtime", "29.1.0", "2026-11-22T00:00:00Z", stig.NotReviewed},
		{"Docker Engine - Community", "29.3.0", "2027-09-15T00:00:00Z", stig.NotAFinding},
		{"Docker Engine - Community", "29.3.0", "2027-09-16T00:00:00Z", stig.NotReviewed},
		{"Docker Engine - Community", "17.06.2-ce", "2026-11-22T00:00:00Z", stig.Open},
		{"Docker Engine - Enterprise", "17.06.2-ee-25", "2026-11-22T00:00:00Z", stig.Open},
		{"Docker Engine - Enterprise", "20.10.0", "2026-11-22T00:00:00Z", stig.NotReviewed},
		{"", "29.3.0", "2026-11-22T00:00:00Z", stig.NotReviewed},
		{"", "v29", "2026-11-22T00:00:00Z", stig.NotReviewed},
	} {
		t.Run(c.platform+" "+c.version+" "+c.now, func(t *testing.T) {
			t.Parallel()
			now, err := time.Parse(time.RFC3339, c.now)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := json.Marshal(map[string]any{"Version": c.version, "Platform": map[string]string{"Name": c.platform}})
			if err != nil {
				t.Fatal(err)
			}
			h := hosttest.Machine{"engine/version": string(answer)}.Host(t)
			h.Now = func() time.Time { return now }
			judge(t, "DKER-EE-999999", h, c.want, "")
		})
	}
}
