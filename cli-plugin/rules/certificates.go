package rules

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/mgmt"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// serverCertificates want UCP and DTR to show a certificate of an authority
// that the site trusts (V-235793, V-235841 and V-235871 for UCP, V-235794 and
// V-235842 for DTR, CAT II).
//
// https://docs.docker.com/ee/ucp/admin/configure/use-your-own-tls-certificates/
var serverCertificates = []Rule{
	{
		IDs:      []stig.ID{"DKER-EE-001870", "DKER-EE-003920", "DKER-EE-006190"},
		Applies:  managed(host.UCP, hasUCP),
		Check:    checkUCPCertificate,
		Fix:      byPerson(checkUCPCertificate, ucpCertificateSteps),
		Steps:    certificateSteps("ucp"),
		Readings: certificateReadings,
	},
	{
		IDs:      []stig.ID{"DKER-EE-001880", "DKER-EE-003930"},
		Applies:  managed(host.DTR, hasDTR),
		Check:    checkDTRCertificate,
		Fix:      byPerson(checkDTRCertificate, dtrCertificateSteps),
		Steps:    certificateSteps("dtr"),
		Readings: certificateReadings,
	},
}

// What a person does for a certificate: the authority's signature and the
// private key are not ours to have.
const (
	ucpCertificateSteps = "Have the organization's authority sign a request for UCP's name and keep the key. Upload ca.pem (the whole chain), cert.pem and key.pem under Admin Settings > Certificates; or, on each manager, put them into the volume ucp-controller-server-certs and restart the container ucp-controller. Then have DTR trust it: docker run -it --rm docker/dtr:VERSION reconfigure --ucp-ca \"$(cat ca.pem)\". Client bundles have to be downloaded anew"
	dtrCertificateSteps = "Have the organization's authority sign a request for DTR's name and keep the key. Enter certificate, key and chain under System > General > Domain & Proxies > Show TLS settings; or docker run -it --rm docker/dtr:VERSION reconfigure --dtr-ca \"$(cat ca.pem)\" --dtr-cert \"$(cat cert.pem)\" --dtr-key \"$(cat key.pem)\". Where engines do not know the authority, its certificate goes into /etc/docker/certs.d/DTR/ca.crt of each"
)

func checkUCPCertificate(ctx context.Context, h *host.Host) ([]stig.Finding, error) {
	return checkCertificate(ctx, h, h.UCP)
}

func checkDTRCertificate(ctx context.Context, h *host.Host) ([]stig.Finding, error) {
	return checkCertificate(ctx, h, h.DTR)
}

func certificateSteps(client string) []Step {
	return []Step{
		{"the server's certificates are read in a TLS handshake", client + ".Certificates"},
		{"its own is for the server's name, and in its time", "judgeCertificate"},
		{"the chain ends at an authority of the site, and its own does not sign itself", "judgeCertificate"},
	}
}

var certificateReadings = []string{
	"\"The trusted CA\" and \"a trusted DoD CA\" are what trusted-ca in site.yaml holds: one list for all five requirements.",
	"The guide prints the server's own certificate for a person to compare. We verify the whole chain, the time and the server's name (RFC 5280, RFC 6125).",
	"What trusted-ca holds counts as an authority: the server's own certificate in it does not, and neither does the authority that UCP made for itself.",
	"One name is asked, as the guide does, and one server behind it answers. Where several managers share the name, each is installed by itself: ask each by its own name, too.",
	"Whether a certificate was revoked is not asked: the guide does not, and the authority may be out of reach.",
	"Without trusted-ca, a certificate that signs itself, is out of its time, has another server's name or comes from the authority that UCP makes for itself is a finding all the same.",
}

// A tlsServer shows certificates.
type tlsServer interface {
	URL() string
	Certificates(ctx context.Context) ([]*x509.Certificate, error)
}

func checkCertificate(ctx context.Context, h *host.Host, of tlsServer) ([]stig.Finding, error) {
	shown, err := of.Certificates(ctx)
	if err != nil {
		return nil, err
	}
	trusted, err := siteAuthorities(h.Site.TrustedCA)
	if err != nil {
		return nil, err
	}
	address, err := url.Parse(of.URL())
	if err != nil {
		return nil, fmt.Errorf("finding the server's name: %w", err)
	}
	f := judgeCertificate(shown, trusted, address.Hostname(), h.Now())
	f.Object = of.URL()
	for _, c := range shown {
		f.Evidence = append(f.Evidence, certificateFact(of.URL(), c))
	}
	return []stig.Finding{f}, nil
}

// siteAuthorities reads the site's bundle; nil if there is none.
func siteAuthorities(file string) ([]*x509.Certificate, error) {
	if file == "" {
		return nil, nil
	}
	found, err := mgmt.ReadCertificates(file)
	if err != nil {
		return nil, fmt.Errorf("reading trusted-ca of site.yaml: %w", err)
	}
	return found, nil
}

