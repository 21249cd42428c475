package remedy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/change/disk"
	"github.com/docker-stig/docker-stig/cli-plugin/change/systemd"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/remedy/engine"
	"github.com/docker-stig/docker-stig/cli-plugin/remedy/transaction"
)

// A composer makes the steps of a plan from what rules wish. Each of its
// sieves leaves some wishes out, and says so in the plan.
type composer struct {
	plan    *Plan
	host    *host.Host
	options Options
	wishes  []change.Change
}

func (c *composer) compose(ctx context.Context) error {
	signatures := c.signatures(ctx)
	c.sieve(func(w change.Change) string {
		switch {
		case w.ByName != "" && !c.options.Named:
			return w.ByName + ": name the rule to have it changed"
		case w.Irrevocable != "" && !c.options.Irrevocable:
			return forGood(w)
		case w.Path() != "" && c.host.Programs == nil:
			return "files are changed on the engine's own host alone: run it there"
		}
		return ""
	})
	found := change.Contradictions(c.wishes)
	c.plan.Contradictions = append(c.plan.Contradictions, found...)
	c.drop(found)
	c.sieve(func(w change.Change) string {
		if w.Disruption == change.Restart && !c.options.AllowRestart {
			return "it takes a restart of the engine: give --allow-restart"
		}
		return ""
	})
	if err := c.dockerd(ctx); err != nil {
		return err
	}
	for c.steps(ctx) { // each round leaves something out
	}
	c.finish()
	c.plan.Changes = append(c.plan.Changes, signatures...)
	return c.stops(ctx)
}

func forGood(w change.Change) string {
	return "it cannot be taken back (" + w.Irrevocable + "): give --accept-irrevocable"
}

// sieve leaves out the wishes that there is a reason for.
func (c *composer) sieve(why func(change.Change) string) {
	c.wishes = slices.DeleteFunc(c.wishes, func(w change.Change) bool {
		reason := why(w)
		if reason == "" {
			return false
		}
		c.plan.LeftOut = append(c.plan.LeftOut, LeftOut{w.Serves, w.Subject() + ": " + w.Wish(), reason})
		return true
	})
}

// drop leaves out the changes of contradictions.
func (c *composer) drop(found []change.Contradiction) {
	var gone []int
	for _, f := range found {
		gone = append(gone, f.Changes...)
	}
	var kept []change.Change
	for i, w := range c.wishes {
		if !slices.Contains(gone, i) {
			kept = append(kept, w)
		}
	}
	c.wishes = kept
}

// dockerd describes the engine, where it is to be told something.
func (c *composer) dockerd(ctx context.Context) error {
	for _, w := range c.wishes {
		c.plan.tell = change.Worst(c.plan.tell, w.Disruption)
	}
	if c.plan.tell == change.None && !slices.ContainsFunc(c.wishes, func(w change.Change) bool { return w.Option != nil }) {
		return nil
	}
	found, err := c.host.Dockerd(ctx)
	if err != nil {
		return fmt.Errorf("the engine's configuration cannot be changed: %w", err)
	}
	line, err := c.host.Read(fmt.Sprintf("/proc/%d/cmdline", found.PID))
	if err != nil {
		return fmt.Errorf("reading the engine's command line: %w", err)
	}
	version, err := c.host.Version(ctx)
	if err != nil {
		return err
	}
	c.plan.dockerd = &engine.Dockerd{
		Socket: strings.TrimPrefix(c.host.Address, "unix://"), PID: found.PID, Program: found.Program, Args: engine.Args(line),
		API: engine.API(version.APIVersion), Unit: found.Unit, RestartWith: c.options.RestartWith, Init: systemd.Running(),
	}
	if found.Changed != "" {
		c.plan.Notes = append(c.plan.Notes, found.Changed+": what was changed there comes into force, too")
	}
	if c.plan.tell == change.Restart {
		if err := c.plan.dockerd.CanRestart(); err != nil {
			c.sieve(func(w change.Change) string {
				if w.Disruption != change.Restart {
					return ""
				}
				return err.Error()
			})
			c.plan.tell = change.None
			return c.dockerd(ctx)
		}
	}
	return nil
}

