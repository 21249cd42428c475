package mgmt

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

const maxCAFile = 4 << 20 // bytes; the bundle of every public authority is below 300 KiB

// newTransport verifies the server against the authorities in caFile, or
// against the system's if it is empty. It keeps as many connections as there
// are questions at once.
func newTransport(service Service, caFile string, parallel int) (*http.Transport, error) {
	pool, err := authorities(service, caFile)
	if err != nil {
		return nil, err
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  proxy,
		DialContext:            (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool},
		Protocols:              protocols,
		MaxIdleConnsPerHost:    parallel,
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: maxHeader,
	}, nil
}

// authorities reads a PEM bundle. nil means the system's authorities.
func authorities(service Service, caFile string) (*x509.CertPool, error) {
	if caFile == "" {
		return nil, nil
	}
	bundle, err := readPEM(caFile)
	if err != nil {
		return nil, fmt.Errorf("reading the CA file of %s: %w: give --%s-ca FILE with certificates in PEM form", service.Name, err, service.Flag)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(bundle) {
		return nil, fmt.Errorf("the CA file of %s, %s, holds no certificate: give --%s-ca FILE with certificates in PEM form",
			service.Name, caFile, service.Flag)
	}
	return pool, nil
}

// proxy is the environment's. Its own error would repeat the proxy's URL,
// which may hold a password.
func proxy(req *http.Request) (*url.URL, error) {
	found, err := http.ProxyFromEnvironment(req)
	if err != nil {
		return nil, errProxy
	}
	return found, nil
}

var errProxy = errors.New("HTTPS_PROXY does not hold a URL: correct it, or name the host in NO_PROXY")