// judgeCertificate judges a chain, the server's own certificate first. Without
// trusted authorities only what is wrong with any is found.
func judgeCertificate(shown []*x509.Certificate, trusted []*x509.Certificate, name string, now time.Time) stig.Finding {
	const mend = "give the server a certificate of the organization's authority"
	if len(shown) == 0 {
		return stig.Finding{Details: "the server showed no certificate: check that its URL is that of its HTTPS port"}
	}
	own := shown[0]
	switch {
	case signsItself(own):
		return stig.Finding{Status: stig.Open, Details: "the certificate signs itself: " + mend}
	case now.Before(own.NotBefore) || now.After(own.NotAfter):
		return stig.Finding{Status: stig.Open, Details: fmt.Sprintf("the certificate is valid from %s to %s: renew it", validDay(own.NotBefore), validDay(own.NotAfter))}
	case own.VerifyHostname(name) != nil:
		return stig.Finding{Status: stig.Open, Details: fmt.Sprintf("the certificate is not for %q: %s, for that name", name, mend)}
	case trusted == nil && ofUCPItself(own.Issuer):
		return stig.Finding{Status: stig.Open, Details: fmt.Sprintf("the certificate is from the authority that UCP made for itself (%s): %s", issuerOf(own), mend)}
	case trusted == nil:
		return stig.Finding{Details: fmt.Sprintf("the certificate is issued by %s; whether that is the organization's authority is for the site to say: set trusted-ca in site.yaml to a PEM file", issuerOf(own))}
	}
	chains, err := own.Verify(x509.VerifyOptions{
		// A trusted certificate of the server itself would be a chain of one.
		Roots: poolOf(trusted, own), Intermediates: poolOf(shown[1:], own), DNSName: name, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return stig.Finding{Status: stig.Open, Details: fmt.Sprintf("the certificate is issued by %s, and its chain does not hold up to the authorities of trusted-ca: %s: %s", issuerOf(own), chainFault(err), mend)}
	}
	root := endOf(chains)
	if root == nil {
		return stig.Finding{Status: stig.Open, Details: fmt.Sprintf("the certificate is from the authority that UCP made for itself (%s), which stands in trusted-ca and is not the organization's: %s", issuerOf(own), mend)}
	}
	return stig.Finding{
		Status:  stig.NotAFinding,
		Details: fmt.Sprintf("the chain ends at %q, an authority of trusted-ca; the certificate is valid to %s", oneLine(root.Subject.String()), validDay(own.NotAfter)),
		Expires: own.NotAfter.UTC(),
	}
}

// poolOf holds certificates, but for one.
func poolOf(certificates []*x509.Certificate, but *x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, c := range certificates {
		if !c.Equal(but) {
			pool.AddCert(c)
		}
	}
	return pool
}

// endOf is the authority that a chain ends at, of several the first; nil if
// all end at one that UCP made for itself.
func endOf(chains [][]*x509.Certificate) *x509.Certificate {
	for _, chain := range chains {
		if root := chain[len(chain)-1]; !ofUCPItself(root.Subject) {
			return root
		}
	}
	return nil
}

// signsItself reports whether a certificate is its own issuer.
func signsItself(c *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, c.RawSubject) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

// ofUCPItself recognizes the authorities that UCP makes when it is installed by
// the names it gives them.
func ofUCPItself(authority pkix.Name) bool {
	return strings.Contains(authority.CommonName, "UCP Client Root CA") || strings.Contains(authority.CommonName, "UCP Cluster Root CA")
}

// chainFault says why a chain does not hold, in one line.
func chainFault(err error) string {
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return "none of them signed it, or the server leaves out a certificate between"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Sprintf("%q is valid from %s to %s", oneLine(invalid.Cert.Subject.String()), validDay(invalid.Cert.NotBefore), validDay(invalid.Cert.NotAfter))
	default:
		return oneLine(err.Error())
	}
}

func issuerOf(c *x509.Certificate) string { return fmt.Sprintf("%q", oneLine(c.Issuer.String())) }

func validDay(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// oneLine keeps a name from outside to one line.
func oneLine(name string) string {
	const most = 200 // characters
	if runes := []rune(name); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return name
}

// certificateFact is what there is to compare in a certificate.
func certificateFact(source string, c *x509.Certificate) stig.Fact {
	return stig.Fact{
		Source: source,
		Asked:  "TLS handshake: certificate",
		Answer: fmt.Sprintf("subject %q, issuer %q, valid to %s, SHA-256 %x",
			oneLine(c.Subject.String()), oneLine(c.Issuer.String()), validDay(c.NotAfter), sha256.Sum256(c.Raw)),
	}
}
