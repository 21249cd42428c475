package rules_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/dtr"
	"github.com/docker-stig/docker-stig/cli-plugin/host/hosttest"
	"github.com/docker-stig/docker-stig/cli-plugin/host/mgmt"
	"github.com/docker-stig/docker-stig/cli-plugin/host/packages"
	"github.com/docker-stig/docker-stig/cli-plugin/host/ucp"
	"github.com/docker-stig/docker-stig/cli-plugin/rules"
	"github.com/docker-stig/docker-stig/cli-plugin/site"
	"github.com/docker-stig/docker-stig/shared/stig"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/tests/doubles"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/image"
	"github.com/opencontainers/go-digest"
)

var (
	signedDigest = digest.FromString("signed")
	otherDigest  = digest.FromString("other")
)

// vouching is a verifier that knows the digests of names. A name without a
// digest is one whose server does not answer.
type vouching map[string]digest.Digest

func (v vouching) Scope(ref reference.Named) string {
	for name := range v {
		if known, err := reference.ParseNormalizedNamed(name); err == nil && known.Name() == ref.Name() {
			return known.Name()
		}
	}
	return ""
}

func (v vouching) Verify(_ context.Context, q trust.Question) (trust.Signed, error) {
	for name, dgst := range v {
		known, err := reference.ParseNormalizedNamed(name)
		if err != nil || known.Name() != q.Ref.Name() {
			continue
		}
		if dgst == "" {
			return trust.Signed{}, &trust.Error{Reason: trust.Unreachable, Ref: q.Ref, Err: errors.New("silence")}
		}
		if _, tagged := q.Ref.(reference.Tagged); tagged && known.String() != q.Ref.String() {
			continue
		}
		if !q.Content.IsZero() && !q.Content.Is(dgst) {
			return trust.Signed{}, &trust.Error{Reason: trust.DigestMismatch, Ref: q.Ref}
		}
		return trust.Signed{Digest: dgst, Method: trust.DCT, Signers: []string{"vendor"}, Expires: time.Now().Add(time.Hour)}, nil
	}
	return trust.Signed{}, &trust.Error{Reason: trust.Unsigned, Ref: q.Ref}
}

// An expiring verifier says of every yes that it has to be renewed soon.
type expiring struct{ vouching }

func (e expiring) Verify(ctx context.Context, q trust.Question) (trust.Signed, error) {
	signed, err := e.vouching.Verify(ctx, q)
	signed.RenewBy = time.Date(2026, 12, 24, 8, 0, 0, 0, time.UTC)
	return signed, err
}

// newHost is a host with an empty engine and a vendor's package.
func newHost() *host.Host {
	return &host.Host{
		Engine:  &hosttest.Engine{},
		Address: "unix:///fake.sock",
		Package: func(context.Context) (packages.Proof, error) {
			return packages.Proof{Package: "docker-ce", Version: "5:29.0", Installed: true}, nil
		},
	}
}

func held(name string, dgst digest.Digest) image.Summary {
	repository, _, _ := strings.Cut(name, ":")
	return image.Summary{ID: string(digest.FromString(name)), RepoTags: []string{name}, RepoDigests: []string{repository + "@" + string(dgst)}}
}

// judge runs a rule and wants a status and a piece of its details.
func judge(t *testing.T, id stig.ID, h *host.Host, want stig.Status, details string) []stig.Finding {
	t.Helper()
	rule, ok := rules.For(id)
	if !ok {
		t.Fatalf("no rule for %s", id)
	}
	findings, err := rule.Judge(t.Context(), h)
	if err != nil {
		findings = []stig.Finding{{Status: stig.NotReviewed, Details: err.Error()}}
	}
	var text strings.Builder
	for _, f := range findings {
		text.WriteString(f.Object + ": " + f.Status.String() + ": " + f.Details + "\n")
	}
	if got := stig.Worst(findings); got != want {
		t.Errorf("got %v, want %v:\n%s", got, want, text.String())
	} else {
		saw(id, got)
	}
	if !strings.Contains(text.String(), details) {
		t.Errorf("want %q in:\n%s", details, text.String())
	}
	return findings
}

