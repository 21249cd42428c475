package testbed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The passphrases of the keys that `docker trust` makes for a testbed. They
// protect nothing: the keys go with the testbed.
const (
	rootPassphrase       = "testbed-root"
	repositoryPassphrase = "testbed-repository"
)

// writeFiles writes what the programs are told, and what a person sources.
func (tb *Testbed) writeFiles(now time.Time) error {
	clientTLS := filepath.Join("config", "tls", strings.TrimPrefix(tb.NotaryURL(), "https://"))
	for _, name := range []string{"config", "data", "exec", "images", "plugins", "log", clientTLS} {
		if err := os.MkdirAll(tb.path(name), 0o711); err != nil {
			return err
		}
	}
	ca, err := tb.writeCertificates(now)
	if err != nil {
		return err
	}
	return errors.Join(
		replaceFile(filepath.Join(tb.path(clientTLS), "ca.crt"), ca, 0o644),
		replaceFile(tb.path("config/config.json"), []byte("{}\n"), 0o644),
		replaceFile(tb.DaemonJSON(), []byte("{}\n"), 0o644),
		tb.WritePolicy(nil),
		replaceFile(tb.path("env"), []byte(tb.shell()), 0o644),
	)
}

// Env is what a program needs to meet this testbed, as KEY=VALUE. To run one,
// append it to the program's environment.
func (tb *Testbed) Env() []string {
	return []string{
		"DOCKER_HOST=" + tb.host(),
		"DOCKER_CONFIG=" + tb.path("config"),
		"DOCKER_CONTENT_TRUST_SERVER=" + tb.NotaryURL(),
		"DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE=" + rootPassphrase,
		"DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE=" + repositoryPassphrase,
		"STIG_TESTBED_DIR=" + tb.dir,
		"STIG_ENGINE=" + string(tb.engine),
		"STIG_DOCKER=" + tb.client,
		"STIG_REGISTRY=" + tb.Registry(),
		"STIG_CA=" + tb.CA(),
		"STIG_POLICY=" + tb.PolicyFile(),
		"STIG_DAEMON_JSON=" + tb.DaemonJSON(),
		"STIG_PLUGIN_SOCKETS=" + tb.PluginSockets(),
		"STIG_STATE=" + tb.path("state"), // what docker stig remembers of servers that go with the testbed
	}
}

// foreign are the docker client's variables that would lead it elsewhere, or
// make it sign and verify what nobody asked it to.
var foreign = []string{
	"DOCKER_API_VERSION", "DOCKER_CERT_PATH", "DOCKER_CONTENT_TRUST", "DOCKER_CONTEXT", "DOCKER_DEFAULT_PLATFORM",
	"DOCKER_TLS", "DOCKER_TLS_VERIFY",
}

// shell is Env for a POSIX shell. No value holds a quote: paths are plain.
func (tb *Testbed) shell() string {
	text := new(strings.Builder)
	fmt.Fprintf(text, "# Source this to use the testbed: . %s\n", tb.path("env"))
	fmt.Fprintf(text, "unset %s\n", strings.Join(foreign, " "))
	for _, assignment := range tb.Env() {
		key, value, _ := strings.Cut(assignment, "=")
		fmt.Fprintf(text, "export %s='%s'\n", key, value)
	}
	return text.String()
}

// replaceFile puts data where name is, in one step, so that a reader finds
// the old or the new content.
func replaceFile(name string, data []byte, mode os.FileMode) error {
	if err := os.WriteFile(name+unfinished, data, mode); err != nil {
		return err
	}
	return os.Rename(name+unfinished, name)
}
