package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/docker-stig/docker-stig/authz-plugin/authz"
	"github.com/docker-stig/docker-stig/authz-plugin/engineapi"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// defaultEngine is asked to remove what must not exist while there is no
// policy that names an engine.
const defaultEngine = "unix:///run/docker.sock"

// A loader turns the policy file into settings.
type loader struct {
	path  string
	state string // folder for what has to outlive the daemon
	log   *slog.Logger
}

// load reads the policy. It connects to nothing.
func (l loader) load() (authz.Settings, error) {
	p, err := policy.Load(l.path)
	if err != nil {
		return authz.Settings{}, err
	}
	if parts := p.Unheeded(); len(parts) > 0 {
		l.log.Warn("this version reads these parts of the policy and does not act on them", "parts", parts)
	}
	cache := filepath.Join(l.state, "trust")
	if err := os.MkdirAll(cache, 0o700); err != nil {
		l.log.Warn("trust data will not outlive this daemon", "error", err)
	}
	verifier := policy.NewVerifier(p, policy.Options{Now: time.Now, CacheDir: cache, Log: l.log})
	return authz.Settings{
		Mode:     p.ContentTrust.Mode,
		Requests: p.Requests,
		Verifier: verifier,
		Engine:   engineapi.NewClient(p.Engine, time.Now),
	}, nil
}

// loadOrFault gives settings that deny whatever would have to be judged when
// the policy cannot be read. The daemon serves them: an engine whose plugin
// does not answer does not start.
func (l loader) loadOrFault() authz.Settings {
	settings, err := l.load()
	if err == nil {
		l.log.Info("policy in force", "policy", l.path, "mode", string(settings.Mode))
		return settings
	}
	l.log.Error("the policy cannot be read: everything that would have to be judged is denied until it can; mend it and send SIGHUP", "policy", l.path, "error", err)
	return authz.Settings{
		Mode:   policy.Enforced,
		Engine: engineapi.NewClient(defaultEngine, time.Now),
		Fault:  err,
	}
}