func TestVendorSigned(t *testing.T) {
	t.Parallel()
	refused := func(context.Context) (packages.Proof, error) {
		return packages.Proof{}, &packages.Refused{Reason: "signed by a stranger", Advice: "install the vendor's"}
	}
	ucpHeld := []image.Summary{held("docker/ucp:3.2.1", signedDigest)}
	vendor := vouching{"docker.io/docker/ucp:3.2.1": signedDigest}
	for name, test := range map[string]struct {
		change  func(h *host.Host)
		want    stig.Status
		details string
	}{
		"vendor's package, no UCP":  {func(*host.Host) {}, stig.NotAFinding, "docker-ce 5:29.0"},
		"package refused":           {func(h *host.Host) { h.Package = refused }, stig.Open, "signed by a stranger"},
		"package not installed yet": {func(h *host.Host) { h.Package = file }, stig.NotReviewed, "whether the engine on this host"},
		"remote engine":             {func(h *host.Host) { h.Package = host.InstalledPackage("", "ssh://x", nil, time.Now) }, stig.NotReviewed, "cannot see the host"},
		"engine does not answer":    {func(h *host.Host) { h.Engine = &hosttest.Engine{Err: errors.New("gone")} }, stig.NotReviewed, "gone"},
		"UCP signed":                {func(h *host.Host) { h.Engine, h.Trust = &hosttest.Engine{Images: ucpHeld}, vendor }, stig.NotAFinding, "digest " + string(signedDigest)},
		"UCP signed, expires soon":  {func(h *host.Host) { h.Engine, h.Trust = &hosttest.Engine{Images: ucpHeld}, expiring{vendor} }, stig.NotAFinding, "signed again by 2026-12-24"},
		"UCP, no policy":            {func(h *host.Host) { h.Engine = &hosttest.Engine{Images: ucpHeld} }, stig.NotReviewed, "no policy"},
		"UCP under no scope":        {func(h *host.Host) { h.Engine, h.Trust = &hosttest.Engine{Images: ucpHeld}, vouching{} }, stig.NotReviewed, "no root key"},
		"UCP, silent Notary": {func(h *host.Host) {
			h.Engine, h.Trust = &hosttest.Engine{Images: ucpHeld}, vouching{"docker.io/docker/ucp:3.2.1": ""}
		}, stig.NotReviewed, "silence"},
		"UCP unsigned": {func(h *host.Host) {
			h.Engine, h.Trust = &hosttest.Engine{Images: ucpHeld}, vouching{"docker.io/docker/ucp:9": signedDigest}
		}, stig.Open, "unsigned"},
		"UCP with other content": {func(h *host.Host) { h.Engine, h.Trust = engineWith("docker/ucp:3.2.1", otherDigest), vendor }, stig.Open, "digest-mismatch"},
		"mirror of the vendor's": {func(h *host.Host) {
			h.Engine, h.Trust = engineWith("mirror.example.com/x/ucp:3.2.1", signedDigest), vendor
		}, stig.NotAFinding, "mirror.example.com"},
		"mirror with other content": {func(h *host.Host) {
			h.Engine, h.Trust = engineWith("mirror.example.com/x/ucp:3.2.1", otherDigest), vendor
		}, stig.Open, "digest-mismatch"},
		"named by the site":    {func(h *host.Host) { h.Trust = vendor; h.Site.VendorImages = []string{"docker/ucp:3.2.1"} }, stig.NotAFinding, "holds no image of that name"},
		"not a vendor image":   {func(h *host.Host) { h.Trust = vendor; h.Site.VendorImages = []string{"docker/web:1"} }, stig.NotReviewed, "neither UCP's nor DTR's"},
		"no name at all":       {func(h *host.Host) { h.Site.VendorImages = []string{"Docker/UCP"} }, stig.NotReviewed, "must be lowercase"},
		"only an agent of UCP": {func(h *host.Host) { h.Engine = engineWith("docker/ucp-agent:3.2.1", signedDigest) }, stig.NotReviewed, "not its main image"},
		"archive that is none": {func(h *host.Host) { h.Archives = []string{"/dev/null"} }, stig.NotReviewed, "holds no image"},
		"an open half beats an open question": {func(h *host.Host) {
			h.Package, h.Engine = refused, &hosttest.Engine{Err: errors.New("gone")}
		}, stig.Open, "gone"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost()
			test.change(h)
			judge(t, stig.VendorSigned, h, test.want, test.details)
		})
	}
}

