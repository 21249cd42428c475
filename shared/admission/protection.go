package admission

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/swarm"

	"github.com/docker-stig/docker-stig/shared/engine"
	"github.com/docker-stig/docker-stig/shared/protect"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// A Protection is a policy's self-protection in front of one engine. It
// implements Protector: package protect says what leads to the host, and the
// engine what stands behind the names of a configuration.
type Protection struct {
	policy policy.Protect
	engine engine.Engine
	host   Host
	rules  atomic.Pointer[rulesFor]
}

// A Host is what is to be protected beside the engine. Now is required.
type Host struct {
	Root  string   // its files, as the engine sees them; "" is "/"
	Paths []string // files of this site: the engine's socket, the policy
	Now   func() time.Time
}

// rulesFor are the rules for an engine that says this of itself.
type rulesFor struct {
	facts engine.Facts
	*protect.Rules
}

// NewProtection makes the protection of a policy. It asks the engine nothing
// yet.
func NewProtection(p policy.Protect, e engine.Engine, host Host) *Protection {
	return &Protection{policy: p, engine: e, host: host}
}

// current gives the rules for the engine as it is now.
func (p *Protection) current(ctx context.Context) (*protect.Rules, error) {
	facts, err := p.engine.Facts(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking the engine what it is like: %w", err)
	}
	if known := p.rules.Load(); known != nil && known.facts == facts {
		return known.Rules, nil
	}
	rules := protect.New(p.policy, protect.Options{
		Root: p.host.Root, Paths: p.host.Paths, Now: p.host.Now,
		DataRoot: facts.Root, Runtime: facts.Runtime, HostCgroups: facts.HostCgroups, ReadOnly: facts.ReadOnly,
	})
	p.rules.Store(&rulesFor{facts, rules})
	return rules, nil
}

// Container judges the configuration of a container that exists.
func (p *Protection) Container(ctx context.Context, c engine.Container, image reference.Named) error {
	rules, err := p.current(ctx)
	if err != nil {
		return err
	}
	return rules.Container(ctx, protect.Subject{Image: image, Host: c.Host, Made: true, Mounts: c.Mounts}, lookup{p.engine})
}

// Create judges the configuration of a container that is to be made, or that
// is to become a container's.
func (p *Protection) Create(ctx context.Context, host *container.HostConfig, image reference.Named) error {
	rules, err := p.current(ctx)
	if err != nil {
		return err
	}
	return rules.Container(ctx, protect.Subject{Image: image, Host: host}, lookup{p.engine})
}

// Volume judges a volume that is to be made.
func (p *Protection) Volume(ctx context.Context, v engine.Volume) error {
	rules, err := p.current(ctx)
	if err != nil {
		return err
	}
	return rules.Volume(v.Driver, v.Options)
}

// Exec judges a process that is to run in a container.
func (p *Protection) Exec(ctx context.Context, e engine.Exec, image reference.Named) error {
	rules, err := p.current(ctx)
	if err != nil {
		return err
	}
	return rules.Exec(e.Privileged, image)
}

// Service judges the tasks of a swarm service.
func (p *Protection) Service(ctx context.Context, task swarm.TaskSpec, image reference.Named) error {
	rules, err := p.current(ctx)
	if err != nil {
		return err
	}
	return rules.Service(ctx, task, image, lookup{p.engine})
}

// A lookup asks an engine for what a configuration only names.
type lookup struct{ engine engine.Engine }

func (l lookup) Volume(ctx context.Context, name string) (string, map[string]string, error) {
	v, err := l.engine.Volume(ctx, name)
	return v.Driver, v.Options, missing(err)
}

func (l lookup) Container(ctx context.Context, name string) (*container.HostConfig, []container.MountPoint, error) {
	c, err := l.engine.Container(ctx, name)
	return c.Host, c.Mounts, missing(err)
}

func (l lookup) Network(ctx context.Context, name string) (string, error) {
	n, err := l.engine.Network(ctx, name)
	return n.Driver, missing(err)
}

// missing says in protect's words that there is no such object.
func missing(err error) error {
	if errors.Is(err, engine.ErrNotFound) {
		return fmt.Errorf("%w: %w", protect.ErrNotFound, err)
	}
	return err
}

// Drivers judges the names of drivers that the engine would ask: a name that
// is a path would make a plugin of any socket.
func Drivers(names ...string) error {
	for _, name := range names {
		if name == "" {
			continue
		}
		if err := protect.Driver(name); err != nil {
			return err
		}
	}
	return nil
}
