package rules_test

import (
	"crypto/tls"
	"encoding/pem"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/cli-plugin/site"
	"github.com/docker-stig/docker-stig/shared/stig"
	"github.com/docker-stig/docker-stig/tests/doubles"
)

// now is this machine's: the doubles' certificates are of today.
func now() time.Time { return time.Now() }

// must is for what cannot fail here.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func written(t *testing.T, content []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "certificates.pem")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestServerCertificates(t *testing.T) {
	t.Parallel()
	organization := must(doubles.NewAuthority("Example Root CA", time.Now()))
	between := must(organization.Intermediate("Example Issuing CA", time.Now()))
	another := must(doubles.NewAuthority("Another Root CA", time.Now()))
	own := must(doubles.NewAuthority("UCP Client Root CA", time.Now()))
	whole := must(between.Issue("127.0.0.1", time.Now()))
	selfSigned := must(doubles.SelfSignedFor("127.0.0.1", time.Now()))
	trusted := string(organization.PEM())
	for name, test := range map[string]struct {
		chain   *tls.Certificate
		fault   doubles.Fault
		bundle  string // of trusted-ca
		want    stig.Status
		details string
	}{
		"of the organization":         {bundle: trusted, want: stig.NotAFinding, details: `ends at "CN=Example Root CA"`},
		"by one between":              {chain: whole, bundle: trusted, want: stig.NotAFinding, details: `ends at "CN=Example Root CA"`},
		"the one between is trusted":  {chain: whole, bundle: string(between.PEM()), want: stig.NotAFinding, details: `"CN=Example Issuing CA"`},
		"the one between is missing":  {chain: &tls.Certificate{Certificate: whole.Certificate[:1], PrivateKey: whole.PrivateKey}, bundle: trusted, want: stig.Open, details: "leaves out a certificate between"},
		"of another":                  {bundle: string(another.PEM()), want: stig.Open, details: `issued by "CN=Example Root CA"`},
		"one of many":                 {bundle: string(another.PEM()) + trusted, want: stig.NotAFinding},
		"no bundle":                   {want: stig.NotReviewed, details: "set trusted-ca in site.yaml"},
		"self-signed":                 {fault: doubles.SelfSigned, bundle: trusted, want: stig.Open, details: "signs itself"},
		"self-signed, no bundle":      {fault: doubles.SelfSigned, want: stig.Open, details: "signs itself"},
		"self-signed, in the bundle":  {chain: selfSigned, bundle: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: selfSigned.Certificate[0]})), want: stig.Open, details: "signs itself"},
		"of UCP's own, no bundle":     {chain: must(own.Issue("127.0.0.1", time.Now())), want: stig.Open, details: "the authority that UCP made for itself"},
		"of UCP's own":                {chain: must(own.Issue("127.0.0.1", time.Now())), bundle: trusted, want: stig.Open, details: "UCP Client Root CA"},
		"expired":                     {fault: doubles.ExpiredCertificate, bundle: trusted, want: stig.Open, details: "renew it"},
		"expired, no bundle":          {fault: doubles.ExpiredCertificate, want: stig.Open, details: "renew it"},
		"another host":                {fault: doubles.WrongHost, bundle: trusted, want: stig.Open, details: `not for "127.0.0.1"`},
		"another host, no bundle":     {fault: doubles.WrongHost, want: stig.Open, details: `not for "127.0.0.1"`},
		"stranger":                    {fault: doubles.WrongCA, bundle: trusted, want: stig.Open, details: "a CA that nobody gave you"},
		"the bundle holds nothing":    {bundle: "-----BEGIN RSA PRIVATE KEY-----\n" + doubles.CanarySecret + "\n", want: stig.NotReviewed, details: "no certificate in it"},
		"the bundle holds no X.509":   {bundle: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte(doubles.CanarySecret)})), want: stig.NotReviewed, details: "certificate 1 cannot be read"},
		"the API's faults are not it": {fault: doubles.HTML, bundle: trusted, want: stig.NotAFinding},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := managedCase{fault: test.fault, want: test.want, details: test.details, alone: true}
			if test.bundle != "" {
				c.site.TrustedCA = written(t, []byte(test.bundle))
			}
			c.ucp.ServerOptions = doubles.ServerOptions{Authority: organization, Chain: test.chain}
			c.dtr.ServerOptions = c.ucp.ServerOptions
			for _, id := range []stig.ID{"DKER-EE-001870", "DKER-EE-003920", "DKER-EE-006190"} {
				c.holdUCP(t, id)
			}
			for _, id := range []stig.ID{"DKER-EE-001880", "DKER-EE-003930"} {
				c.holdDTR(t, id)
			}
		})
	}
}

