package rules_test

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/hosttest"
	"github.com/docker-stig/docker-stig/cli-plugin/host/mgmt"
	"github.com/docker-stig/docker-stig/cli-plugin/host/ucp"
	"github.com/docker-stig/docker-stig/cli-plugin/rules"
	"github.com/docker-stig/docker-stig/cli-plugin/site"
	"github.com/docker-stig/docker-stig/shared/stig"
	"github.com/docker-stig/docker-stig/tests/doubles"
)

// A managedCase is a host with a UCP or a DTR, and what a rule says of it.
type managedCase struct {
	ucp     doubles.UCPOptions
	dtr     doubles.DTROptions
	site    site.Site
	account int // of doubles.DefaultAccounts
	fault   doubles.Fault
	on      string // the paths with the fault; empty: all
	alone   bool   // no UCP beside a DTR
	want    stig.Status
	details string
}

// startUCP plays a case's UCP.
func (c managedCase) startUCP(t *testing.T) (*doubles.UCP, *ucp.Client) {
	t.Helper()
	double, err := doubles.NewUCP(t.Context(), c.ucp)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = double.Close() })
	client, err := ucp.New(c.options(t, double.URL(), double.CA()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return double, client
}

// options reach a double. Only silence is not waited for: a machine that does
// other things as well takes its time to answer.
func (c managedCase) options(t *testing.T, url string, ca []byte) mgmt.Options {
	t.Helper()
	opts := management(t, url, ca, doubles.DefaultAccounts()[c.account])
	if c.fault != doubles.Silence {
		opts.Timeout = time.Minute
	}
	return opts
}

func (c managedCase) host() *host.Host {
	h := newHost()
	h.Site, h.Now = c.site, now
	return h
}

// holdUCP holds a rule about UCP against a case.
func (c managedCase) holdUCP(t *testing.T, id stig.ID) {
	t.Helper()
	double, client := c.startUCP(t)
	if c.fault != "" {
		double.SetFaultOn(c.on, c.fault)
	}
	h := c.host()
	h.UCP = client
	findings := judge(t, id, h, c.want, c.details)
	wantNoCanary(t, findings, double.Secrets()) // with the tokens that were handed out meanwhile
}

// canaries are words that the doubles' documents hold, and no finding may.
var canaries = []string{doubles.CanarySecret, "cn=ucp-reader", "ldaps://directory.example.com", "BEGIN CERTIFICATE"}

func wantNoCanary(t *testing.T, findings []stig.Finding, secrets []string) {
	t.Helper()
	for _, f := range findings {
		text := fmt.Sprintf("%+v", f)
		for _, secret := range append(secrets, canaries...) {
			if strings.Contains(text, secret) {
				t.Errorf("a finding holds %q: %s", secret, text)
			}
		}
	}
}

// config is the double's configuration with lines replaced.
func config(pairs ...string) doubles.UCPOptions {
	return doubles.UCPOptions{Config: []byte(strings.NewReplacer(pairs...).Replace(string(doubles.DefaultConfig(true))))}
}

func TestUCPSettings(t *testing.T) {
	t.Parallel()
	for id, cases := range map[stig.ID]map[string]managedCase{
		"DKER-EE-001080": {
			"request":     {want: stig.NotAFinding, details: `[audit_log_configuration] level of https://`},
			"metadata":    {ucp: config(`level = "request"`, `level = "metadata"`), want: stig.Open, details: `it is "metadata", and has to be "request"`},
			"off":         {ucp: config(`level = "request"`, `level = ""`), want: stig.Open, details: `it is ""`},
			"absent":      {ucp: config(`level = "request"`, ""), want: stig.Open, details: `UCP's default counts: ""`},
			"no table":    {ucp: doubles.UCPOptions{Config: []byte("[auth]\n")}, want: stig.Open, details: "not set"},
			"a number":    {ucp: config(`level = "request"`, `level = 2`), want: stig.NotReviewed, details: "is no string"},
			"another key": {ucp: config(`lifetime_minutes = 60`, `lifetime_minutes = "60"`), want: stig.NotAFinding},
			"long":        {ucp: config(`level = "request"`, `level = "`+strings.Repeat("x", 5000)+`"`), want: stig.Open, details: "x…\""},
		},
		"DKER-EE-001910": {
			"both off":       {want: stig.NotAFinding},
			"usage goes out": {ucp: config("disable_usageinfo = true", "disable_usageinfo = false"), want: stig.Open, details: "disable_usageinfo"},
			"API goes out":   {ucp: config("disable_tracking = true", "disable_tracking = false"), want: stig.Open, details: "disable_tracking"},
			"absent":         {ucp: config("disable_tracking = true", ""), want: stig.Open, details: "default counts: false"},
			"a string":       {ucp: config("disable_tracking = true", `disable_tracking = "true"`), want: stig.NotReviewed, details: "is no bool"},
			"a no outranks":  {ucp: config("disable_tracking = true", `disable_tracking = 1`, "disable_usageinfo = true", "disable_usageinfo = false"), want: stig.Open, details: "is no bool"},
		},
		"DKER-EE-002180": {
			"on":       {want: stig.NotAFinding},
			"off":      {ucp: config("samlEnabled = true", "samlEnabled = false"), want: stig.Open, details: "has to be true"},
			"absent":   {ucp: config("samlEnabled = true", ""), want: stig.Open, details: "not set"},
			"a string": {ucp: config("samlEnabled = true", `samlEnabled = "yes"`), want: stig.NotReviewed, details: "is no bool"},
		},
		"DKER-EE-002490": {
			"10 and 0":     {ucp: config("lifetime_minutes = 60", "lifetime_minutes = 10", "renewal_threshold_minutes = 20", "renewal_threshold_minutes = 0"), want: stig.NotAFinding},
			"60 and 20":    {want: stig.Open, details: "it is 60, and has to be 10"},
			"renewed":      {ucp: config("lifetime_minutes = 60", "lifetime_minutes = 10"), want: stig.Open, details: "it is 20, and has to be 0"},
			"absent":       {ucp: doubles.UCPOptions{Config: []byte("[auth]\n")}, want: stig.Open, details: "default counts: 60"},
			"a string":     {ucp: config("lifetime_minutes = 60", `lifetime_minutes = "10"`, "renewal_threshold_minutes = 20", "renewal_threshold_minutes = 0"), want: stig.NotReviewed, details: "is no whole number"},
			"a float":      {ucp: config("lifetime_minutes = 60", `lifetime_minutes = 10.0`, "renewal_threshold_minutes = 20", "renewal_threshold_minutes = 0"), want: stig.NotReviewed, details: "is no whole number"},
			"no table":     {ucp: doubles.UCPOptions{Config: []byte("[auth]\nsessions = 3\n")}, want: stig.NotReviewed, details: "auth.sessions in the UCP configuration is no table"},
			"auth is none": {ucp: doubles.UCPOptions{Config: []byte("auth = 3\n")}, want: stig.NotReviewed, details: "auth in the UCP configuration is no table"},
		},
		"DKER-EE-001100": {
			"ldap":    {want: stig.NotReviewed, details: "answers.DKER-EE-001100"},
			"managed": {ucp: config(`backend = "ldap" `, `backend = "managed" `), want: stig.Open, details: `it is "managed", and has to be "ldap"`},
			"absent":  {ucp: doubles.UCPOptions{Config: []byte("[auth]\n")}, want: stig.Open, details: `default counts: "managed"`},
			"a list":  {ucp: doubles.UCPOptions{Config: []byte("[auth]\nbackend = [\"ldap\"]\n")}, want: stig.NotReviewed, details: "is no string"},
		},
		"DKER-EE-001000": {
			"the plan's":         {site: sessions(3), want: stig.NotAFinding, details: "it is 3, the plan's figure"},
			"another":            {site: sessions(2), want: stig.Open, details: "it is 3, and the plan says 2"},
			"no plan":            {want: stig.NotReviewed, details: "ucp.sessions-per-user in site.yaml"},
			"0":                  {ucp: config("per_user_limit = 3", "per_user_limit = 0"), want: stig.Open, details: "sessions are not limited"},
			"0 as planned":       {ucp: config("per_user_limit = 3", "per_user_limit = 0"), site: sessions(0), want: stig.Open, details: "sessions are not limited"},
			"the plan says 0":    {site: sessions(0), want: stig.Open, details: "which is no limit"},
			"absent":             {ucp: config("per_user_limit = 3", ""), want: stig.NotReviewed, details: "ucp.sessions-per-user"},
			"absent, a default":  {ucp: config("per_user_limit = 3", ""), site: sessions(5), want: stig.NotReviewed, details: "which default it is"},
			"absent, no default": {ucp: config("per_user_limit = 3", ""), site: sessions(3), want: stig.Open, details: "10, or 5 in older releases"},
			"a string":           {ucp: config("per_user_limit = 3", `per_user_limit = "3"`), site: sessions(3), want: stig.NotReviewed, details: "is no whole number"},
		},
		"DKER-EE-002970": {"0": {ucp: config("per_user_limit = 3", "per_user_limit = 0"), want: stig.Open}},
		"DKER-EE-003590": {
			"on":  {ucp: config("", ""), site: site.Site{UCP: site.UCP{RequireSignatureFrom: []string{}}}, want: stig.NotAFinding},
			"off": {ucp: doubles.UCPOptions{Config: doubles.DefaultConfig(false)}, want: stig.Open, details: "require_content_trust is false"},
		},
	} {
		for name, c := range cases {
			t.Run(string(id)+"/"+name, func(t *testing.T) {
				t.Parallel()
				c.holdUCP(t, id)
			})
		}
	}
}

func sessions(figure int) site.Site { return site.Site{UCP: site.UCP{SessionsPerUser: &figure}} }

func TestUCPMinimumTLS(t *testing.T) {
	t.Parallel()
	speaks := func(low, high uint16) doubles.UCPOptions {
		return doubles.UCPOptions{ServerOptions: doubles.ServerOptions{MinTLS: low, MaxTLS: high}}
	}
	set := func(value string) doubles.UCPOptions {
		return config("[cluster_config]", "[cluster_config]\nmin_TLS_version = "+value)
	}
	for name, c := range map[string]managedCase{
		"set":                {ucp: set(`"TLSv1.2"`), want: stig.NotAFinding},
		"set to less":        {ucp: set(`"TLSv1.0"`), want: stig.Open, details: `it is "TLSv1.0"`},
		"set to more":        {ucp: set(`"TLSv1.3"`), want: stig.Open, details: `has to be "TLSv1.2"`},
		"a number":           {ucp: set(`1.2`), want: stig.NotReviewed, details: "is no string"},
		"absent, 1.2 and up": {ucp: speaks(tls.VersionTLS12, 0), want: stig.NotAFinding, details: "accepts TLS 1.2, TLS 1.3, and nothing older"},
		"absent, 1.2 alone":  {ucp: speaks(tls.VersionTLS12, tls.VersionTLS12), want: stig.NotAFinding, details: "accepts TLS 1.2, and nothing older"},
		"absent, from 1.0":   {ucp: speaks(tls.VersionTLS10, 0), want: stig.Open, details: "accepts TLS 1.0, TLS 1.1, TLS 1.2, TLS 1.3"},
		"absent, from 1.1":   {ucp: speaks(tls.VersionTLS11, 0), want: stig.Open, details: "accepts TLS 1.1"},
		"absent, 1.3 alone":  {ucp: speaks(tls.VersionTLS13, 0), want: stig.Open, details: "stricter than the guide's TLS 1.2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.holdUCP(t, "DKER-EE-006280")
		})
	}
}

