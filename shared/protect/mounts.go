package protect

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"

	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// A bind is a path of the host that a container is to have.
type bind struct {
	source   string
	writable bool
	alone    bool // nothing that is mounted below it comes along writable
}

// mounts judges what a container that is to be made asks to mount.
func (j *judgement) mounts(ctx context.Context, h *container.HostConfig) error {
	for _, raw := range h.Binds {
		if err := j.rawBind(ctx, raw, h.VolumeDriver); err != nil {
			return err
		}
	}
	for i := range h.Mounts {
		if err := j.mount(ctx, &h.Mounts[i]); err != nil {
			return err
		}
	}
	for _, from := range h.VolumesFrom {
		if err := j.volumesFrom(ctx, from); err != nil {
			return err
		}
	}
	return nil
}

// rawBind judges what -v takes, split as moby's linux parser splits it:
// [SOURCE:]TARGET[:OPTIONS], and whatever is no full path is a volume's name.
func (j *judgement) rawBind(ctx context.Context, raw, driver string) error {
	parts := strings.SplitN(raw, ":", 4)
	if parts[0] == "" || len(parts) > 3 {
		return j.refuse(policy.SettingPaths, "the bind "+quote(raw), "cannot be read as SOURCE:TARGET:OPTIONS")
	}
	if len(parts) == 1 {
		return nil // a new volume without a name
	}
	options := ""
	if len(parts) == 3 {
		options = parts[2]
	}
	if err := j.propagates(parts[0], strings.Split(options, ",")...); err != nil {
		return err
	}
	if path.IsAbs(parts[0]) {
		return j.bind(bind{source: parts[0], writable: writes(options)})
	}
	return j.volume(ctx, parts[0], driver, nil)
}

// writes reports whether the options of a bind change its source: a new
// SELinux label is a change too.
func writes(options string) bool {
	list := strings.Split(options, ",")
	return !slices.Contains(list, "ro") || slices.Contains(list, "rw") || relabels(list)
}

func relabels(options []string) bool {
	return slices.Contains(options, "z") || slices.Contains(options, "Z")
}

func (j *judgement) mount(ctx context.Context, m *mount.Mount) error {
	switch m.Type {
	case mount.TypeBind:
		if err := j.propagates(m.Source, propagation(m)); err != nil {
			return err
		}
		return j.bind(bind{source: m.Source, writable: !m.ReadOnly, alone: j.alone(m)})
	case mount.TypeVolume:
		driver, options := "", map[string]string(nil)
		if m.VolumeOptions != nil && m.VolumeOptions.DriverConfig != nil {
			driver, options = m.VolumeOptions.DriverConfig.Name, m.VolumeOptions.DriverConfig.Options
		}
		return j.volume(ctx, m.Source, driver, options)
	case mount.TypeTmpfs, mount.TypeImage, mount.TypeCluster, mount.TypeNamedPipe:
		return nil // memory, an image to verify, a volume of the swarm, Windows
	default:
		return j.refuse(policy.SettingPaths, "a mount of type "+quote(string(m.Type)), "is none that this version knows")
	}
}

func propagation(m *mount.Mount) string {
	if m.BindOptions == nil {
		return ""
	}
	return string(m.BindOptions.Propagation)
}

// propagates refuses a mount that carries what is mounted in the container to
// the host, where it may cover anything below the source.
func (j *judgement) propagates(source string, options ...string) error {
	i := slices.IndexFunc(options, func(o string) bool {
		return strings.EqualFold(o, string(mount.PropagationShared)) || strings.EqualFold(o, string(mount.PropagationRShared))
	})
	if i < 0 || j.allows(policy.SettingHostNamespaces, j.policy.HostNamespaces) {
		return nil
	}
	return j.refuse(policy.SettingHostNamespaces, "the mount of "+quote(source)+" as "+options[i], "mounts on the host what is mounted in the container; rslave is enough to see the host's mounts")
}

// alone reports whether a mount leaves out what is mounted below its source,
// or fails where that would stay writable. The latter is believed of an engine
// that has heard of it, and never of a service: of all that a bind's options
// say, managers hand the propagation on to the nodes, and NonRecursive (moby
// 20.10 to 29, daemon/cluster/convert).
func (j *judgement) alone(m *mount.Mount) bool {
	if m.BindOptions == nil {
		return false
	}
	return m.BindOptions.NonRecursive || (m.BindOptions.ReadOnlyForceRecursive && j.options.ReadOnly && !j.service)
}

// mounted judges what a container that exists has mounted. What it was asked
// for tells how, where the engine's answer does not.
func (j *judgement) mounted(ctx context.Context, list []container.MountPoint, asked []mount.Mount) error {
	for i := range list {
		m := &list[i]
		if err := j.mountPoint(ctx, m, asked); err != nil {
			return err
		}
	}
	return nil
}

func (j *judgement) mountPoint(ctx context.Context, m *container.MountPoint, asked []mount.Mount) error {
	if err := j.propagates(m.Source, append(strings.Split(m.Mode, ","), string(m.Propagation))...); err != nil {
		return err
	}
	switch m.Type {
	case mount.TypeTmpfs, mount.TypeImage, mount.TypeCluster, mount.TypeNamedPipe:
		return nil
	case mount.TypeVolume:
		return j.volume(ctx, m.Name, m.Driver, nil)
	case mount.TypeBind:
		return j.bind(j.bindOf(m, asked))
	default: // containers of old engines have no type
		if m.Name != "" {
			return j.volume(ctx, m.Name, m.Driver, nil)
		}
		return j.bind(j.bindOf(m, asked))
	}
}

func (j *judgement) bindOf(m *container.MountPoint, asked []mount.Mount) bind {
	b := bind{source: m.Source, writable: m.RW || relabels(strings.Split(m.Mode, ","))}
	i := slices.IndexFunc(asked, func(a mount.Mount) bool {
		return a.Type == mount.TypeBind && path.Clean(a.Target) == m.Destination && path.Clean(a.Source) == m.Source
	})
	b.alone = i >= 0 && j.alone(&asked[i])
	return b
}

// volumesFrom judges what a container takes over from another, as its own.
func (j *judgement) volumesFrom(ctx context.Context, from string) error {
	id, options, _ := strings.Cut(from, ":")
	host, mounts, err := j.other(ctx, id)
	if err != nil {
		return err
	}
	mounts = slices.Clone(mounts)
	for i := range mounts {
		mounts[i].RW = mounts[i].RW && (options == "" || writes(options))
	}
	return byWayOf("--volumes-from="+quote(id), j.mounted(ctx, mounts, host.Mounts))
}

// volume judges a volume by its name, and by the options it would be made with
// if there is none of that name.
func (j *judgement) volume(ctx context.Context, name, driver string, options map[string]string) error {
	if err := j.driverOptions(driver, options); err != nil {
		return err
	}
	if name == "" {
		return nil
	}
	if j.ask == nil {
		return fmt.Errorf("volume %s: there is nobody to ask about it", quote(name))
	}
	driver, options, err := j.ask.Volume(ctx, name)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("asking the engine for volume %s: %w", quote(name), err)
	}
	return byWayOf("the volume "+quote(name), j.driverOptions(driver, options))
}