// steps composes the wishes by file and by document. It reports whether some
// had to be left out, and it has to be called again.
func (c *composer) steps(ctx context.Context) (again bool) {
	c.plan.steps, c.plan.sticky = nil, false
	var places []string // in the order of the first wish
	byPlace := map[string][]change.Change{}
	for _, w := range c.wishes {
		place, err := place(w)
		if err != nil {
			c.leaveOut([]change.Change{w}, err)
			return true
		}
		if place == "" || w.Irrevocable != "" {
			continue
		}
		if byPlace[place] == nil {
			places = append(places, place)
		}
		byPlace[place] = append(byPlace[place], w)
	}
	for _, place := range places {
		step, err := c.step(ctx, place, byPlace[place])
		if refused := new(refusal); errors.As(err, &refused) {
			c.plan.Contradictions = append(c.plan.Contradictions, refused.Contradiction)
			c.sieveQuietly(func(w change.Change) bool {
				return slices.ContainsFunc(refused.guilty, func(g change.Change) bool { return key(g) == key(w) })
			})
			return true
		}
		if err != nil {
			c.leaveOut(byPlace[place], err)
			return true
		}
		if step != nil {
			c.plan.steps = append(c.plan.steps, *step)
		}
	}
	return false
}

// leaveOut takes wishes out for an error.
func (c *composer) leaveOut(gone []change.Change, err error) {
	c.sieve(func(w change.Change) string {
		if slices.ContainsFunc(gone, func(g change.Change) bool { return key(g) == key(w) }) {
			return err.Error()
		}
		return ""
	})
}

func (c *composer) sieveQuietly(out func(change.Change) bool) {
	c.wishes = slices.DeleteFunc(c.wishes, out)
}

// finish fills in what the plan says of its changes.
func (c *composer) finish() {
	c.plan.tell = change.None
	steps := map[string]transaction.Step{}
	for _, s := range c.plan.steps {
		steps[placeOf(s)] = s
	}
	for _, w := range c.wishes {
		at, err := place(w)
		step, found := steps[at]
		switch {
		case w.Irrevocable != "", w.Engine != nil:
			c.plan.Changes = append(c.plan.Changes, Planned{Change: w})
		case err == nil && found:
			c.plan.Changes = append(c.plan.Changes, Planned{w, from(step), at})
		default:
			continue // all is as it is wanted
		}
		c.plan.tell = change.Worst(c.plan.tell, w.Disruption)
	}
	if c.plan.tell == change.None {
		c.plan.dockerd = nil
	}
}

// from is the hash of what a step was made from.
func from(s transaction.Step) string {
	if !s.Before.Exists {
		return "absent"
	}
	return disk.Sum([]byte(s.Before.Ownership() + " " + s.Before.Sum))
}

// stops names the containers that a restart concerns.
func (c *composer) stops(ctx context.Context) error {
	if c.plan.tell != change.Restart {
		return nil
	}
	info, err := c.host.Info(ctx)
	if err != nil {
		return err
	}
	c.plan.live = info.LiveRestoreEnabled
	containers, err := c.host.Containers(ctx)
	if err != nil {
		return err
	}
	for _, one := range containers {
		if one.Runs() {
			c.plan.Stops = append(c.plan.Stops, one.Title())
		}
	}
	c.locked(ctx)
	return nil
}

// locked tells of a swarm that a manager is no part of after a restart, until
// a person has unlocked it.
func (c *composer) locked(ctx context.Context) {
	swarm, err := c.host.Swarm(ctx)
	if err != nil || !swarm.Spec.EncryptionConfig.AutoLockManagers { // one that cannot tell is no part of it now
		return
	}
	c.plan.Notes = append(c.plan.Notes, "this manager locks: after the restart it is a part of its swarm again once docker swarm unlock was given the key: have it at hand, docker swarm unlock-key prints it")
}

// then is what the files of the plan need, each once.
func (p Plan) then() []change.Then {
	var all []change.Then
	for _, c := range p.Changes {
		if then := c.Then(); then != "" && !slices.Contains(all, then) {
			all = append(all, then)
		}
	}
	return all
}
