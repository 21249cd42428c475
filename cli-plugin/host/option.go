package host

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/api/types/system"

	"github.com/docker-stig/docker-stig/cli-plugin/host/daemon"
)

// FromEngine is the Source of a value that the running engine tells.
const FromEngine = "running engine"

const restartPending = ": restart pending. Restart the engine when that suits, and check again"

// An Option is one of dockerd's, as it is in force and as everyone who has a
// say set it. A nil Value was not told, or not set.
type Option struct {
	Name    string
	Value   daemon.Value // in force
	Source  string       // whose value that is: FromEngine, "--FLAG", "daemon.json" or "default"
	Running daemon.Value // what the engine's API tells
	Asked   string       // the fields of the API that tell it, "" if none does
	Flag    daemon.Value // on the command line of the process
	File    daemon.Value // in daemon.json, as it is now
	Default daemon.Value
	Next    daemon.Value // what the next start would make of it
	// Pending says why Value and Next may differ from what Value says:
	// daemon.json was changed after the engine started, a restart would bring
	// another value, or none at all. It holds no values.
	Pending string
	// Unseen says why only the running value is known.
	Unseen     error
	ConfigFile string
	PID        int
}

// told are the options that the engine's API tells, and the fields that do.
var told = map[string]struct {
	asked string
	value func(info system.Info) daemon.Value
}{
	"log-driver":          {"GET /info LoggingDriver", func(i system.Info) daemon.Value { return text(i.LoggingDriver) }},
	"storage-driver":      {"GET /info Driver", func(i system.Info) daemon.Value { return text(i.Driver) }},
	"default-runtime":     {"GET /info DefaultRuntime", func(i system.Info) daemon.Value { return text(i.DefaultRuntime) }},
	"live-restore":        {"GET /info LiveRestoreEnabled", func(i system.Info) daemon.Value { return daemon.Truth(i.LiveRestoreEnabled) }},
	"debug":               {"GET /info Debug", func(i system.Info) daemon.Value { return daemon.Truth(i.Debug) }},
	"experimental":        {"GET /info ExperimentalBuild", func(i system.Info) daemon.Value { return daemon.Truth(i.ExperimentalBuild) }},
	"insecure-registries": {"GET /info RegistryConfig", func(i system.Info) daemon.Value { return insecure(i.RegistryConfig) }},
}

func text(value string) daemon.Value {
	if value == "" {
		return nil
	}
	return daemon.Value{value}
}

// Option tells what an option of dockerd is set to, by its key in daemon.json.
// Of a map, only keys are looked at: others may hold secrets.
//
// Where the engine's API tells the value, that one counts; else the flag of
// the process, daemon.json, or the default.
func (h *Host) Option(ctx context.Context, name string, keys ...string) (Option, error) {
	spec, ok := daemon.Lookup(name)
	if !ok {
		return Option{}, fmt.Errorf("dockerd has no option %s", name)
	}
	o := Option{Name: name, Default: spec.Default}
	if told, ok := told[name]; ok {
		o.Asked = told.asked
		info, err := h.Info(ctx)
		if err != nil {
			return Option{}, err
		}
		if info.ServerVersion == "" {
			return Option{}, errors.New("the engine's answer to GET /info names no version: is it an engine?")
		}
		o.Running = told.value(info)
	}
	d, err := h.Dockerd(ctx)
	if err == nil {
		return o, o.weigh(d, spec, keys)
	}
	if o.Running == nil {
		return Option{}, fmt.Errorf("%s of dockerd is in its command line and daemon.json: %w", name, err)
	}
	o.Value, o.Source, o.Unseen = o.Running, FromEngine, err
	return o, nil
}

// weigh decides which value is in force, and whether the next start agrees.
func (o *Option) weigh(d *Dockerd, spec daemon.Spec, keys []string) error {
	only := func(v daemon.Value) daemon.Value {
		if spec.Kind == daemon.Map {
			return v.Only(keys...)
		}
		return v
	}
	o.PID, o.ConfigFile = d.PID, d.ConfigFile
	o.Flag, o.File = only(d.Running.Flags.Value(spec)), only(d.Running.File[spec.Name])
	value, source := d.Running.Value(spec)
	o.Value, o.Source = only(value), source
	if o.Running != nil {
		o.Value, o.Source = o.Running, FromEngine
	}
	if d.ConfigErr != nil && o.Running == nil && o.Flag == nil {
		return fmt.Errorf("%s of dockerd: %w", o.Name, d.ConfigErr)
	}
	next, _ := d.Next.Value(spec)
	o.Next = only(next)
	o.Pending = o.pending(d)
	return nil
}

// pending says what the next start would change.
func (o *Option) pending(d *Dockerd) string {
	if err := errors.Join(d.ConfigErr, d.NextErr); err != nil {
		o.Next = nil
		return "what the engine will start with the next time cannot be told: " + err.Error()
	}
	if refusal := d.Next.Refusal(); refusal != "" {
		return "the engine will not start again: " + refusal
	}
	changed := d.Changed
	if changed == "" {
		changed = "the engine would start with another " + o.Name + " than it runs with"
	}
	switch {
	case o.Running != nil && (o.Next == nil || o.sameAsRunning()):
		return "" // or the engine chooses by what it finds
	case o.Running != nil:
		return changed + restartPending
	case o.Flag == nil && d.Changed != "":
		return changed + ", and it does not tell which " + o.Name + " it read before" + restartPending
	case !o.Next.Same(o.Value):
		return changed + restartPending
	}
	return ""
}

func (o *Option) sameAsRunning() bool {
	if o.Name == "insecure-registries" {
		return beyondLoopback(o.Next).Same(o.Running)
	}
	return o.Next.Same(o.Running)
}

// insecure gives the registries that the engine trusts without TLS, beside
// those on loopback, which every engine does. Nil: it does not tell.
func insecure(config *registry.ServiceConfig) daemon.Value {
	if config == nil {
		return nil
	}
	found := daemon.Value{}
	for _, network := range config.InsecureRegistryCIDRs {
		found = append(found, network.String())
	}
	for name, index := range config.IndexConfigs {
		if index == nil || !index.Secure {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return beyondLoopback(found)
}

// beyondLoopback writes registries as the engine does, each once, and leaves
// out those that are always insecure: 127.0.0.0/8, and in newer engines ::1/128.
func beyondLoopback(registries daemon.Value) daemon.Value {
	kept := daemon.Value{}
	for _, name := range registries {
		if scheme, rest, ok := strings.Cut(name, "://"); ok && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https")) {
			name = rest
		}
		if network, err := netip.ParsePrefix(name); err == nil {
			name = network.Masked().String()
		}
		if name != "127.0.0.0/8" && name != "::1/128" && !slices.Contains(kept, name) {
			kept = append(kept, name)
		}
	}
	return kept
}
