package mgmt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
)

// errShown ends a handshake in which the server has shown what was asked for.
// Nothing is sent to it: no request, no name, no password.
var errShown = errors.New("the handshake has shown what was asked")

// Certificates are those that the server shows, its own first, as openssl
// s_client prints them. Nothing about them has been verified.
func (c *Conn) Certificates(ctx context.Context) ([]*x509.Certificate, error) {
	state, err := c.handshake(ctx, tls.VersionTLS10, 0)
	if err != nil {
		return nil, err
	}
	return state.PeerCertificates, nil
}

// Accepts reports whether the server agrees to speak this version of TLS, such
// as tls.VersionTLS10. Only its word that it does not know the version is a
// no; a connection that merely ends is an error.
func (c *Conn) Accepts(ctx context.Context, version uint16) (bool, error) {
	_, err := c.handshake(ctx, version, version)
	if err == nil {
		return true, nil
	}
	if saysNo(err) {
		return false, nil
	}
	return false, err
}

// saysNo recognizes the alert protocol_version (RFC 8446, 6.2), which
// crypto/tls gives as text alone, and a server that answers with another
// version than the one offered.
func saysNo(err error) bool {
	var failed *Error
	if !errors.As(err, &failed) || failed.Kind != Handshake || failed.Err == nil {
		return false
	}
	said := failed.Err.Error()
	return strings.Contains(said, "remote error: tls: protocol version not supported") ||
		strings.Contains(said, "tls: server selected unsupported protocol version")
}

// handshake begins a connection with one of the versions from low to high, 0
// being the newest, the way requests take, and ends it once the server has
// shown its certificates. Its error is an *Error.
func (c *Conn) handshake(ctx context.Context, low, high uint16) (tls.ConnectionState, error) {
	asked := Request{Method: "TLS handshake with"}
	if err := c.enter(ctx, asked); err != nil {
		return tls.ConnectionState{}, err
	}
	defer c.leave()
	limited, cancel := context.WithTimeoutCause(ctx, c.timeout, errSilence)
	defer cancel()
	var shown tls.ConnectionState
	transport := c.transport.Clone()
	defer transport.CloseIdleConnections()
	transport.TLSClientConfig = &tls.Config{
		InsecureSkipVerify: true, //nolint:gosec // what is shown is judged by whoever asked; nothing is sent
		MinVersion:         low,
		MaxVersion:         high,
		CipherSuites:       everySuite(),
		VerifyConnection: func(state tls.ConnectionState) error {
			shown = state
			return errShown
		},
	}
	req, err := http.NewRequestWithContext(limited, http.MethodHead, c.base.String(), nil)
	if err != nil {
		return tls.ConnectionState{}, c.question(asked).failed(Malformed, "the request cannot be made", nil)
	}
	resp, err := transport.RoundTrip(req)
	if err == nil { // it cannot be: the handshake never ends well
		_ = resp.Body.Close()
		return tls.ConnectionState{}, c.question(asked).failed(Handshake, "the connection was not by TLS", nil)
	}
	if !errors.Is(err, errShown) {
		return tls.ConnectionState{}, c.unanswered(ctx, limited, c.question(asked), asked, err)
	}
	return shown, nil
}

// everySuite has the weak ones too: a server with nothing else to offer shall
// show itself all the same.
func everySuite() []uint16 {
	var suites []uint16
	for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		suites = append(suites, suite.ID)
	}
	return suites
}