// TestUCPGoesAway: a handshake that does not come about is neither yes nor no.
func TestUCPGoesAway(t *testing.T) {
	t.Parallel()
	c := managedCase{}
	double, client := c.startUCP(t)
	if _, err := client.Document(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := double.Close(); err != nil {
		t.Fatal(err)
	}
	h := c.host()
	h.UCP = client
	judge(t, "DKER-EE-006280", h, stig.NotReviewed, "TLS 1.0: TLS handshake with https://")
}

func TestUCPGrants(t *testing.T) {
	t.Parallel()
	plan := func(grants ...string) site.Site { return site.Site{UCP: site.UCP{Grants: grants}} }
	whole := []string{"docker-datacenter Scheduler /Shared", "ops/web restrictedcontrol /Shared/Web", "system:serviceaccount:kube-system:tiller Full Control kubernetesnamespaces"}
	custom := []doubles.Grant{{Subject: "alice", Role: "Deploy Things", Object: "/Shared/My Apps"}}
	stranger := []doubles.Grant{{Subject: "gone", Role: "viewonly", Object: "/", Unnamed: true}}
	for name, c := range map[string]managedCase{
		"the plan's":           {site: plan(whole...), want: stig.NotAFinding, details: "the 3 grants are the plan's"},
		"no plan":              {want: stig.NotReviewed, details: "ucp.grants in site.yaml"},
		"the plan has none":    {site: plan([]string{}...), want: stig.Open, details: "beyond it docker-datacenter Scheduler /Shared"},
		"one more":             {site: plan(whole[:2]...), want: stig.Open, details: "beyond it system:serviceaccount"},
		"one missing":          {site: plan(append(whole[:3:3], "bob None /")...), want: stig.Open, details: "missing bob None /"},
		"names with blanks":    {ucp: doubles.UCPOptions{Grants: custom}, site: plan("alice  Deploy Things /Shared/My Apps"), want: stig.NotAFinding},
		"a grant to nobody":    {ucp: doubles.UCPOptions{Grants: stranger}, site: plan("alice View Only /"), want: stig.NotReviewed, details: "ucp.grants"},
		"no administrator":     {account: 1, site: plan(whole...), want: stig.NotReviewed, details: "--ucp-username"},
		"account unknown":      {fault: doubles.NotFound, on: "/accounts/", site: plan(whole...), want: stig.NotReviewed, details: "not known to be an administrator"},
		"account says nothing": {fault: doubles.Truncated, on: "/accounts/", site: plan(whole...), want: stig.NotReviewed, details: "ends in the middle"},
		"a web page":           {fault: doubles.HTML, on: "/collectionGrants", site: plan(whole...), want: stig.NotReviewed, details: "web page"},
		"roles unknown":        {fault: doubles.ServerError, on: "/roles", site: plan(whole...), want: stig.NotReviewed, details: "/roles"},
		"collections unknown":  {fault: doubles.Forbidden, on: "/collections", site: plan(whole...), want: stig.NotReviewed, details: "/collections"},
		"pages in a circle":    {fault: doubles.PagingLoop, on: "/collectionGrants", site: plan(whole...), want: stig.NotReviewed, details: "circle"},
		"a cut list":           {ucp: doubles.UCPOptions{Grants: many(1001)}, fault: doubles.NoNextPage, on: "/collectionGrants", site: plan(whole...), want: stig.NotReviewed, details: "it may go on"},
		"two pages":            {ucp: doubles.UCPOptions{Grants: many(1001)}, want: stig.NotReviewed, details: "UCP has 1001 grants"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.holdUCP(t, "DKER-EE-001170")
		})
	}
}

