package rules_test

import (
	"testing"

	"github.com/docker-stig/docker-stig/cli-plugin/host/dtr"
	"github.com/docker-stig/docker-stig/cli-plugin/site"
	"github.com/docker-stig/docker-stig/shared/stig"
	"github.com/docker-stig/docker-stig/tests/doubles"
)

// holdDTR holds a rule about DTR, with a UCP beside it, against a case.
func (c managedCase) holdDTR(t *testing.T, id stig.ID) {
	t.Helper()
	double, err := doubles.NewDTR(t.Context(), c.dtr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = double.Close() })
	client, err := dtr.New(dtr.Options{Options: c.options(t, double.URL(), double.CA())})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	h := c.host()
	h.DTR = client
	secrets := double.Secrets
	if !c.alone {
		cluster, ucpClient := c.startUCP(t)
		h.UCP = ucpClient
		cluster.SetFaultOn(c.on, c.fault)
		secrets = func() []string { return append(double.Secrets(), cluster.Secrets()...) }
	}
	double.SetFaultOn(c.on, c.fault)
	findings := judge(t, id, h, c.want, c.details)
	wantNoCanary(t, findings, secrets()) // with the tokens that were handed out meanwhile
}

func TestDTRSettings(t *testing.T) {
	t.Parallel()
	setting := func(name string, value any) doubles.DTROptions {
		return doubles.DTROptions{Settings: map[string]any{name: value}}
	}
	status := func(pairs ...any) doubles.DTROptions {
		over := map[string]any{}
		for i := 0; i < len(pairs); i += 2 {
			over[pairs[i].(string)] = pairs[i+1]
		}
		return doubles.DTROptions{ScanStatus: over}
	}
	const scan = "/api/v0/imagescan"
	for id, cases := range map[stig.ID]map[string]managedCase{
		"DKER-EE-001900": {
			"off":      {want: stig.NotAFinding, details: "it is false"},
			"on":       {dtr: setting("createRepositoryOnPush", true), want: stig.Open, details: "a push makes a repository"},
			"absent":   {dtr: setting("createRepositoryOnPush", nil), want: stig.NotReviewed, details: "DTR does not tell it"},
			"a string": {dtr: setting("createRepositoryOnPush", "false"), want: stig.NotReviewed, details: `field "createRepositoryOnPush" is no bool`},
		},
		"DKER-EE-001920": {
			"off":    {want: stig.NotAFinding},
			"on":     {dtr: setting("reportAnalytics", true), want: stig.Open, details: "set it to false under System > General"},
			"absent": {dtr: setting("reportAnalytics", nil), want: stig.NotReviewed, details: "does not tell"},
			"number": {dtr: setting("reportAnalytics", 0), want: stig.NotReviewed, details: "is no bool"},
		},
		"DKER-EE-003840": {
			"on, up to date":        {want: stig.NotAFinding, details: "its last updates succeeded"},
			"off":                   {dtr: setting("scanningEnabled", false), want: stig.Open, details: "no image is scanned"},
			"update failed":         {dtr: status("lastDBUpdateFailed", true), want: stig.Open, details: "lastDBUpdateFailed is true"},
			"corrections failed":    {dtr: status("lastVulnOverridesDBUpdateFailed", true), want: stig.Open, details: "lastVulnOverridesDBUpdateFailed is true"},
			"never loaded":          {dtr: status("dbVersion", 0), want: stig.Open, details: "never loaded"},
			"underscores":           {dtr: status("lastDBUpdateFailed", nil, "lastVulnOverridesDBUpdateFailed", nil, "last_db_update_failed", false, "last_vuln_overrides_db_update_failed", false), want: stig.NotAFinding},
			"underscores, failed":   {dtr: status("lastDBUpdateFailed", nil, "last_db_update_failed", true), want: stig.Open, details: "its last update failed"},
			"both spellings":        {dtr: status("last_db_update_failed", true), want: stig.NotReviewed, details: "with two values"},
			"half":                  {dtr: status("lastVulnOverridesDBUpdateFailed", nil), want: stig.NotReviewed, details: "DTR does not tell lastVulnOverridesDBUpdateFailed"},
			"a string":              {dtr: status("lastDBUpdateFailed", "false"), want: stig.NotReviewed, details: "is no bool"},
			"status unknown":        {fault: doubles.ServerError, on: scan, want: stig.NotReviewed, details: "unexpected status"},
			"settings unknown":      {fault: doubles.ServerError, on: "/api/v0/meta", want: stig.NotReviewed, details: "scanningEnabled of"},
			"off, status unknown":   {dtr: setting("scanningEnabled", false), fault: doubles.NotFound, on: scan, want: stig.Open, details: "not found"},
			"settings do not tell":  {dtr: setting("scanningEnabled", nil), want: stig.NotReviewed, details: "does not tell"},
			"status is a web page":  {fault: doubles.HTML, on: scan, want: stig.NotReviewed, details: "web page"},
			"status is cut":         {fault: doubles.Truncated, on: scan, want: stig.NotReviewed, details: "ends in the middle"},
			"status of no password": {fault: doubles.Unauthorized, on: scan, want: stig.NotReviewed, details: "--dtr-username"},
		},
	} {
		for name, c := range cases {
			t.Run(string(id)+"/"+name, func(t *testing.T) {
				t.Parallel()
				c.alone = true
				c.holdDTR(t, id)
			})
		}
	}
}

