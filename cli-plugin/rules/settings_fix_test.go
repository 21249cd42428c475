package rules_test

import (
	"crypto/tls"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/dtr"
	"github.com/docker-stig/docker-stig/cli-plugin/remedy/documents"
	"github.com/docker-stig/docker-stig/cli-plugin/rules"
	"github.com/docker-stig/docker-stig/cli-plugin/site"
	"github.com/docker-stig/docker-stig/shared/stig"
	"github.com/docker-stig/docker-stig/tests/doubles"
)

// managed are the doubles of a case, and a host that has them.
func (c managedCase) managed(t *testing.T) (*host.Host, *doubles.UCP, *doubles.DTR) {
	t.Helper()
	h := c.host()
	cluster, client := c.startUCP(t)
	h.UCP = client
	registry, err := doubles.NewDTR(t.Context(), c.dtr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = registry.Close() })
	if h.DTR, err = dtr.New(dtr.Options{Options: c.options(t, registry.URL(), registry.CA())}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.DTR.Close)
	return h, cluster, registry
}

// setFixed are hosts on which a requirement is open and its fix is safe, with
// all that the fix wants.
var setFixed = map[string]struct {
	id stig.ID
	managedCase
	want []string
}{
	"audit log":     {"DKER-EE-001080", managedCase{ucp: config(`level = "request"`, `level = "metadata"`)}, []string{`/audit_log_configuration/level is set to "request"`}},
	"audit, absent": {"DKER-EE-001080", managedCase{ucp: doubles.UCPOptions{Config: []byte("[auth]\n")}}, []string{`/audit_log_configuration/level is set to "request"`}},
	"tracking, one": {"DKER-EE-001910", managedCase{ucp: config("disable_tracking = true", "disable_tracking = false # why")}, []string{"/tracking_configuration/disable_tracking is set to true"}},
	"tracking, both": {
		"DKER-EE-001910",
		managedCase{ucp: config("disable_tracking = true", "", "disable_usageinfo = true", "disable_usageinfo = false")},
		[]string{"/tracking_configuration/disable_usageinfo is set to true", "/tracking_configuration/disable_tracking is set to true"},
	},
	"sessions end": {"DKER-EE-002490", managedCase{}, []string{"/auth/sessions/lifetime_minutes is set to 10", "/auth/sessions/renewal_threshold_minutes is set to 0"}},
	"sessions of a user": {
		"DKER-EE-001000",
		managedCase{site: sessionsOf(2)},
		[]string{"/auth/sessions/per_user_limit is set to 2"},
	},
	"sessions, default": {"DKER-EE-002970", managedCase{ucp: config("per_user_limit = 3", ""), site: sessionsOf(3)}, []string{"/auth/sessions/per_user_limit is set to 3"}},
	"scheduling": {
		"DKER-EE-001890",
		managedCase{ucp: config("enable_admin_ucp_scheduling = false", "enable_admin_ucp_scheduling = true")},
		[]string{"/scheduling_configuration/enable_admin_ucp_scheduling is set to false"},
	},
	"old TLS": {
		"DKER-EE-006280",
		managedCase{ucp: config("[cluster_config]", "[cluster_config]\nmin_TLS_version = \"TLSv1\"")},
		[]string{`/cluster_config/min_TLS_version is set to "TLSv1.2"`},
	},
	"old TLS by handshake": {
		"DKER-EE-006280",
		managedCase{ucp: doubles.UCPOptions{ServerOptions: doubles.ServerOptions{MinTLS: tls.VersionTLS11}}},
		[]string{`/cluster_config/min_TLS_version is set to "TLSv1.2"`},
	},
	"content trust": {
		"DKER-EE-003590",
		managedCase{ucp: doubles.UCPOptions{Config: doubles.DefaultConfig(false)}, site: site.Site{UCP: site.UCP{RequireSignatureFrom: []string{"ops/release"}}}},
		[]string{"/trust_configuration/require_content_trust is set to true", `/trust_configuration/require_signature_from is set to ["ops/release"]`},
	},
	"repositories":     {"DKER-EE-001900", managedCase{dtr: dtrWith("createRepositoryOnPush", true)}, []string{"/createRepositoryOnPush is set to false"}},
	"analytics of DTR": {"DKER-EE-001920", managedCase{dtr: dtrWith("reportAnalytics", true)}, []string{"/reportAnalytics is set to false"}},
	"scanning":         {"DKER-EE-003840", managedCase{dtr: dtrWith("scanningEnabled", false)}, []string{"/scanningEnabled is set to true"}},
}

