// Package dtr lists what a Docker Trusted Registry (Mirantis Secure Registry)
// stores and what it says of each tag's signature, over its HTTP API: GET
// /auth/token with a name and a password, then /api/v0/repositories and
// /api/v0/repositories/{namespace}/{name}/tags, as DISA's text of V-235846
// prints them, all pages of both. It also reads the registry's settings and
// changes them, and reads the state of its scanner and what teams may do (GET
// and POST /api/v0/meta/settings, GET /api/v0/imagescan/status, /api/v0/accounts/{org}/teams/{team}/repositoryAccess),
// and looks at what it shows in a TLS handshake.
//
// It carries DTR's word and does not judge it: inNotary says that Notary knows
// the name, hashMismatch that Notary and registry hold different content
// under it. Verifying a signature is for package trust and its schemes.
//
// An account that is no administrator is shown a part of the registry and is
// not told so: ask Admin before believing that a listing is complete.
//
// It has been tried against a double of DTR only, never against DTR itself.
package dtr

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"

	"github.com/docker-stig/docker-stig/cli-plugin/host/mgmt"
)

const (
	maxToken   = 64 << 10 // bytes; the answer holds one token, twice
	maxAccount = 1 << 20  // bytes of one account
	maxPage    = 16 << 20 // bytes; a tag comes with its manifest, some 10 KiB

	defaultPageSize = 100 // entries; DTR's own default is 10
)

// Service is DTR's name in errors and that of its options.
var Service = mgmt.Service{Name: "DTR", Flag: "dtr"}

// Options say how to reach a DTR and how hard to ask it: Parallel bounds the
// questions that are under way at once, whatever is asked.
type Options struct {
	mgmt.Options
	Domain   string // host[:port] that images are named with; empty: that of the URL
	PageSize int    // entries asked for in a page; 0: 100
}

// A Client asks one DTR. It is safe for concurrent use.
type Client struct {
	conn     *mgmt.Conn
	session  *mgmt.Session
	domain   string
	pageSize int
	admin    mgmt.Memo[bool]
	settings mgmt.Memo[Settings]
	shown    mgmt.Memo[[]*x509.Certificate]
}

// New checks the options; it asks DTR nothing.
func New(opts Options) (*Client, error) {
	conn, err := mgmt.New(Service, opts.Options)
	if err != nil {
		return nil, err
	}
	client := &Client{conn: conn, domain: opts.Domain, pageSize: opts.PageSize}
	client.session = mgmt.NewSession(conn, client.token)
	if client.domain == "" {
		client.domain = conn.Host()
	}
	if client.pageSize <= 0 {
		client.pageSize = defaultPageSize
	}
	return client, nil
}

// URL is DTR's base URL, to be named as the source of evidence.
func (c *Client) URL() string { return c.conn.URL() }

// Domain is the host that images of this DTR are named with.
func (c *Client) Domain() string { return c.domain }

// Close lets go of idle connections.
func (c *Client) Close() { c.conn.Close() }

// Certificates are those that DTR shows in a handshake, its own first, asked
// for once. Nothing about them has been verified.
func (c *Client) Certificates(ctx context.Context) ([]*x509.Certificate, error) {
	return c.shown.Get(func() ([]*x509.Certificate, error) { return c.conn.Certificates(ctx) })
}

// token gets a token for the account's name and password.
func (c *Client) token(ctx context.Context) (string, error) {
	answer, err := c.conn.Do(ctx, mgmt.Request{
		Method: http.MethodGet,
		Path:   []string{"auth", "token"},
		Accept: "application/json",
		Limit:  maxToken,
	}.Basic(c.conn.Credentials()))
	if err != nil {
		return "", err
	}
	var login struct {
		Token string `json:"token"`
	}
	if err := answer.JSON(&login); err != nil {
		return "", err
	}
	return answer.Token(login.Token)
}

// ErrAdminUnknown says that DTR would not tell whether the account is an
// administrator. Nothing may be concluded from what such an account sees.
var ErrAdminUnknown = errors.New("whether the account is an administrator of DTR is not known: sign in as one with --dtr-username")

// Admin reports whether the account is an administrator, who sees every
// repository. The account service (eNZi) that DTR passes /enzi/v0 on to takes
// a name and a password, not DTR's token. The error is ErrAdminUnknown if
// there is no such account there or it may not be asked about. It is asked
// once.
func (c *Client) Admin(ctx context.Context) (bool, error) {
	return c.admin.Get(func() (bool, error) { return c.isAdmin(ctx) })
}

func (c *Client) isAdmin(ctx context.Context) (bool, error) {
	username, password := c.conn.Credentials()
	answer, err := c.conn.Do(ctx, mgmt.Request{
		Method: http.MethodGet,
		Path:   []string{"enzi", "v0", "accounts", username},
		Accept: "application/json",
		Limit:  maxAccount,
	}.Basic(username, password))
	if errors.Is(err, mgmt.NotFound) || errors.Is(err, mgmt.Forbidden) {
		return false, fmt.Errorf("%w (%w)", ErrAdminUnknown, err)
	}
	if err != nil {
		return false, err
	}
	var account struct {
		IsAdmin *bool `json:"isAdmin"`
	}
	if err := answer.JSON(&account); err != nil {
		return false, err
	}
	if account.IsAdmin == nil {
		return false, fmt.Errorf("%w (%w)", ErrAdminUnknown, answer.Malformed("the account has no field isAdmin"))
	}
	return *account.IsAdmin, nil
}
