package testbed

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"
)

// validFor is how long a testbed's certificates last; nobody keeps one up
// for longer.
const validFor = 30 * 24 * time.Hour

// An authority signs the certificates of one testbed.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	now  time.Time
}

// newAuthority makes an authority and its certificate in PEM.
func newAuthority(now time.Time) (authority, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return authority{}, nil, err
	}
	ca := certificate("testbed authority", 1, now)
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key)
	if err != nil {
		return authority{}, nil, fmt.Errorf("making the testbed's authority: %w", err)
	}
	return authority{cert: ca, key: key, now: now}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// issue writes a key and its certificate for localhost, for one use, to
// FILE.key and FILE.crt.
func (a authority) issue(file string, serial int64, use x509.ExtKeyUsage) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	cert := certificate("localhost", serial, a.now)
	cert.KeyUsage, cert.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{use}
	cert.DNSNames, cert.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	der, err := x509.CreateCertificate(rand.Reader, cert, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return fmt.Errorf("making %s.crt: %w", file, err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return errors.Join(
		replaceFile(file+".crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644),
		os.WriteFile(file+".key", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), 0o600),
	)
}

// writeCertificates makes an authority and what the Notary server, its signer
// and their clients need: the server's own certificate, the signer's, and the
// one by which the signer knows the server. It returns the authority's
// certificate. The authority's key is forgotten at once.
func (tb *Testbed) writeCertificates(now time.Time) ([]byte, error) {
	ca, caPEM, err := newAuthority(now)
	if err != nil {
		return nil, err
	}
	return caPEM, errors.Join(
		replaceFile(tb.CA(), caPEM, 0o644),
		ca.issue(tb.path("srv"), 2, x509.ExtKeyUsageServerAuth),
		ca.issue(tb.path("signer"), 3, x509.ExtKeyUsageServerAuth),
		ca.issue(tb.path("signer-client"), 4, x509.ExtKeyUsageClientAuth),
	)
}

func certificate(name string, serial int64, now time.Time) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour), // of clocks that differ
		NotAfter:     now.Add(validFor),
	}
}
