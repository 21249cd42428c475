// Package ucp reads and writes the configuration of a Universal Control Plane
// (Mirantis Kubernetes Engine) over its HTTP API: POST /auth/login, then GET
// and PUT /api/ucp/config-toml, as the UCP 3.x configuration guide and DISA's
// text of V-235838 and V-235847 print them. It also lists grants, teams and
// their members (GET /collectionGrants, /roles, /collections, /accounts/…), as
// DISA's text of V-235781 and V-235782 prints them, and looks at what UCP shows
// in a TLS handshake.
//
// It gives single keys of the document (Lookup) and sets them in its bytes
// (Set). Whether a value is a finding is for the rules; comparing what was meant
// with what UCP kept is for whoever uploads. The document may hold secrets: no
// error repeats any of it.
//
// The guides do not print the answers to the listings; their fields are those
// that public clients of UCP read. A list that cannot be seen to be whole is an
// error.
//
// It has been tried against a double of UCP only, never against UCP itself.
package ucp

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/docker-stig/docker-stig/cli-plugin/host/mgmt"
)

const (
	maxConfig = 4 << 20  // bytes of config-toml; an export is a few KiB, and a swarm config holds 1000 KiB at most
	maxLogin  = 64 << 10 // bytes; the answer to a login is one token
	maxReply  = 1 << 20  // bytes of the answer to an upload
)

// Service is UCP's name in errors and that of its options.
var Service = mgmt.Service{Name: "UCP", Flag: "ucp"}

var configPath = []string{"api", "ucp", "config-toml"}

// A Client asks one UCP. It is safe for concurrent use.
type Client struct {
	conn     *mgmt.Conn
	session  *mgmt.Session
	document mgmt.Memo[Document]
	shown    mgmt.Memo[[]*x509.Certificate]
	grants   mgmt.Memo[[]Grant]
	admin    mgmt.Memo[bool]
}

// New checks the options; it asks UCP nothing.
func New(opts mgmt.Options) (*Client, error) {
	conn, err := mgmt.New(Service, opts)
	if err != nil {
		return nil, err
	}
	client := &Client{conn: conn}
	client.session = mgmt.NewSession(conn, client.token)
	return client, nil
}

// URL is UCP's base URL, to be named as the source of evidence.
func (c *Client) URL() string { return c.conn.URL() }

// Close lets go of idle connections.
func (c *Client) Close() { c.conn.Close() }

// Login signs in. The other calls do so by themselves; calling it first tells
// wrong credentials apart before anything else is asked.
func (c *Client) Login(ctx context.Context) error { return c.session.Login(ctx) }

// ConfigTOML exports the configuration. UCP leaves [auth.ldap] out of it.
func (c *Client) ConfigTOML(ctx context.Context) ([]byte, error) {
	answer, err := c.session.Do(ctx, mgmt.Request{
		Method: http.MethodGet,
		Path:   configPath,
		Accept: "application/toml",
		Limit:  maxConfig,
	})
	if err != nil {
		return nil, err
	}
	return answer.Body, nil
}

// Document is the configuration, exported once for everybody who asks and
// again after an upload.
func (c *Client) Document(ctx context.Context) (Document, error) {
	return c.document.Get(func() (Document, error) {
		raw, err := c.ConfigTOML(ctx)
		if err != nil {
			return Document{}, err
		}
		doc, err := ParseDocument(raw)
		if err != nil {
			return Document{}, err
		}
		if !doc.isExport() {
			return Document{}, fmt.Errorf("what %s gave as its configuration has none of UCP's tables: check that --ucp-url is UCP and not a proxy, then ask again", c.URL())
		}
		return doc, nil
	})
}

// Certificates are those that UCP shows in a handshake, its own first, asked
// for once. Nothing about them has been verified.
func (c *Client) Certificates(ctx context.Context) ([]*x509.Certificate, error) {
	return c.shown.Get(func() ([]*x509.Certificate, error) { return c.conn.Certificates(ctx) })
}

// Accepts reports whether UCP agrees to speak this version of TLS.
func (c *Client) Accepts(ctx context.Context, version uint16) (bool, error) {
	return c.conn.Accepts(ctx, version)
}

// PutConfigTOML uploads a whole configuration. A document that does not parse
// is not sent. An error does not tell that UCP kept its old configuration:
// read it again to know.
func (c *Client) PutConfigTOML(ctx context.Context, doc []byte) error {
	if _, err := ParseConfig(doc); err != nil {
		return fmt.Errorf("not uploading: %w", err)
	}
	defer c.document.Forget()
	_, err := c.session.Do(ctx, mgmt.Request{
		Method: http.MethodPut,
		Path:   configPath,
		Body:   doc,
		Type:   "application/toml",
		Accept: "application/toml",
		Limit:  maxReply,
	})
	return err
}

// token signs in with the account's name and password.
func (c *Client) token(ctx context.Context) (string, error) {
	username, password := c.conn.Credentials()
	body, err := json.Marshal(map[string]string{"username": username, "password": password})
	if err != nil {
		return "", fmt.Errorf("preparing the login to UCP: %w", err)
	}
	answer, err := c.conn.Do(ctx, mgmt.Request{
		Method: http.MethodPost,
		Path:   []string{"auth", "login"},
		Body:   body,
		Type:   "application/json",
		Accept: "application/json",
		Limit:  maxLogin,
	})
	if err != nil {
		return "", err
	}
	var login struct {
		Token string `json:"auth_token"`
	}
	if err := answer.JSON(&login); err != nil {
		return "", err
	}
	return answer.Token(login.Token)
}