func many(count int) []doubles.Grant {
	var grants []doubles.Grant
	for i := range count {
		grants = append(grants, doubles.Grant{Subject: fmt.Sprintf("user%04d", i), Role: "viewonly", Object: "/Shared"})
	}
	return grants
}

func TestUCPScheduling(t *testing.T) {
	t.Parallel()
	everybody := append(doubles.DefaultGrants(), doubles.Grant{Subject: "docker-datacenter", Role: "scheduler", Object: "/"})
	with := func(g doubles.Grant) doubles.UCPOptions { return doubles.UCPOptions{Grants: []doubles.Grant{g}} }
	for name, c := range map[string]managedCase{
		"neither":                 {want: stig.NotAFinding, details: "none of 3 grants"},
		"administrators schedule": {ucp: config("enable_admin_ucp_scheduling = false", "enable_admin_ucp_scheduling = true"), want: stig.Open, details: "enable_admin_ucp_scheduling"},
		"everybody schedules":     {ucp: doubles.UCPOptions{Grants: everybody}, want: stig.Open, details: "take the grant away"},
		"absent":                  {ucp: config("enable_admin_ucp_scheduling = false", ""), want: stig.NotAFinding, details: "UCP's default counts: false"},
		"a string":                {ucp: config("enable_admin_ucp_scheduling = false", `enable_admin_ucp_scheduling = "false"`), want: stig.NotReviewed, details: "is no bool"},
		"another team":            {ucp: with(doubles.Grant{Subject: "ops/web", Role: "scheduler", Object: "/"}), want: stig.NotAFinding},
		"another role":            {ucp: with(doubles.Grant{Subject: "docker-datacenter", Role: "viewonly", Object: "/"}), want: stig.NotAFinding},
		"somebody":                {ucp: with(doubles.Grant{Subject: "x", Role: "scheduler", Object: "/", Unnamed: true}), want: stig.NotReviewed, details: "does not tell who"},
		"somewhere":               {ucp: with(doubles.Grant{Subject: "docker-datacenter", Role: "scheduler", Object: "4f1c"}), want: stig.NotReviewed, details: "does not tell who or what"},
		"a team somewhere":        {ucp: with(doubles.Grant{Subject: "ops/web", Role: "scheduler", Object: "4f1c"}), want: stig.NotAFinding},
		"the table is absent":     {ucp: config("[scheduling_configuration]", "[another_configuration]"), want: stig.NotReviewed, details: "has no [scheduling_configuration] at all"},
		"no configuration":        {fault: doubles.ServerError, on: "/api/ucp/config-toml", want: stig.NotReviewed, details: "none of 3 grants"},
		"everybody, and no configuration": {
			ucp:   doubles.UCPOptions{Grants: everybody},
			fault: doubles.ServerError, on: "/api/ucp/config-toml", want: stig.Open, details: "take the grant away",
		},
		"grants unknown": {fault: doubles.ServerError, on: "/collectionGrants", want: stig.NotReviewed, details: "unexpected status"},
		"a no outranks": {
			ucp:   config("enable_admin_ucp_scheduling = false", "enable_admin_ucp_scheduling = true"),
			fault: doubles.ServerError, on: "/collectionGrants", want: stig.Open,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.holdUCP(t, "DKER-EE-001890")
		})
	}
}

