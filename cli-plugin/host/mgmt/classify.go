package mgmt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

const maxName = 200 // characters of a name that a certificate or a header gives

// refused is the error for a status that is no success, or nil. The body of
// such an answer is left unread: it could repeat what it was sent.
func (q question) refused(resp *http.Response) error {
	status := resp.StatusCode
	if status >= 200 && status <= 299 {
		return nil
	}
	said := fmt.Sprintf("%s answered %d %s", q.service.Name, status, http.StatusText(status))
	kind := BadStatus
	switch {
	case status == http.StatusUnauthorized:
		kind, said = Unauthorized, q.service.Name+" does not accept the user name and password, or the token it gave for them (401)"
	case status == http.StatusForbidden:
		kind, said = Forbidden, "the account may not ask this (403)"
	case status == http.StatusNotFound:
		kind = NotFound
	case status >= 300 && status <= 399:
		kind, said = Redirected, fmt.Sprintf("%s sends on to %s (%d)", q.service.Name, redirectHost(resp), status)
	}
	err := q.failed(kind, said, nil)
	err.Status = status
	return err
}

// redirectHost is the host a redirect points at, and no more of the URL.
func redirectHost(resp *http.Response) string {
	target, err := resp.Location()
	if err != nil {
		return "an unreadable address"
	}
	return "host " + quoted(target.Host)
}

// unanswered says why a request failed on its way. limited is ctx with the
// time limit of one answer; err is nil only if one of them has ended.
func (c *Conn) unanswered(ctx, limited context.Context, q question, r Request, err error) error {
	if ctx.Err() != nil {
		return q.failed(Interrupted, "the question was given up", ctx.Err())
	}
	if limited.Err() != nil {
		return q.failed(Silent, fmt.Sprintf("no complete answer within %s", c.timeout), errSilence)
	}
	if verr := (*tls.CertificateVerificationError)(nil); errors.As(err, &verr) {
		return q.certificate(verr)
	}
	if dns := (*net.DNSError)(nil); errors.As(err, &dns) {
		return q.failed(NoSuchHost, fmt.Sprintf("no address is known for %s", quoted(dns.Name)), err)
	}
	if viaProxy(err) {
		return q.failed(Unreachable, "the proxy of HTTPS_PROXY did not connect to "+q.host, errors.New(c.redact(r, err)))
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return q.failed(Refused, "nothing listens at "+q.host, err)
	}
	if noTLS(err) {
		return q.failed(Handshake, q.host+" does not speak the TLS that is needed", errors.New(c.redact(r, err)))
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return q.failed(Truncated, "the connection ended in the middle of the answer", err)
	}
	text := c.redact(r, err)
	return q.failed(Unreachable, text, errors.New(text))
}

// certificate names the authority that a certificate came from, for that is
// what a person must look for.
func (q question) certificate(err *tls.CertificateVerificationError) error {
	issuer := "unknown"
	if chain := err.UnverifiedCertificates; len(chain) > 0 {
		issuer = quoted(chain[len(chain)-1].Issuer.String())
	}
	var host x509.HostnameError
	if errors.As(err.Err, &host) {
		return q.failed(WrongHost, fmt.Sprintf("the certificate, issued by %s, is not for %s", issuer, q.host), err)
	}
	var invalid x509.CertificateInvalidError
	if errors.As(err.Err, &invalid) && invalid.Reason == x509.Expired {
		return q.failed(OutOfDate, fmt.Sprintf("the certificate, issued by %s, is valid from %s to %s",
			issuer, invalid.Cert.NotBefore.UTC().Format(time.RFC3339), invalid.Cert.NotAfter.UTC().Format(time.RFC3339)), err)
	}
	return q.failed(Untrusted, fmt.Sprintf("the certificate is issued by %s, which no trusted authority vouches for", issuer), err)
}

func viaProxy(err error) bool {
	var op *net.OpError
	return errors.Is(err, errProxy) || errors.As(err, &op) && op.Op == "proxyconnect"
}

// noTLS recognizes a server that speaks plain HTTP or an old TLS.
func noTLS(err error) bool {
	var record tls.RecordHeaderError
	return errors.As(err, &record) ||
		strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") ||
		strings.Contains(err.Error(), "tls: ")
}

// redact is an error's own words without its URL and without any secret.
// net/http quotes an answer that is no HTTP, and that answer may repeat what
// it was sent, so none of it is kept.
func (c *Conn) redact(r Request, err error) string {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	text := err.Error()
	if strings.Contains(text, "malformed") {
		return "what came back is no HTTP answer"
	}
	_, credential, _ := strings.Cut(r.authorization, " ")
	for _, secret := range []string{credential, c.password} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "[removed]")
		}
	}
	return text
}

// quoted makes a name from outside safe to print.
func quoted(name string) string {
	if runes := []rune(name); len(runes) > maxName {
		name = string(runes[:maxName]) + "…"
	}
	return fmt.Sprintf("%q", name)
}
