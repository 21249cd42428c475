package doubles

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

const (
	lifetime = 24 * time.Hour // of what an authority signs; tests and demos end sooner
	backdate = time.Hour      // clocks differ
)

// An Authority is a CA made on the spot.
type Authority struct {
	cert  *x509.Certificate
	key   *ecdsa.PrivateKey
	chain [][]byte // certificates between a root and this CA's, its own first; none of a root
}

// NewAuthority makes a CA of this name, valid around now.
func NewAuthority(name string, now time.Time) (*Authority, error) {
	return newAuthority(name, now, nil)
}

// Intermediate makes a CA that this one vouches for, and whose certificate the
// servers show beside their own.
func (a *Authority) Intermediate(name string, now time.Time) (*Authority, error) {
	return newAuthority(name, now, a)
}

// CrossSign gives a second certificate for another CA, which this one vouches
// for.
func (a *Authority) CrossSign(other *Authority, now time.Time) ([]byte, error) {
	template := *other.cert
	template.NotBefore, template.NotAfter = now.Add(-30*lifetime), now.Add(30*lifetime)
	der, err := x509.CreateCertificate(rand.Reader, &template, a.cert, other.cert.PublicKey, a.key)
	if err != nil {
		return nil, fmt.Errorf("signing %s by %s: %w", other.cert.Subject.CommonName, a.cert.Subject.CommonName, err)
	}
	return der, nil
}

// newAuthority makes a CA that parent signs; nil: it signs itself.
func newAuthority(name string, now time.Time, parent *Authority) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the key of %s: %w", name, err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-30 * lifetime),
		NotAfter:              now.Add(30 * lifetime),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	signer, signerKey := template, key
	if parent != nil {
		signer, signerKey = parent.cert, parent.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer, &key.PublicKey, signerKey)
	if err != nil {
		return nil, fmt.Errorf("making the certificate of %s: %w", name, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate of %s: %w", name, err)
	}
	made := &Authority{cert: cert, key: key}
	if parent != nil {
		made.chain = append([][]byte{der}, parent.chain...)
	}
	return made, nil
}

// PEM is the CA's certificate.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// Issue signs a server certificate for host, an address or a name, valid
// around now.
func (a *Authority) Issue(host string, now time.Time) (*tls.Certificate, error) {
	return a.issue(host, now.Add(-2*lifetime), now.Add(lifetime))
}

// SelfSignedFor makes a server certificate for host that nobody but itself
// vouches for.
func SelfSignedFor(host string, now time.Time) (*tls.Certificate, error) {
	return (*Authority)(nil).issue(host, now.Add(-2*lifetime), now.Add(lifetime))
}

// issue signs a server certificate; without an authority it signs itself.
func (a *Authority) issue(host string, notBefore, notAfter time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key for %s: %w", host, err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return nil, fmt.Errorf("making a serial number: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: host},
		NotBefore:    notBefore,
		NotAfter:     notAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{"localhost"},
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	signer, signerKey, chain := template, key, [][]byte(nil)
	if a != nil {
		signer, signerKey, chain = a.cert, a.key, a.chain
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer, &key.PublicKey, signerKey)
	if err != nil {
		return nil, fmt.Errorf("making a certificate for %s: %w", host, err)
	}
	return &tls.Certificate{Certificate: append([][]byte{der}, chain...), PrivateKey: key}, nil
}

// handshakes are the certificates a double can show.
type handshakes map[Fault]*tls.Certificate

// newHandshakes makes the right certificate, under no fault, and the wrong
// ones.
func newHandshakes(right *Authority, host string, now time.Time) (handshakes, error) {
	stranger, err := NewAuthority("a CA that nobody gave you", now)
	if err != nil {
		return nil, err
	}
	table := []struct {
		fault     Fault
		authority *Authority
		host      string
		notAfter  time.Time
	}{
		{NoFault, right, host, now.Add(lifetime)},
		{WrongCA, stranger, host, now.Add(lifetime)},
		{WrongHost, right, "other.example.com", now.Add(lifetime)},
		{ExpiredCertificate, right, host, now.Add(-backdate)},
		{SelfSigned, nil, host, now.Add(lifetime)},
	}
	made := handshakes{}
	for _, row := range table {
		if made[row.fault], err = row.authority.issue(row.host, now.Add(-2*lifetime), row.notAfter); err != nil {
			return nil, err
		}
	}
	return made, nil
}

// certificate is the one for the handshake: that of a fault, if one is on.
func (s *server) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if wrong, ok := s.handshake[s.faults[""]]; ok {
		return wrong, nil
	}
	return s.handshake[NoFault], nil
}
