package notary

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/theupdateframework/notary/tuf"
	"github.com/theupdateframework/notary/tuf/data"
)

// Bounds of an answer whose length no verified metadata has told. A signed
// length replaces them, up to maxMetadata.
const (
	maxRoot     = 1 << 20  // bytes; a root with a hundred certificates is 200 KiB
	maxMetadata = 64 << 20 // bytes; a million tags in one role come to twice that, and are refused
)

// A server is one Notary server as the source of one repository's metadata.
// What the cache holds under the checksum asked for is not fetched again.
type server struct {
	base   string // https://host[:port]
	gun    data.GUN
	client *http.Client
	kept   copyOf
}

func (s *server) root(ctx context.Context, version int) ([]byte, error) {
	name := "root"
	if version > 0 {
		name = strconv.Itoa(version) + ".root"
	}
	return s.get(ctx, name, maxRoot)
}

func (s *server) role(ctx context.Context, name data.RoleName, info tuf.ConsistentInfo) ([]byte, error) {
	if kept, ok := s.kept.Roles[name]; ok && name != data.CanonicalTimestampRole && isConsistent(name, info, kept) {
		return kept, nil
	}
	limit := info.Length()
	if limit < 0 || limit > maxMetadata {
		return nil, fmt.Errorf("%s: the role is %d bytes long, more than the %d MiB that are read", name, limit, maxMetadata>>20)
	}
	raw, err := s.get(ctx, info.ConsistentName(), limit)
	if errors.Is(err, errNotFound) && name == data.CanonicalTimestampRole {
		return nil, fmt.Errorf("the trust server has a root but no timestamp of %s: %w", s.gun, err)
	}
	return raw, err
}

// isConsistent reports whether bytes are the ones with the checksum of info.
func isConsistent(name data.RoleName, info tuf.ConsistentInfo, raw []byte) bool {
	sum := sha256.Sum256(raw)
	return info.ChecksumKnown() && info.ConsistentName() == fmt.Sprintf("%s.%x", name, sum)
}

// get fetches one metadata file. Every way to fail has words of its own.
func (s *server) get(ctx context.Context, name string, limit int64) ([]byte, error) {
	address := s.base + "/v2/" + string(s.gun) + "/_trust/tuf/" + name + ".json"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("trust server %s: %w", s.base, err)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, s.connectError(err)
	}
	defer resp.Body.Close()
	if err := s.statusError(resp.StatusCode); err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("trust server %s broke off in the middle of %s", s.base, name)
	case err != nil:
		return nil, s.connectError(err)
	case int64(len(raw)) > limit:
		return nil, fmt.Errorf("trust server %s sends more of %s than the %d bytes it may have", s.base, name, limit)
	}
	return raw, s.formError(raw, resp.Header.Get("Content-Type"))
}

func (s *server) statusError(code int) error {
	switch code {
	case http.StatusOK:
		return nil
	case http.StatusNotFound:
		return errNotFound
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("trust server %s wants a login (%d) for %s; allow this host to read its signatures", s.base, code, s.gun)
	default:
		return fmt.Errorf("trust server %s answers %d %s; see the server's log", s.base, code, http.StatusText(code))
	}
}

// formError tells an answer that is not metadata at all from one that breaks
// off; both leave the question open.
func (s *server) formError(raw []byte, contentType string) error {
	if json.Valid(raw) {
		return nil
	}
	trimmed := bytes.TrimSpace(raw)
	if bytes.HasPrefix(trimmed, []byte("<")) || strings.HasPrefix(contentType, "text/html") {
		return fmt.Errorf("trust server %s answers with a web page instead of metadata; is this the address of a Notary server, and no proxy in between?", s.base)
	}
	return fmt.Errorf("trust server %s sends truncated or broken JSON", s.base)
}

// connectError says why there was no answer, and what to look at.
func (s *server) connectError(err error) error {
	unknown, host, verify := x509.UnknownAuthorityError{}, x509.HostnameError{}, new(tls.CertificateVerificationError)
	dns, invalid := new(net.DNSError), x509.CertificateInvalidError{}
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("trust server %s: its certificate is signed by an unknown authority; name its CA under notary.ca in the policy", s.base)
	case errors.As(err, &host):
		return fmt.Errorf("trust server %s: its certificate is for another host (%w)", s.base, host)
	case errors.As(err, &invalid), errors.As(err, &verify):
		return fmt.Errorf("trust server %s: its certificate is not valid: %w", s.base, err)
	case errors.As(err, &dns):
		return fmt.Errorf("trust server %s: its name is unknown (%s); check notary.servers in the policy", s.base, dns.Err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("trust server %s: nobody listens there; is the server running?", s.base)
	case isTimeout(err):
		return fmt.Errorf("trust server %s gave no answer within %s (notary.timeout in the policy)", s.base, s.client.Timeout)
	default:
		return fmt.Errorf("trust server %s: %w", s.base, unwrapURL(err))
	}
}

func isTimeout(err error) bool {
	timeout := net.Error(nil)
	return errors.As(err, &timeout) && timeout.Timeout()
}

// unwrapURL drops the method and address that net/http puts before an error.
func unwrapURL(err error) error {
	if wrapped := new(url.Error); errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// clients are the HTTP clients of a Verifier, one for each CA file.
type clients struct {
	mu   sync.Mutex
	byCA map[string]*http.Client
}

// get gives the client that trusts the CA file, the system's for "".
func (c *clients) get(ca string, timeout time.Duration) (*http.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if client, ok := c.byCA[ca]; ok {
		return client, nil
	}
	client, err := newClient(ca, timeout)
	if err != nil {
		return nil, err
	}
	if c.byCA == nil {
		c.byCA = map[string]*http.Client{}
	}
	c.byCA[ca] = client
	return client, nil
}

func newClient(ca string, timeout time.Duration) (*http.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("reading the CA of the trust server: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("reading the CA of the trust server: %s holds no PEM certificate", ca)
		}
	}
	return &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			TLSClientConfig:     config,
			TLSHandshakeTimeout: timeout,
			MaxIdleConnsPerHost: maxParallel,
			IdleConnTimeout:     time.Minute,
			ForceAttemptHTTP2:   true,
		},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if req.URL.Host != via[0].URL.Host || req.URL.Scheme != "https" || len(via) > 3 {
				return fmt.Errorf("it redirects to %s, which the policy does not name", req.URL.Host)
			}
			return nil
		},
	}, nil
}