func sessionsOf(n int) site.Site { return site.Site{UCP: site.UCP{SessionsPerUser: &n}} }

func dtrWith(name string, value any) doubles.DTROptions {
	return doubles.DTROptions{Settings: map[string]any{name: value}}
}

// TestSettingsFixed makes the changes that a fix wants, as a plan does, asks
// the rule again, and takes them back.
func TestSettingsFixed(t *testing.T) {
	t.Parallel()
	for name, c := range setFixed {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, cluster, registry := c.managed(t)
			rule, _ := rules.For(c.id)
			wanted, err := rule.Fix(t.Context(), h)
			if err != nil || len(wanted.Changes) == 0 {
				t.Fatalf("got %+v, %v", wanted, err)
			}
			var wishes []string
			var settings []change.Setting
			for _, one := range wanted.Changes {
				wishes, settings = append(wishes, one.Wish()), append(settings, *one.Setting)
				if err := one.Check(); err != nil {
					t.Error(err)
				}
				if unasked := one.ByName == ""; unasked != (one.Setting.Target == change.DTRSettings || !strings.Contains(string(cluster.Config()), `backend = "ldap"`)) {
					t.Errorf("it is changed unasked: %t, with %s", unasked, cluster.Config())
				}
			}
			if diff := cmp.Diff(c.want, wishes); diff != "" {
				t.Fatalf("(-want +got):\n%s", diff)
			}
			config, held := string(cluster.Config()), registry.Settings()
			document, err := documents.Places{UCP: h.UCP, DTR: h.DTR}.Open(settings[0].Target)
			if err != nil {
				t.Fatal(err)
			}
			before, err := document.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			after, err := document.Edit(before, settings)
			if err != nil {
				t.Fatal(err)
			}
			if err := document.Put(t.Context(), before, after); err != nil {
				t.Fatal(err)
			}
			judge(t, c.id, h, stig.NotAFinding, "")
			if again, err := rule.Fix(t.Context(), h); err != nil || len(again.Changes)+len(again.Person) > 0 {
				t.Errorf("a second fix wants %+v, %v", again, err)
			}
			if err := document.Put(t.Context(), after, before); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(config, string(cluster.Config())) + cmp.Diff(held, registry.Settings()); diff != "" {
				t.Errorf("taken back, something is different:\n%s", diff)
			}
		})
	}
}