// managedUCP are the rules that ask UCP over its API.
var managedUCP = []stig.ID{
	"DKER-EE-001000", "DKER-EE-001080", "DKER-EE-001100", "DKER-EE-001170", "DKER-EE-001890",
	"DKER-EE-001910", "DKER-EE-002180", "DKER-EE-002490", "DKER-EE-003590", "DKER-EE-006280",
}

// TestUCPDoesNotAnswer: whatever keeps UCP from answering, no rule takes it
// for a finding, and each says what to do.
func TestUCPDoesNotAnswer(t *testing.T) {
	t.Parallel()
	plan := sessions(3)
	plan.UCP.Grants = []string{}
	plan.UCP.RequireSignatureFrom = []string{}
	for name, c := range map[string]managedCase{
		"wrong password": {on: "/auth/login", fault: doubles.Unauthorized, details: "--ucp-password-file"},
		"silence":        {fault: doubles.Silence, details: "no answer in time"},
		"wrong CA":       {fault: doubles.WrongCA, details: "--ucp-ca"},
		"web page":       {fault: doubles.HTML, details: "web page"},
		"server error":   {fault: doubles.ServerError, details: "look at the log of UCP"},
		"echo":           {fault: doubles.Echo, details: "look at the log of UCP"},
		"endless":        {fault: doubles.Endless, details: "too large"},
		"carol":          {account: 1, details: "--ucp-username"},
		"no TOML":        {ucp: doubles.UCPOptions{Config: []byte("[auth\n")}, on: "/collectionGrants", fault: doubles.HTML},
		"key twice":      {ucp: config(`level = "request"`, "level = \"request\"\nlevel = \"metadata\""), on: "/collectionGrants", fault: doubles.HTML},
		"table twice":    {ucp: doubles.UCPOptions{Config: append(doubles.DefaultConfig(true), "\n[trust_configuration]\nrequire_content_trust = false\n"...)}, on: "/collectionGrants", fault: doubles.HTML},
		"empty":          {ucp: doubles.UCPOptions{Config: []byte{}}, on: "/collectionGrants", fault: doubles.HTML},
		"another's TOML": {ucp: doubles.UCPOptions{Config: []byte("[server]\nlevel = \"request\"\n")}, on: "/collectionGrants", fault: doubles.HTML},
		"redirect":       {fault: doubles.Redirect, details: "credentials do not follow"},
	} {
		c.site = plan
		for _, id := range managedUCP {
			t.Run(name+"/"+string(id), func(t *testing.T) {
				t.Parallel()
				c.holdUCP(t, id)
			})
		}
	}
}

