package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/docker-stig/docker-stig/authz-plugin/audit"
	"github.com/docker-stig/docker-stig/authz-plugin/authz"
	"github.com/docker-stig/docker-stig/authz-plugin/metrics"
	"github.com/docker-stig/docker-stig/shared/admission"
	"github.com/docker-stig/docker-stig/shared/engine"
	"github.com/docker-stig/docker-stig/shared/trust/access"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// defaultEngine is asked to remove what must not exist while there is no
// policy that names an engine.
const defaultEngine = "unix:///run/docker.sock"

// certsDir is where an engine has the certificates of registries.
const certsDir = "/etc/docker/certs.d"

// A loader turns the policy file into settings. What outlives a policy, it has
// once: approvals and allowances.
type loader struct {
	path  string
	state string // folder for what has to outlive the daemon
	log   *slog.Logger

	approvals  *admission.Approvals
	allowances *admission.Allowances
	changed    chan struct{} // holds one when trust has changed since somebody looked
	inForce    atomic.Pointer[force]
	reading    atomic.Pointer[metrics.Policy] // how the last one went
	swept      atomic.Pointer[metrics.Sweep]
	records    *audit.Log
	numbers    *metrics.Metrics
	end        context.CancelFunc // of what runs for the policy in force
	served     <-chan struct{}    // closed when its metrics are not served any more
	engine     *engine.Client
	engineHost string
}

// A force is a policy, and what it amounts to.
type force struct {
	*policy.Policy
	settings authz.Settings
	verifier *policy.Verifier
	current  context.Context // done when another policy is in force, or the daemon stops
}

func newLoader(opts serveOptions, log *slog.Logger) *loader {
	if err := os.MkdirAll(opts.state, 0o700); err != nil {
		log.Warn("trust data and approvals will not outlive this daemon", "error", err)
	}
	l := &loader{
		path: opts.policy, state: opts.state, log: log,
		approvals:  admission.OpenApprovals(admission.ApprovalOptions{Dir: filepath.Join(opts.state, "approvals"), Now: time.Now, Log: log, Clear: true}),
		allowances: &admission.Allowances{Path: filepath.Join(opts.state, "allowances.json"), Log: log},
		changed:    make(chan struct{}, 1),
		end:        func() {},
	}
	served := make(chan struct{})
	close(served) // nothing is, so far
	l.served = served
	l.reading.Store(&metrics.Policy{})
	l.swept.Store(&metrics.Sweep{})
	l.numbers = l.metrics()
	l.records = audit.Open(audit.Options{Now: time.Now, Log: log, File: opts.records, Passed: opts.passed, Observe: l.numbers.Decided})
	return l
}

// closeTimeout is how long what is not on the disk yet has to get there.
const closeTimeout = 5 * time.Second

// close writes down what is not written yet, and lets go of the rest.
func (l *loader) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	l.end()
	if err := l.approvals.Close(ctx); err != nil {
		l.log.Warn("approvals were not all written: what they were for is judged anew", "error", err)
	}
	if err := l.records.Close(ctx); err != nil {
		l.log.Warn("records were not all written", "error", err)
	}
}

// load reads the policy. It connects to nothing.
func (l *loader) load() (*force, error) {
	p, err := policy.Load(l.path)
	if err != nil {
		return nil, err
	}
	verifier := policy.NewVerifier(p, policy.Options{
		Now:      time.Now,
		StateDir: l.state,
		Logins:   access.OpenFile(access.DaemonFile()),
		CertDirs: []string{certsDir},
		Changed:  func(string) { l.trustChanged() },
		Log:      l.log,
	})
	client := l.engineAt(p.Engine)
	protection := admission.NewProtection(p.Protect, client, admission.Host{Paths: l.own(p), Now: time.Now})
	settings := authz.Settings{
		Mode:     p.ContentTrust.Mode,
		Requests: p.Requests,
		Protect:  protection,
		Judge: &admission.Judge{
			Engine:     client,
			Verifier:   verifier,
			Protect:    protection,
			Recorded:   p.Requests.Start == policy.Recorded && p.ContentTrust.Mode == policy.Enforced,
			Approvals:  l.approvals,
			Allowances: l.allowances,
			Now:        time.Now,
			Log:        l.log,
		},
	}
	return &force{Policy: p, settings: settings, verifier: verifier}, nil
}

// engineAt gives the client of the engine at host: that of the policy before
// unless it moved. A client of each policy's own would leave its connections.
func (l *loader) engineAt(host string) *engine.Client {
	if l.engine != nil && l.engineHost != host {
		_ = l.engine.Close() // what still asks through it may go on
	}
	if l.engine == nil || l.engineHost != host {
		l.engine, l.engineHost = engine.NewClient(host, time.Now), host
	}
	return l.engine
}

// own are the files that containers must not reach at this site.
func (l *loader) own(p *policy.Policy) []string {
	return []string{l.path, l.state, strings.TrimPrefix(p.Engine, "unix://"), access.DaemonFile()}
}

// put puts a policy in force: its repositories are renewed until ctx is done
// or another policy is in force.
func (l *loader) put(ctx context.Context, f *force) {
	l.end()
	ctx, l.end = context.WithCancel(ctx)
	f.current = ctx
	go func() {
		defer f.verifier.Close()
		f.verifier.Run(ctx)
	}()
	l.served = l.serveMetricsAfter(ctx, l.served, f.Metrics)
	l.inForce.Store(f)
	l.engine.ForgetImages()
	l.publish(f)
	l.reading.Store(&metrics.Policy{Mode: string(f.settings.Mode), Loaded: time.Now(), OK: true})
	l.trustChanged()
	l.log.Info("policy in force", "policy", l.path, "mode", string(f.settings.Mode))
}

// failed notes that a policy could not be read.
func (l *loader) failed() {
	last := *l.reading.Load()
	last.OK = false
	l.reading.Store(&last)
}

// trustChanged says so, without waiting, to whoever looks at what runs.
func (l *loader) trustChanged() {
	select {
	case l.changed <- struct{}{}:
	default: // it was said already
	}
}

// loadOrFault gives settings that deny whatever would have to be judged when
// the policy cannot be read. The daemon serves them: an engine whose plugin
// does not answer does not start.
func (l *loader) loadOrFault(ctx context.Context) authz.Settings {
	f, err := l.load()
	if err == nil {
		l.put(ctx, f)
		return f.settings
	}
	l.failed()
	l.log.Error("the policy cannot be read: everything that would have to be judged is denied until it can; mend it and send SIGHUP", "policy", l.path, "error", err)
	client := engine.NewClient(defaultEngine, time.Now)
	return authz.Settings{
		Mode:    policy.Enforced,
		Judge:   &admission.Judge{Engine: client, Now: time.Now, Log: l.log},
		Protect: admission.NewProtection(policy.Protect{}, client, admission.Host{Now: time.Now}),
		Fault:   err,
	}
}