func file(context.Context) (packages.Proof, error) {
	return packages.Proof{Package: "docker-ce", Version: "5:29.0"}, nil
}

func engineWith(name string, dgst digest.Digest) host.Engine {
	return &hosttest.Engine{Images: []image.Summary{held(name, dgst)}}
}

// management gives a double's client options.
func management(t *testing.T, url string, pem []byte, account doubles.Account) mgmt.Options {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem, 0o600); err != nil {
		t.Fatal(err)
	}
	return mgmt.Options{URL: url, CAFile: ca, Username: account.Username, Password: account.Password, Timeout: 2 * time.Second}
}

func newDTR(t *testing.T, opts doubles.DTROptions, account int) (*doubles.DTR, *dtr.Client) {
	t.Helper()
	double, err := doubles.NewDTR(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = double.Close() })
	client, err := dtr.New(dtr.Options{Options: management(t, double.URL(), double.CA(), doubles.DefaultAccounts()[account]), Domain: "dtr.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return double, client
}

func TestRegistryTags(t *testing.T) {
	t.Parallel()
	allSigned := []doubles.Repository{{Namespace: "prod", Name: "web", Tags: []doubles.Tag{{Name: "1", Digest: string(signedDigest), InNotary: true}}}}
	for name, test := range map[string]struct {
		repositories []doubles.Repository
		account      int
		fault        doubles.Fault
		trust        host.Verifier
		want         stig.Status
		details      string
	}{
		"all signed, by DTR's word":       {repositories: allSigned, want: stig.NotAFinding, details: "1 tags in 1 repositories"},
		"all signed, verified":            {repositories: allSigned, trust: vouching{"dtr.example.com/prod/web:1": signedDigest}, want: stig.NotAFinding, details: "signatures of 1 tags were verified here"},
		"expires soon":                    {repositories: allSigned, trust: expiring{vouching{"dtr.example.com/prod/web:1": signedDigest}}, want: stig.NotAFinding, details: "1 tags have to be signed again within 14 days (dtr.example.com/prod/web:1)"},
		"signed for other content":        {repositories: allSigned, trust: vouching{"dtr.example.com/prod/web:1": otherDigest}, want: stig.Open, details: "the signers vouch for " + string(otherDigest)},
		"DTR says signed, Notary says no": {repositories: allSigned, trust: vouching{"dtr.example.com/prod/web:2": otherDigest}, want: stig.Open, details: "unsigned"},
		"Notary is silent":                {repositories: allSigned, trust: vouching{"dtr.example.com/prod/web:1": ""}, want: stig.NotAFinding, details: "signatures of 0 tags were verified here"},
		"one of each sort":                {want: stig.Open, details: "dtr.example.com/prod/web:2.4: Open: the tag holds other content"},
		"account that sees only part":     {repositories: allSigned, account: 1, want: stig.NotReviewed, details: "no administrator"},
		"a no outranks a part":            {account: 1, want: stig.Open, details: "dtr.example.com/carol/app:dev: Open"},
		"wrong password":                  {fault: doubles.Unauthorized, want: stig.NotReviewed, details: "--dtr-username"},
		"web page":                        {fault: doubles.HTML, want: stig.NotReviewed, details: "web page"},
		"truncated":                       {fault: doubles.Truncated, want: stig.NotReviewed, details: "cut off"},
		"silence":                         {fault: doubles.Silence, want: stig.NotReviewed, details: "no answer in time"},
		"paging loop":                     {fault: doubles.PagingLoop, want: stig.NotReviewed, details: "list of repositories"},
		"tags without inNotary":           {repositories: allSigned, fault: doubles.MissingInNotary, want: stig.NotReviewed, details: "inNotary"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			double, client := newDTR(t, doubles.DTROptions{Repositories: test.repositories}, test.account)
			if test.fault != "" {
				double.SetFault(test.fault)
			}
			h := newHost()
			h.DTR, h.Trust = client, test.trust
			judge(t, stig.RegistryTags, h, test.want, test.details)
		})
	}
}