// TestOneReadServesAll: all rules together export UCP's configuration once,
// list its grants once and begin one handshake for its certificate.
func TestOneReadServesAll(t *testing.T) {
	t.Parallel()
	c := managedCase{site: sessions(3), ucp: config("[cluster_config]", "[cluster_config]\nmin_TLS_version = \"TLSv1.2\"")}
	double, client := c.startUCP(t)
	h := c.host()
	h.UCP = client
	ask := func(ids ...stig.ID) int {
		before := double.Requests()
		for _, id := range ids {
			rule, _ := rules.For(id)
			if _, err := rule.Judge(t.Context(), h); err != nil {
				t.Errorf("%s: %v", id, err)
			}
		}
		return double.Requests() - before
	}
	if got := ask("DKER-EE-001870"); got != 0 {
		t.Errorf("the certificate took %d requests, want none", got)
	}
	if got := ask("DKER-EE-001080"); got != 2 {
		t.Errorf("one setting took %d requests, want a login and an export", got)
	}
	if got := ask(managedUCP...); got != 4 {
		t.Errorf("the other rules took %d requests, want 4: account, roles, collections, grants", got)
	}
}

// TestUploadIsRead: what was memorized before an upload is not believed behind
// it.
func TestUploadIsRead(t *testing.T) {
	t.Parallel()
	c := managedCase{ucp: config(`level = "request"`, `level = "metadata"`)}
	_, client := c.startUCP(t)
	h := c.host()
	h.UCP = client
	judge(t, "DKER-EE-001080", h, stig.Open, "metadata")
	if err := client.PutConfigTOML(t.Context(), doubles.DefaultConfig(true)); err != nil {
		t.Fatal(err)
	}
	judge(t, "DKER-EE-001080", h, stig.NotAFinding, "request")
}

