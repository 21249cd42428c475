package rules_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/cli-plugin/site"
	"github.com/docker-stig/docker-stig/shared/stig"
	"github.com/docker-stig/docker-stig/tests/doubles"
)

// named is a certificate for a subject by an issuer, in PEM.
func named(t *testing.T, subject, issuer pkix.Name) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: subject, NotBefore: now(), NotAfter: now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, &x509.Certificate{Subject: issuer}, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// now is this machine's: the doubles' certificates are of today.
func now() time.Time { return time.Now() }

// must is for what cannot fail here.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// bundleOf is one certificate of a chain, in PEM.
func bundleOf(chain *tls.Certificate, at int) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: chain.Certificate[at]}))
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
	// An authority of UCP's own that the organization has signed, too.
	crossed := must(own.Issue("127.0.0.1", time.Now()))
	crossed.Certificate = append(crossed.Certificate, must(organization.CrossSign(own, time.Now())))
	stale := must(must(organization.Intermediate("Stale Issuing CA", time.Now().Add(-60*24*time.Hour))).Issue("127.0.0.1", time.Now()))
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
		"its own is in the bundle":    {chain: whole, bundle: bundleOf(whole, 0), want: stig.Open, details: "none of them signed it"},
		"its own and the root":        {chain: whole, bundle: bundleOf(whole, 0) + trusted, want: stig.NotAFinding, details: `ends at "CN=Example Root CA"`},
		"UCP's own is in the bundle":  {chain: must(own.Issue("127.0.0.1", time.Now())), bundle: string(own.PEM()), want: stig.Open, details: "stands in trusted-ca and is not the organization's"},
		"UCP's own, cross-signed":     {chain: crossed, bundle: trusted + string(own.PEM()), want: stig.NotAFinding, details: `ends at "CN=Example Root CA"`},
		"cross-signed by another":     {chain: crossed, bundle: string(another.PEM()), want: stig.Open, details: "none of them signed it"},
		"expired in between":          {chain: stale, bundle: trusted, want: stig.Open, details: `"CN=Stale Issuing CA" is valid from`},
		"a name beside the address":   {chain: must(organization.Issue("localhost", time.Now())), bundle: trusted, want: stig.Open, details: `not for "127.0.0.1"`},
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
	whole := written(t, named(t, pkix.Name{Country: []string{"US"}, Organization: []string{"Example"}, CommonName: "alice"}, pkix.Name{Country: []string{"US"}, CommonName: "Example CA"}))
	for name, test := range map[string]struct {
		file, subject, issuer string
		want                  stig.Status
		details               string
	}{
		"the plan's":         {file, "CN=alice", `CN=Example\, Inc. CA`, stig.NotAFinding, "the plan's"},
		"written otherwise":  {file, " cn = alice ", `2.5.4.3=Example\2C Inc. CA`, stig.NotAFinding, "the plan's"},
		"as openssl prints":  {whole, "C = US, O = Example, CN = alice", "C = US, CN = Example CA", stig.NotAFinding, "the plan's"},
		"the other way":      {whole, "CN=alice,O=Example,C=US", "CN=Example CA,C=US", stig.NotAFinding, "the plan's"},
		"in another order":   {whole, "O=Example,CN=alice,C=US", "CN=Example CA,C=US", stig.Open, "subject of"},
		"with slashes":       {whole, "/C=US/O=Example/CN=alice", "CN=Example CA,C=US", stig.NotReviewed, "ucp.subject in site.yaml cannot be read"},
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
			if test.file != "" { // the file tells all, and UCP nothing
				judge(t, "DKER-EE-002380", c.host(), test.want, test.details)
			}
		})
	}
}