func TestBundleThatIsNoFile(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for file, details := range map[string]string{pipe: "no regular file", t.TempDir(): "no regular file", "/nowhere/ca.pem": "no such file"} {
		c := managedCase{site: site.Site{TrustedCA: file, UCP: site.UCP{ClientCertificate: file}}, want: stig.NotReviewed, details: details}
		c.holdUCP(t, "DKER-EE-001870")
		c.holdUCP(t, "DKER-EE-002380")
	}
}

// TestSilentHandshake: a server that does not speak TLS proves nothing.
func TestSilentHandshake(t *testing.T) {
	t.Parallel()
	c := managedCase{}
	double, client := c.startUCP(t)
	if err := double.Close(); err != nil {
		t.Fatal(err)
	}
	h := c.host()
	h.UCP = client
	judge(t, "DKER-EE-001870", h, stig.NotReviewed, "connection refused")
}

func TestClientCertificate(t *testing.T) {
	t.Parallel()
	issuing := must(doubles.NewAuthority("Example, Inc. CA", time.Now()))
	made := must(issuing.Issue("alice", time.Now()))
	file := written(t, append([]byte("-----BEGIN EC PRIVATE KEY-----\n-----END EC PRIVATE KEY-----\n"),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: made.Certificate[0]})...))
	for name, test := range map[string]struct {
		file, subject, issuer string
		want                  stig.Status
		details               string
	}{
		"the plan's":         {file, "CN=alice", `CN=Example\, Inc. CA`, stig.NotAFinding, "the plan's"},
		"written otherwise":  {file, " cn = alice ", `2.5.4.3=Example\2C Inc. CA`, stig.NotAFinding, "the plan's"},
		"another subject":    {file, "CN=bob", `CN=Example\, Inc. CA`, stig.Open, `it is "CN=alice", and the plan says "CN=bob"`},
		"other case":         {file, "CN=Alice", `CN=Example\, Inc. CA`, stig.Open, "CN=Alice"},
		"one part more":      {file, "CN=alice,O=Example", `CN=Example\, Inc. CA`, stig.Open, "O=Example"},
		"another issuer":     {file, "CN=alice", "CN=UCP Client Root CA", stig.Open, "issuer of"},
		"no issuer planned":  {file, "CN=alice", "", stig.NotReviewed, "set ucp.issuer"},
		"no subject planned": {file, "", `CN=Example\, Inc. CA`, stig.NotReviewed, "set ucp.subject"},
		"nothing planned":    {"", "", "", stig.NotReviewed, "ucp.client-certificate, ucp.subject, ucp.issuer"},
		"no name":            {file, "alice", `CN=Example\, Inc. CA`, stig.NotReviewed, "ucp.subject in site.yaml cannot be read"},
		"a stray backslash":  {file, "CN=alice", `CN=Example\`, stig.NotReviewed, "nothing to escape"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := managedCase{want: test.want, details: test.details}
			c.site.UCP = site.UCP{ClientCertificate: test.file, Subject: test.subject, Issuer: test.issuer}
			c.holdUCP(t, "DKER-EE-002380")
		})
	}
}