func TestDTRAccess(t *testing.T) {
	t.Parallel()
	whole := site.DTR{Access: doubles.DefaultAccess(), Members: map[string][]string{"ops/release": {"bob", "alice"}, "ops/web": {"carol"}}}
	plan := func(change func(*site.DTR)) site.Site {
		values := site.DTR{Access: doubles.DefaultAccess(), Members: map[string][]string{"ops/release": {"bob", "alice"}, "ops/web": {"carol"}}}
		change(&values)
		return site.Site{DTR: values}
	}
	const access, members = "/api/v0/accounts/ops/teams/web/", "/accounts/ops/teams/web/members"
	for name, c := range map[string]managedCase{
		"the plan's":                {site: site.Site{DTR: whole}, want: stig.NotAFinding, details: "its membership is the plan's (alice, bob)"},
		"no plan":                   {want: stig.NotReviewed, details: "dtr.access and dtr.members"},
		"no access planned":         {site: plan(func(d *site.DTR) { d.Access = nil }), want: stig.NotReviewed, details: "set dtr.access"},
		"no members planned":        {site: plan(func(d *site.DTR) { d.Members = nil }), want: stig.NotReviewed, details: "set dtr.members"},
		"another level":             {site: plan(func(d *site.DTR) { d.Access["ops/web"]["prod/web"] = "read-write" }), want: stig.Open, details: "missing prod/web read-write, beyond it prod/web read-only"},
		"more access":               {site: plan(func(d *site.DTR) { delete(d.Access["ops/release"], "prod/empty") }), want: stig.Open, details: "beyond it prod/empty admin"},
		"a member more":             {site: plan(func(d *site.DTR) { d.Members["ops/release"] = []string{"alice"} }), want: stig.Open, details: "beyond it bob"},
		"a member missing":          {site: plan(func(d *site.DTR) { d.Members["ops/web"] = []string{"carol", "dan"} }), want: stig.Open, details: "missing dan"},
		"a team more":               {ucp: doubles.UCPOptions{Teams: map[string][]string{"ops/release": {"alice", "bob"}, "ops/web": {"carol"}, "dev/all": {"eve"}}}, site: site.Site{DTR: whole}, want: stig.Open, details: "beyond it dev, dev/all"},
		"an organization more":      {ucp: doubles.UCPOptions{Teams: map[string][]string{"ops/release": {"alice", "bob"}, "ops/web": {"carol"}, "rogue": nil}}, site: site.Site{DTR: whole}, want: stig.Open, details: "beyond it rogue:"},
		"an organization planned":   {ucp: doubles.UCPOptions{Teams: map[string][]string{"ops/release": {"alice", "bob"}, "ops/web": {"carol"}, "idle": nil}}, site: plan(func(d *site.DTR) { d.Members["idle"] = []string{} }), want: stig.NotAFinding, details: "idle, ops, ops/release, ops/web"},
		"an organization's members": {site: plan(func(d *site.DTR) { d.Members["ops"] = []string{"eve"} }), want: stig.NotReviewed, details: "neither access nor members of its own"},
		"an organization missing":   {site: plan(func(d *site.DTR) { d.Members["gone"] = nil }), want: stig.Open, details: "missing gone,"},
		"account service fails":     {fault: doubles.ServerError, on: "/enzi", site: site.Site{DTR: whole}, want: stig.NotReviewed, details: "look at the log of DTR"},
		"a team missing":            {ucp: doubles.UCPOptions{Teams: map[string][]string{"ops/release": {"alice", "bob"}}}, site: site.Site{DTR: whole}, want: stig.Open, details: "missing ops/web"},
		"no team at all":            {site: plan(func(d *site.DTR) { d.Members["../auth"] = nil; d.Members["x/y/z"] = nil }), want: stig.NotReviewed, details: "write ORG/TEAM"},
		"a path for a team":         {site: plan(func(d *site.DTR) { d.Members["ops/.."] = nil }), want: stig.Open, details: "missing ops/.."},
		"no UCP":                    {alone: true, site: site.Site{DTR: whole}, want: stig.NotReviewed, details: "--ucp-url"},
		"no UCP, a path":            {alone: true, site: plan(func(d *site.DTR) { d.Access["ops/.."] = nil }), want: stig.NotReviewed, details: "a name in the request is none"},
		"no UCP, and wrong":         {alone: true, site: plan(func(d *site.DTR) { delete(d.Access["ops/release"], "prod/empty") }), want: stig.Open, details: "beyond it prod/empty admin"},
		"no administrator":          {account: 1, site: site.Site{DTR: whole}, want: stig.NotReviewed, details: "no administrator of DTR"},
		"one team unknown":          {fault: doubles.NotFound, on: access, site: site.Site{DTR: whole}, want: stig.NotReviewed, details: "access of ops/web"},
		"a web page":                {fault: doubles.HTML, on: access, site: site.Site{DTR: whole}, want: stig.NotReviewed, details: "web page"},
		"members unknown":           {fault: doubles.ServerError, on: members, site: site.Site{DTR: whole}, want: stig.NotReviewed, details: "members of ops/web"},
		"pages in a circle":         {fault: doubles.PagingLoop, on: members, site: site.Site{DTR: whole}, want: stig.NotReviewed, details: "circle"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.holdDTR(t, "DKER-EE-001180")
		})
	}
}

// TestDTRDoesNotAnswer: whatever keeps DTR from answering, no rule takes it
// for a finding.
func TestDTRDoesNotAnswer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]managedCase{
		"wrong password": {on: "/auth/token", fault: doubles.Unauthorized, details: "--dtr-password-file"},
		"silence":        {fault: doubles.Silence, details: "no answer in time"},
		"wrong CA":       {fault: doubles.WrongCA, details: "--dtr-ca"},
		"web page":       {fault: doubles.HTML, details: "web page"},
		"server error":   {fault: doubles.ServerError, details: "look at the log of DTR"},
		"carol":          {account: 1, details: "--dtr-username"},
	} {
		c.site.DTR.Access = doubles.DefaultAccess()
		c.alone = true
		for _, id := range []stig.ID{"DKER-EE-001180", "DKER-EE-001900", "DKER-EE-001920", "DKER-EE-003840"} {
			t.Run(name+"/"+string(id), func(t *testing.T) {
				t.Parallel()
				c.holdDTR(t, id)
			})
		}
	}
}