// TestRegistryTagsAllPages finds the one bad tag on the last page.
func TestRegistryTagsAllPages(t *testing.T) {
	t.Parallel()
	var repositories []doubles.Repository
	for _, first := range "abcdefghij" {
		for _, second := range "abcdefghij" {
			repositories = append(repositories, doubles.Repository{Namespace: "prod", Name: string(first) + string(second), Tags: []doubles.Tag{{Name: "1", InNotary: true}}})
		}
	}
	repositories[99].Tags[0].InNotary = false
	_, client := newDTR(t, doubles.DTROptions{Repositories: repositories, MaxPageSize: 7}, 0)
	h := newHost()
	h.DTR = client
	judge(t, stig.RegistryTags, h, stig.Open, "dtr.example.com/prod/jj:1: Open: nobody signed")
}

func newUCP(t *testing.T, config string) (*doubles.UCP, *ucp.Client) {
	t.Helper()
	opts := doubles.UCPOptions{}
	if config != "" {
		opts.Config = []byte(config)
	}
	double, err := doubles.NewUCP(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = double.Close() })
	client, err := ucp.New(management(t, double.URL(), double.CA(), doubles.DefaultAccounts()[0]))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return double, client
}

func TestTrustEnforced(t *testing.T) {
	t.Parallel()
	const on = "[trust_configuration]\nrequire_content_trust = true\nrequire_signature_from = [\"ops/release\"]\n"
	teams := func(list ...string) site.Site {
		return site.Site{UCP: site.UCP{RequireSignatureFrom: list}}
	}
	for name, test := range map[string]struct {
		config  string
		site    site.Site
		fault   doubles.Fault
		want    stig.Status
		details string
	}{
		"off":                       {want: stig.Open, details: "require_content_trust is false"},
		"absent":                    {config: "[auth]\nbackend = \"ldap\"\n", want: stig.Open, details: "is not set"},
		"on, and the site's list":   {config: on, site: teams("ops/release"), want: stig.NotAFinding, details: "is the site's list"},
		"on, the site says nothing": {config: on, want: stig.NotReviewed, details: "ucp.require-signature-from in site.yaml"},
		"on, another list":          {config: on, site: teams("ops/other"), want: stig.Open, details: "missing ops/other, beyond it ops/release"},
		"on, the site wants none":   {config: on, site: teams([]string{}...), want: stig.Open, details: "beyond it ops/release"},
		"no TOML":                   {config: "[trust", want: stig.NotReviewed, details: "line 1"},
		"another type":              {config: "[trust_configuration]\nrequire_content_trust = \"true\"\n", want: stig.NotReviewed, details: "is no bool"},
		"wrong password":            {fault: doubles.Unauthorized, want: stig.NotReviewed, details: "--ucp-password-file"},
		"server error":              {fault: doubles.ServerError, want: stig.NotReviewed, details: "unexpected status"},
		"wrong CA":                  {fault: doubles.WrongCA, want: stig.NotReviewed, details: "--ucp-ca"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			double, client := newUCP(t, test.config)
			if test.fault != "" {
				double.SetFault(test.fault)
			}
			h := newHost()
			h.UCP, h.Site = client, test.site
			findings := judge(t, stig.TrustEnforced, h, test.want, test.details)
			for _, f := range findings {
				for _, secret := range double.Secrets() {
					if strings.Contains(f.Details, secret) {
						t.Errorf("a finding holds the secret %q", secret)
					}
				}
			}
		})
	}
}