// TestManagedNowhere: no UCP and no DTR, and no trace of one.
func TestManagedNowhere(t *testing.T) {
	t.Parallel()
	for id, product := range managedRules() {
		judge(t, id, newHost(), stig.NotApplicable, "no "+product+" was given")
		silent := newHost()
		silent.Engine = &hosttest.Engine{Err: fmt.Errorf("gone")}
		judge(t, id, silent, stig.NotReviewed, "gone")
		h := newHost()
		h.Engine = engineWith("docker/"+strings.ToLower(product)+":3", signedDigest)
		judge(t, id, h, stig.NotReviewed, "--"+strings.ToLower(product)+"-url")
	}
}

// managedRules are all requirements about UCP and DTR that ask one of them.
func managedRules() map[stig.ID]string {
	all := map[stig.ID]string{
		"DKER-EE-001870": "UCP", "DKER-EE-003920": "UCP", "DKER-EE-006190": "UCP", "DKER-EE-002380": "UCP", "DKER-EE-002970": "UCP",
		"DKER-EE-001180": "DTR", "DKER-EE-001880": "DTR", "DKER-EE-003930": "DTR", "DKER-EE-001900": "DTR", "DKER-EE-001920": "DTR", "DKER-EE-003840": "DTR",
	}
	for _, id := range managedUCP {
		all[id] = "UCP"
	}
	return all
}
