package access

import (
	"errors"
	"strings"
	"sync"

	"github.com/docker/cli/cli/config/configfile"
)

// DockerConfig gives the logins that docker login left: in config.json, with
// its credential helpers, or in DOCKER_AUTH_CONFIG. A helper is asked once for
// each host.
func DockerConfig(config *configfile.ConfigFile) Credentials {
	return &dockerConfig{config: seal(config), known: map[string]sealed[Login]{}}
}

type dockerConfig struct {
	config sealed[*configfile.ConfigFile]

	mu    sync.Mutex
	known map[string]sealed[Login]
}

func (d *dockerConfig) Login(host string) (Login, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if login, ok := d.known[host]; ok {
		return login(), nil
	}
	config := d.config()
	if config == nil {
		return Login{}, nil
	}
	auth, err := config.GetAuthConfig(host) // knows where docker keeps the login for docker.io
	if err != nil {
		return Login{}, helperError(err)
	}
	login := Login{Username: auth.Username, Password: auth.Password, IdentityToken: auth.IdentityToken}
	d.known[host] = seal(login)
	return login, nil
}

// helperError leaves out what a helper printed: that may be the secret.
func helperError(err error) error {
	what, _, _ := strings.Cut(err.Error(), ", out: ")
	return errors.New("docker's credential helper: " + what + "; try docker login again")
}

func (d *dockerConfig) command(host string) string {
	if host == "docker.io" {
		return "docker login"
	}
	return "docker login " + host
}
