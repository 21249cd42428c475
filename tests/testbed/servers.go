package testbed

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
)

// registryConfig is docker-registry's configuration, format version 0.1 of
// https://distribution.github.io/distribution/about/configuration/.
const registryConfig = `version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: %q}
  delete: {enabled: true}
http: {net: unix, addr: %q, secret: %q}
`

// notaryConfig is notary-server's configuration, see docs/reference/server-config.md
// of theupdateframework/notary 0.7.0.
func (tb *Testbed) notaryConfig(port int) ([]byte, error) {
	type object = map[string]any
	return json.MarshalIndent(object{
		"server": object{
			"http_addr":     fmt.Sprintf("127.0.0.1:%d", port),
			"tls_key_file":  tb.path("srv.key"),
			"tls_cert_file": tb.path("srv.crt"),
		},
		"trust_service": object{"type": "local", "hostname": "", "port": "", "key_algorithm": "ecdsa", "tls_ca_file": ""},
		"logging":       object{"level": "warn"},
		"storage":       object{"backend": "memory"},
	}, "", "\t")
}

// startRegistry starts the registry and its door on this host.
func (tb *Testbed) startRegistry(ctx context.Context, l *ledger, programs map[string]string) error {
	config := fmt.Sprintf(registryConfig, tb.path("images"), tb.path("r.sock"), tb.id)
	if err := os.WriteFile(tb.path("registry.yml"), []byte(config), 0o600); err != nil {
		return err
	}
	registry, err := tb.start(ctx, l, "registry", nil, programs["docker-registry"], "serve", tb.path("registry.yml"))
	if err != nil {
		return err
	}
	if _, err := tb.start(ctx, l, "registry-door", nil, tb.door(programs, tb.registry, tb.path("r.sock"))...); err != nil {
		return err
	}
	return tb.await(ctx, registry, answers(http.DefaultClient, "http://"+tb.Registry()+"/v2/"))
}

// startNotary starts the Notary server on a port that nobody is told, and its
// door.
func (tb *Testbed) startNotary(ctx context.Context, l *ledger, programs map[string]string) error {
	ports, err := freePorts(1)
	if err != nil {
		return err
	}
	config, err := tb.notaryConfig(ports[0])
	if err != nil {
		return err
	}
	if err := os.WriteFile(tb.path("notary.json"), config, 0o600); err != nil {
		return err
	}
	notary, err := tb.start(ctx, l, "notary", nil, programs["notary-server"], "-config", tb.path("notary.json"))
	if err != nil {
		return err
	}
	// The door comes second: it would end at a connection it cannot pass on.
	if err := tb.await(ctx, notary, tb.notaryAnswers(fmt.Sprintf("https://localhost:%d", ports[0]))); err != nil {
		return err
	}
	return tb.openNotaryDoor(ctx, l, programs, fmt.Sprintf("127.0.0.1:%d", ports[0]))
}

func (tb *Testbed) openNotaryDoor(ctx context.Context, l *ledger, programs map[string]string, inner string) error {
	door, err := tb.start(ctx, l, "notary-door", nil, tb.door(programs, tb.notary, inner)...)
	if err != nil {
		return err
	}
	return tb.await(ctx, door, tb.notaryAnswers(tb.NotaryURL()))
}

// door is the command that listens on a port of loopback and passes
// connections on to an address or the path of a socket. The first connection
// turns systemd-socket-activate into systemd-socket-proxyd.
func (tb *Testbed) door(programs map[string]string, port int, to string) []string {
	return []string{
		programs["systemd-socket-activate"], "--listen", fmt.Sprintf("127.0.0.1:%d", port),
		"--setenv", mark + "=" + tb.id, // it hands down no other environment
		programs["systemd-socket-proxyd"], to,
	}
}

// StopNotary closes the Notary server to everybody: connections are refused.
func (tb *Testbed) StopNotary(ctx context.Context) error {
	return tb.locked(ctx, func(l *ledger, _ map[string]string) error {
		door := l.latest("notary-door")
		return tb.stop(ctx, door)
	})
}

// StartNotary opens the Notary server again, with the data it had.
func (tb *Testbed) StartNotary(ctx context.Context) error {
	return tb.locked(ctx, func(l *ledger, programs map[string]string) error {
		if l.latest("notary-door").alive() {
			return nil
		}
		inner, err := tb.notaryAddress()
		if err != nil {
			return err
		}
		return tb.openNotaryDoor(ctx, l, programs, inner)
	})
}

// notaryAddress is where the server listens behind its door.
func (tb *Testbed) notaryAddress() (string, error) {
	data, err := os.ReadFile(tb.path("notary.json"))
	if err != nil {
		return "", err
	}
	var config struct {
		Server struct {
			Addr string `json:"http_addr"`
		} `json:"server"`
	}
	if err := json.Unmarshal(data, &config); err != nil {
		return "", fmt.Errorf("reading %s: %w", tb.path("notary.json"), err)
	}
	return config.Server.Addr, nil
}

func (tb *Testbed) notaryAnswers(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		pem, err := os.ReadFile(tb.CA())
		if err != nil {
			return err
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		transport := &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
			DisableKeepAlives: true,
		}
		return answers(&http.Client{Transport: transport}, url+"/v2/")(ctx)
	}
}

// answers asks for url until it is there.
func answers(client *http.Client, url string) func(context.Context) error {
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s", url, response.Status)
		}
		_, err = io.Copy(io.Discard, response.Body)
		return err
	}
}