// TestManagedProducts: without a UCP or DTR given, what the engine shows decides.
func TestManagedProducts(t *testing.T) {
	t.Parallel()
	labelled := &hosttest.Engine{
		Images:     []image.Summary{held("example.com/x:1", signedDigest)},
		Containers: []container.Summary{{ImageID: string(digest.FromString("example.com/x:1")), Labels: map[string]string{"com.docker.ucp.version": "3.2"}}},
	}
	for name, test := range map[string]struct {
		id      stig.ID
		engine  host.Engine
		want    stig.Status
		details string
	}{
		"no UCP anywhere":        {stig.TrustEnforced, &hosttest.Engine{}, stig.NotApplicable, "no UCP was given"},
		"UCP image":              {stig.TrustEnforced, engineWith("mirantis/ucp-agent:3", signedDigest), stig.NotReviewed, "--ucp-url"},
		"UCP label":              {stig.TrustEnforced, labelled, stig.NotReviewed, "--ucp-url"},
		"engine does not answer": {stig.TrustEnforced, &hosttest.Engine{Err: errors.New("gone")}, stig.NotReviewed, "gone"},
		"no DTR anywhere":        {stig.RegistryTags, engineWith("docker/ucp:3", signedDigest), stig.NotApplicable, "no DTR was given"},
		"DTR image":              {stig.RegistryTags, engineWith("docker/dtr-nginx:2", signedDigest), stig.NotReviewed, "--dtr-url"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost()
			h.Engine = test.engine
			judge(t, test.id, h, test.want, test.details)
		})
	}
}

func TestFixTrustEnforced(t *testing.T) {
	t.Parallel()
	rule, _ := rules.For(stig.TrustEnforced)
	double, client := newUCP(t, "")
	h := newHost()
	h.UCP, h.Site.UCP.RequireSignatureFrom = client, []string{"ops/release"}
	h.Engine = &hosttest.Engine{
		Images:     []image.Summary{held("example.com/web:1", otherDigest)},
		Containers: []container.Summary{{ImageID: string(digest.FromString("example.com/web:1")), State: "running"}},
	}
	h.Trust = vouching{"example.com/web:2": signedDigest}
	wanted, err := rule.Fix(t.Context(), h)
	if err != nil || len(wanted.Changes) != 2 {
		t.Fatalf("got %v, %v", wanted, err)
	}
	for i, want := range []string{
		"/trust_configuration/require_content_trust is set to true",
		`/trust_configuration/require_signature_from is set to ["ops/release"]`,
	} {
		if got := wanted.Changes[i].Wish(); got != want || wanted.Changes[i].Check() != nil {
			t.Errorf("got %q, want %q (%v)", got, want, wanted.Changes[i].Check())
		}
	}
	notes := strings.Join(wanted.Notes, "\n")
	if !strings.Contains(notes, "[auth.ldap]") || !strings.Contains(notes, "example.com/web:1") {
		t.Errorf("notes: %s", notes)
	}
	if double.Puts() != 0 {
		t.Error("asking for the changes made them")
	}
	right, err := ucp.Set(
		double.Config(),
		ucp.Setting{Path: []string{"trust_configuration", "require_content_trust"}, Value: true},
		ucp.Setting{Path: []string{"trust_configuration", "require_signature_from"}, Value: h.Site.UCP.RequireSignatureFrom},
	)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.PutConfigTOML(t.Context(), right); err != nil {
		t.Fatal(err)
	}
	if again, err := rule.Fix(t.Context(), h); err != nil || len(again.Changes) > 0 {
		t.Errorf("a second fix asks for %v, %v", again, err)
	}
}
