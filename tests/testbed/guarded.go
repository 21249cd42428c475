package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// A Guarded server is one that wants to know who asks. It has the testbed's
// certificate and goes with the testbed.
type Guarded struct {
	Host string // localhost:PORT, as it stands in names of images
	URL  string // https://localhost:PORT
}

// guardedConfig is a registry over TLS. It shares its images with the one of
// the testbed.
const guardedConfig = `version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: %q}
http:
  addr: %q
  secret: %q
  tls: {certificate: %q, key: %q}
auth:
%s`

// StartBasicRegistry starts a registry that wants this user and password of
// everybody, by basic authentication.
func (tb *Testbed) StartBasicRegistry(ctx context.Context, user, password string) (Guarded, error) {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		return Guarded{}, err
	}
	file := tb.path("registry-basic.htpasswd")
	if err := os.WriteFile(file, fmt.Appendf(nil, "%s:%s\n", user, hash), 0o600); err != nil {
		return Guarded{}, err
	}
	return tb.startGuardedRegistry(ctx, "registry-basic", fmt.Sprintf("  htpasswd: {realm: testbed, path: %q}\n", file))
}

// StartTokenRegistry starts a registry that wants a token of those.
func (tb *Testbed) StartTokenRegistry(ctx context.Context, tokens *Tokens) (Guarded, error) {
	return tb.startGuardedRegistry(ctx, "registry-token", fmt.Sprintf("  token: {realm: %q, service: %q, issuer: %q, rootcertbundle: %q}\n",
		tokens.URL, tokenService, tokenIssuer, tokens.bundle))
}

func (tb *Testbed) startGuardedRegistry(ctx context.Context, name, auth string) (Guarded, error) {
	return tb.startGuarded(ctx, name, func(port int) ([]string, error) {
		config := fmt.Sprintf(guardedConfig, tb.path("images"), fmt.Sprintf("127.0.0.1:%d", port), tb.id, tb.path("srv.crt"), tb.path("srv.key"), auth)
		return []string{"docker-registry", "serve", tb.path(name + ".yml")}, os.WriteFile(tb.path(name+".yml"), []byte(config), 0o600)
	})
}

// StartTokenNotary starts a Notary server that wants a token of those, for
// repository:GUN:pull and push. It is empty, and has the testbed's signer.
func (tb *Testbed) StartTokenNotary(ctx context.Context, tokens *Tokens) (Guarded, error) {
	return tb.startGuarded(ctx, "notary-token", func(port int) ([]string, error) {
		signer, err := tb.signerPort()
		if err != nil {
			return nil, err
		}
		config := tb.notaryConfig(port, signer)
		config["auth"] = object{"type": "token", "options": object{
			"realm": tokens.URL, "service": tokenService, "issuer": tokenIssuer, "rootcertbundle": tokens.bundle,
		}}
		return []string{"notary-server", "-config", tb.path("notary-token.json")}, tb.writeConfig("notary-token.json", config)
	})
}

// startGuarded starts a server whose configuration is made for a port, and
// waits until it refuses those who do not say who they are.
func (tb *Testbed) startGuarded(ctx context.Context, name string, configure func(port int) ([]string, error)) (Guarded, error) {
	var g Guarded
	err := tb.locked(ctx, func(l *ledger, programs map[string]string) error {
		if l.latest(name).alive() {
			return errors.New(name + " runs already: a testbed has one")
		}
		ports, err := freePorts(1)
		if err != nil {
			return err
		}
		argv, err := configure(ports[0])
		if err != nil {
			return err
		}
		argv[0] = programs[argv[0]]
		p, err := tb.start(ctx, l, name, nil, argv...)
		if err != nil {
			return err
		}
		g.Host = fmt.Sprintf("localhost:%d", ports[0])
		g.URL = "https://" + g.Host
		return tb.await(ctx, p, tb.wantsLogin(g.URL))
	})
	return g, err
}

// wantsLogin waits for a server that answers, and answers no.
func (tb *Testbed) wantsLogin(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		err := tb.notaryAnswers(url)(ctx)
		switch {
		case err == nil:
			return fmt.Errorf("%s lets everybody in", url)
		case strings.Contains(err.Error(), "401 Unauthorized"):
			return nil
		default:
			return err
		}
	}
}
