package rerun

import (
	"fmt"
	"strings"

	"github.com/moby/moby/api/types/mount"
)

// mounts writes what of the host, of volumes and of memory the container sees.
func (w *writer) mounts() {
	h := w.c.HostConfig
	w.each("volume", h.Binds)
	for _, path := range sortedKeys(w.c.Config.Volumes) {
		if _, inherits := w.image.volumes[path]; !inherits {
			w.flag("volume", path)
		}
	}
	w.said("volume-driver", h.VolumeDriver)
	w.each("volumes-from", h.VolumesFrom)
	for _, path := range sortedKeys(h.Tmpfs) {
		text := path
		if options := h.Tmpfs[path]; options != "" {
			text += ":" + options
		}
		w.flag("tmpfs", text)
	}
	for _, m := range h.Mounts {
		w.flag("mount", w.mountText(m))
	}
	for _, key := range sortedKeys(h.StorageOpt) {
		w.flag("storage-opt", key+"="+h.StorageOpt[key])
	}
	w.nameless()
}

// nameless notes the volumes that the container alone knows: another container
// gets new ones.
func (w *writer) nameless() {
	const idLength = 64 // hexadecimal digits
	for _, m := range w.c.Mounts {
		if m.Type != mount.TypeVolume || len(m.Name) != idLength || strings.Trim(m.Name, "0123456789abcdef") != "" || w.binds(m.Name) {
			continue
		}
		w.note(fmt.Sprintf("what it keeps in %s is in a volume without a name, and a new container gets a new one: to keep it, add --volume %s", m.Destination, quote(m.Name+":"+m.Destination)))
	}
}

// binds reports whether a volume is named by an option.
func (w *writer) binds(volume string) bool {
	for _, bind := range w.c.HostConfig.Binds {
		if strings.HasPrefix(bind, volume+":") {
			return true
		}
	}
	for _, m := range w.c.HostConfig.Mounts {
		if m.Source == volume {
			return true
		}
	}
	return false
}

// mountText is a mount as --mount takes it. Fields that no option sets are
// noted.
func (w *writer) mountText(m mount.Mount) string {
	fields := mountFields(m)
	if o := m.VolumeOptions; o != nil {
		for _, key := range sortedKeys(o.Labels) {
			fields = append(fields, "volume-label="+key+"="+w.hide("volume-label "+key, key, o.Labels[key]))
		}
		if o.DriverConfig != nil {
			for _, key := range sortedKeys(o.DriverConfig.Options) {
				fields = append(fields, "volume-opt="+key+"="+w.hide("volume-opt "+key, key, o.DriverConfig.Options[key]))
			}
		}
	}
	if m.TmpfsOptions != nil && len(m.TmpfsOptions.Options) > 0 {
		w.note("its tmpfs at " + m.Target + " has options for which --mount has none: --tmpfs takes them")
	}
	return joined(fields)
}

// mountFields are those of a mount that are no secrets.
func mountFields(m mount.Mount) []string {
	fields := []string{"type=" + string(m.Type)}
	add := func(key, value string) {
		if value != "" {
			fields = append(fields, key+"="+value)
		}
	}
	on := func(key string, is bool) {
		if is {
			add(key, "true")
		}
	}
	add("source", m.Source)
	add("target", m.Target)
	on("readonly", m.ReadOnly)
	add("consistency", string(m.Consistency))
	if o := m.BindOptions; o != nil {
		add("bind-propagation", string(o.Propagation))
		switch {
		case o.NonRecursive:
			add("bind-recursive", "disabled")
		case o.ReadOnlyNonRecursive:
			add("bind-recursive", "writable")
		case o.ReadOnlyForceRecursive:
			add("bind-recursive", "readonly")
		}
		on("bind-create-src", o.CreateMountpoint)
	}
	if o := m.VolumeOptions; o != nil {
		add("volume-subpath", o.Subpath)
		on("volume-nocopy", o.NoCopy)
		if o.DriverConfig != nil {
			add("volume-driver", o.DriverConfig.Name)
		}
	}
	if o := m.ImageOptions; o != nil {
		add("image-subpath", o.Subpath)
	}
	if o := m.TmpfsOptions; o != nil {
		if o.SizeBytes != 0 {
			add("tmpfs-size", fmt.Sprint(o.SizeBytes))
		}
		if o.Mode != 0 {
			add("tmpfs-mode", fmt.Sprintf("%o", uint32(o.Mode)))
		}
	}
	return fields
}
