package testbed

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
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

type object = map[string]any

// notaryConfig is notary-server's configuration, see docs/reference/server-config.md
// of theupdateframework/notary 0.7.0. Its keys are the signer's.
func (tb *Testbed) notaryConfig(port, signer int) object {
	return object{
		"server": object{
			"http_addr":     fmt.Sprintf("127.0.0.1:%d", port),
			"tls_key_file":  tb.path("srv.key"),
			"tls_cert_file": tb.path("srv.crt"),
		},
		"trust_service": object{
			"type": "remote", "hostname": "localhost", "port": strconv.Itoa(signer), "key_algorithm": "ecdsa",
			"tls_ca_file": tb.CA(), "tls_client_cert": tb.path("signer-client.crt"), "tls_client_key": tb.path("signer-client.key"),
		},
		"logging": object{"level": "warn"},
		"storage": object{"backend": "memory"},
	}
}

// signerConfig is notary-signer's, see docs/reference/signer-config.md of the
// same. It answers nobody but the server, whom it knows by a certificate.
func (tb *Testbed) signerConfig(port int) object {
	return object{
		"server": object{
			"grpc_addr":      fmt.Sprintf("127.0.0.1:%d", port),
			"tls_key_file":   tb.path("signer.key"),
			"tls_cert_file":  tb.path("signer.crt"),
			"client_ca_file": tb.CA(),
		},
		"logging": object{"level": "warn"},
		"storage": object{"backend": "memory"},
	}
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

// startNotary starts the signer, the Notary server on a port that nobody is
// told, and its door.
func (tb *Testbed) startNotary(ctx context.Context, l *ledger, programs map[string]string) error {
	ports, err := freePorts(2)
	if err != nil {
		return err
	}
	if err := errors.Join(
		tb.writeConfig("signer.json", tb.signerConfig(ports[1])),
		tb.writeConfig("notary.json", tb.notaryConfig(ports[0], ports[1])),
	); err != nil {
		return err
	}
	signer, err := tb.start(ctx, l, "signer", nil, programs["notary-signer"], "-config", tb.path("signer.json"))
	if err != nil {
		return err
	}
	// The server comes second: it would wait a while for a signer that it once
	// found absent.
	if err := tb.await(ctx, signer, listens(ports[1])); err != nil {
		return err
	}
	notary, err := tb.start(ctx, l, "notary", nil, programs["notary-server"], "-config", tb.path("notary.json"))
	if err != nil {
		return err
	}
	// The door comes last: it would end at a connection it cannot pass on.
	if err := tb.await(ctx, notary, tb.notaryAnswers(fmt.Sprintf("https://localhost:%d", ports[0]))); err != nil {
		return err
	}
	return tb.openNotaryDoor(ctx, l, programs, fmt.Sprintf("127.0.0.1:%d", ports[0]))
}

func (tb *Testbed) writeConfig(name string, config object) error {
	data, err := json.MarshalIndent(config, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(tb.path(name), data, 0o600)
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
	config, err := tb.readNotaryConfig()
	return config.Server.Addr, err
}

// signerPort is where the server finds its signer.
func (tb *Testbed) signerPort() (int, error) {
	config, err := tb.readNotaryConfig()
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(config.TrustService.Port)
}

// A notaryPorts is the part of notary.json that says where who listens.
type notaryPorts struct {
	Server struct {
		Addr string `json:"http_addr"`
	} `json:"server"`
	TrustService struct {
		Port string `json:"port"`
	} `json:"trust_service"`
}

func (tb *Testbed) readNotaryConfig() (notaryPorts, error) {
	var config notaryPorts
	data, err := os.ReadFile(tb.path("notary.json"))
	if err != nil {
		return config, err
	}
	if err := json.Unmarshal(data, &config); err != nil {
		return config, fmt.Errorf("reading %s: %w", tb.path("notary.json"), err)
	}
	return config, nil
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

// listens waits for somebody to listen on a port of loopback.
func listens(port int) func(context.Context) error {
	return func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return err
		}
		return conn.Close()
	}
}