// TestSettingsByPerson holds what a person is told where nothing is changed.
func TestSettingsByPerson(t *testing.T) {
	t.Parallel()
	scheduler := []doubles.Grant{{Subject: "docker-datacenter", Role: "scheduler", Object: "/"}}
	for name, c := range map[string]struct {
		id stig.ID
		managedCase
		says string // "": nothing
	}{
		"LDAP":               {"DKER-EE-001100", managedCase{ucp: config(`backend = "ldap" `, `backend = "managed" `)}, "enter the directory's ldaps URL"},
		"LDAP, half":         {"DKER-EE-001100", managedCase{}, ""},
		"SAML":               {"DKER-EE-002180", managedCase{ucp: config("samlEnabled = true", "samlEnabled = false")}, "idpMetadataURL and spHost"},
		"SAML is on":         {"DKER-EE-002180", managedCase{}, ""},
		"TLS 1.3 alone":      {"DKER-EE-006280", managedCase{ucp: doubles.UCPOptions{ServerOptions: doubles.ServerOptions{MinTLS: tls.VersionTLS13}}}, "is not told to accept what is older"},
		"TLS 1.3 by setting": {"DKER-EE-006280", managedCase{ucp: config("[cluster_config]", "[cluster_config]\nmin_TLS_version = \"TLSv1.3\"")}, "is not told to accept what is older"},
		"TLS 1.2":            {"DKER-EE-006280", managedCase{}, ""},
		"grants":             {"DKER-EE-001170", managedCase{site: site.Site{UCP: site.UCP{Grants: []string{"ops admin /"}}}}, "missing ops admin /"},
		"the grant":          {"DKER-EE-001890", managedCase{ucp: doubles.UCPOptions{Grants: scheduler}}, "docker-datacenter Scheduler /"},
		"sessions, no plan":  {"DKER-EE-001000", managedCase{}, "give ucp.sessions-per-user"},
		"sessions, 0":        {"DKER-EE-002970", managedCase{site: sessionsOf(0)}, "give ucp.sessions-per-user"},
		"UCP's certificate":  {"DKER-EE-001870", managedCase{site: site.Site{TrustedCA: strangers(t)}}, "ucp-controller-server-certs"},
		"DTR's certificate":  {"DKER-EE-003930", managedCase{site: site.Site{TrustedCA: strangers(t)}}, "reconfigure --dtr-ca"},
		"client certificate": {"DKER-EE-002380", managedCase{site: site.Site{UCP: site.UCP{ClientCertificate: strangers(t), Subject: "CN=alice", Issuer: "CN=nobody"}}}, "Add Existing Client Bundle"},
		"teams":              {"DKER-EE-001180", managedCase{site: site.Site{DTR: site.DTR{Members: map[string][]string{"ops/release": {"eve"}}}}}, "Orgs & Teams"},
		"never loaded":       {"DKER-EE-003840", managedCase{dtr: doubles.DTROptions{ScanStatus: map[string]any{"dbVersion": 0}}}, "Sync Database Now"},
		"settings untold":    {"DKER-EE-001900", managedCase{dtr: dtrWith("createRepositoryOnPush", nil)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, cluster, registry := c.managed(t)
			rule, _ := rules.For(c.id)
			wanted, err := rule.Fix(t.Context(), h)
			if err != nil || len(wanted.Changes) > 0 {
				t.Fatalf("got %+v, %v", wanted, err)
			}
			said := strings.Join(wanted.Person, "\n")
			if !strings.Contains(said, c.says) || (said == "") != (c.says == "") {
				t.Errorf("said %q, want %q", said, c.says)
			}
			for _, secret := range append(append(cluster.Secrets(), registry.Secrets()...), doubles.CanarySecret) {
				if strings.Contains(said, secret) {
					t.Errorf("a secret is told: %s", said)
				}
			}
			if cluster.Puts()+registry.Posts() > 0 {
				t.Error("asking for the changes made some")
			}
		})
	}
}

// strangers is a file with a CA's certificate that has signed nothing.
func strangers(t *testing.T) string {
	t.Helper()
	authority, err := doubles.NewAuthority("stranger", now())
	if err != nil {
		t.Fatal(err)
	}
	return written(t, authority.PEM())
}

// TestEveryServerRuleCanBeFixed holds that whatever is open in UCP or DTR is
// either changed or said how.
func TestEveryServerRuleCanBeFixed(t *testing.T) {
	t.Parallel()
	for _, id := range []stig.ID{
		"DKER-EE-001000", "DKER-EE-001080", "DKER-EE-001100", "DKER-EE-001170", "DKER-EE-001180", "DKER-EE-001870", "DKER-EE-001880",
		"DKER-EE-001890", "DKER-EE-001900", "DKER-EE-001910", "DKER-EE-001920", "DKER-EE-002180", "DKER-EE-002380", "DKER-EE-002490",
		"DKER-EE-003590", "DKER-EE-003840", "DKER-EE-003920", "DKER-EE-006190", "DKER-EE-006280",
	} {
		if rule, ok := rules.For(id); !ok || rule.Fix == nil {
			t.Errorf("%s has no fix", id)
		}
	}
}
