package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/docker-stig/docker-stig/authz-plugin/authz"
	"github.com/docker-stig/docker-stig/authz-plugin/engineapi"
	"github.com/docker-stig/docker-stig/shared/trust/access"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// defaultEngine is asked to remove what must not exist while there is no
// policy that names an engine.
const defaultEngine = "unix:///run/docker.sock"

// certsDir is where an engine has the certificates of registries.
const certsDir = "/etc/docker/certs.d"

// A loader turns the policy file into settings.
type loader struct {
	path  string
	state string // folder for what has to outlive the daemon
	log   *slog.Logger

	renewing context.CancelFunc // ends the renewal for the policy in force
}

// load reads the policy. It connects to nothing.
func (l *loader) load() (authz.Settings, error) {
	p, err := policy.Load(l.path)
	if err != nil {
		return authz.Settings{}, err
	}
	if parts := p.Unheeded(); len(parts) > 0 {
		l.log.Warn("this version reads these parts of the policy and does not act on them", "parts", parts)
	}
	if err := os.MkdirAll(l.state, 0o700); err != nil {
		l.log.Warn("trust data will not outlive this daemon", "error", err)
	}
	verifier := policy.NewVerifier(p, policy.Options{
		Now:      time.Now,
		StateDir: l.state,
		Logins:   access.OpenFile(access.DaemonFile()),
		CertDirs: []string{certsDir},
		Log:      l.log,
	})
	return authz.Settings{
		Mode:     p.ContentTrust.Mode,
		Requests: p.Requests,
		Verifier: verifier,
		Engine:   engineapi.NewClient(p.Engine, time.Now),
	}, nil
}

// inForce renews what the policy is asked about until ctx is done or another
// policy is in force.
func (l *loader) inForce(ctx context.Context, settings authz.Settings) {
	if l.renewing != nil {
		l.renewing()
	}
	ctx, l.renewing = context.WithCancel(ctx)
	if verifier, ok := settings.Verifier.(*policy.Verifier); ok {
		go verifier.Run(ctx)
	}
	l.log.Info("policy in force", "policy", l.path, "mode", string(settings.Mode))
}

// loadOrFault gives settings that deny whatever would have to be judged when
// the policy cannot be read. The daemon serves them: an engine whose plugin
// does not answer does not start.
func (l *loader) loadOrFault(ctx context.Context) authz.Settings {
	settings, err := l.load()
	if err == nil {
		l.inForce(ctx, settings)
		return settings
	}
	l.log.Error("the policy cannot be read: everything that would have to be judged is denied until it can; mend it and send SIGHUP", "policy", l.path, "error", err)
	return authz.Settings{
		Mode:   policy.Enforced,
		Engine: engineapi.NewClient(defaultEngine, time.Now),
		Fault:  err,
	}
}
