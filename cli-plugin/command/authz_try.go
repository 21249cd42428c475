package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust/access"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// loginTimeout is how long one server has for its answer, its token server's
// included. A person waits.
const loginTimeout = 15 * time.Second

// errNotShown says that a server was there and wanted no login.
var errNotShown = errors.New("no login was asked for")

// A door is a server at which a login is tried.
type door struct {
	address string // of a trust server; "": the registry's
	ca      string
}

// tryLogin shows a login to the trust servers that the policy names for a
// host, and to the registry if it names none or none of them wants a login.
// One refusal is enough to turn it down, and one acceptance to take it.
func tryLogin(ctx context.Context, login access.Login, host string, p *policy.Policy) (string, error) {
	ref, err := loginProbe(host)
	if err != nil {
		return "", err
	}
	var doors []door
	if p != nil {
		for _, address := range p.Notary.Servers[host] {
			doors = append(doors, door{address, p.Notary.CA[host]})
		}
	}
	var accepted, silent []string
	var failures []error
	for _, d := range doors {
		switch err := d.knock(ctx, login, ref); {
		case err == nil:
			accepted = append(accepted, d.address)
		case errors.Is(err, errNotShown):
			silent = append(silent, d.address)
		case errors.Is(err, access.ErrLoginRefused):
			return "", err
		default:
			failures = append(failures, err)
		}
	}
	if len(accepted) == 0 && len(failures) > 0 {
		return "", errors.Join(failures...)
	}
	if len(accepted) > 0 {
		text := strings.Join(accepted, " and ") + " accepted it"
		for _, err := range failures {
			text += fmt.Sprintf("; not tried: %v", err)
		}
		return text, nil
	}
	registry := "the registry of " + host
	err = door{}.knock(ctx, login, ref)
	if errors.Is(err, errNotShown) {
		return "it was not tried, for " + strings.Join(append(silent, registry), " and ") + " let everybody in", nil
	}
	if err != nil {
		return "", err
	}
	return registry + " accepted it", nil
}

// A trial is a login that notes whether it was asked for.
type trial struct {
	login access.Login
	shown atomic.Bool
}

// Login implements access.Credentials.
func (t *trial) Login(string) (access.Login, error) {
	t.shown.Store(true)
	return t.login, nil
}

// knock asks for /v2/, which opens to whoever has a login, and to everybody
// where none is needed. It sees the certificates that the daemon sees.
func (d door) knock(ctx context.Context, login access.Login, ref reference.Named) error {
	t := &trial{login: login}
	clients := access.New(access.Options{Credentials: t, CertDirs: []string{certsDir}, Timeout: loginTimeout})
	base, client := d.address, (*http.Client)(nil)
	var err error
	if d.address == "" {
		base, client, err = clients.Registry(ref)
	} else {
		client, err = clients.TrustServer(d.address, d.ca, ref.Name())
	}
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(base, "/")+"/v2/", http.NoBody)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if errors.Is(err, access.ErrTokenRefused) {
		return nil // name and password are right; /v2/ of a trust server wants more than its reader may have
	}
	if err != nil {
		return d.explain(err, base, t.shown.Load())
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16)) // so that the connection can be closed well
	switch {
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%s answers %s for /v2/: is it a registry or a trust server?", base, resp.Status)
	case !t.shown.Load():
		return errNotShown
	default:
		return nil
	}
}

// explain leaves out the advice to do what is being done.
func (d door) explain(err error, base string, shown bool) error {
	switch {
	case errors.Is(err, access.ErrLoginRefused):
		return fmt.Errorf("%s: %w: are name and password right?", base, access.ErrLoginRefused)
	case errors.Is(err, access.ErrNoLogin) && !shown:
		return fmt.Errorf("%s speaks plain HTTP, over which no login is sent: have it speak HTTPS", strings.Replace(base, "https:", "http:", 1))
	}
	told := new(access.Error)
	if errors.As(err, &told) {
		return told // without the request's address in front
	}
	return err
}
