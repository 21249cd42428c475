package protect

import (
	"path"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/mount"
)

// tmpfsFlags and tmpfsValues are what a tmpfs may be told: how the new mount
// itself is. The engine hands them to mount(2), which takes further words for
// an order to change, move or bind what is mounted there already: /sys, or a
// bind that is read-only.
var (
	tmpfsFlags = []string{
		"defaults", "ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec", "sync", "async", "dirsync", "mand", "nomand",
		"atime", "noatime", "diratime", "nodiratime", "relatime", "norelatime", "strictatime", "nostrictatime",
	}
	tmpfsValues = []string{"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"}
)

// tmpfs judges what a container has in memory, be it made or to be made.
func tmpfs(s Subject) error {
	if s.Host == nil {
		return nil
	}
	for i := range s.Host.Mounts {
		if m := &s.Host.Mounts[i]; m.TmpfsOptions != nil {
			if err := tmpfsOptions(m.Target, asWritten(m.TmpfsOptions)); err != nil {
				return err
			}
		}
	}
	if len(s.Host.Tmpfs) == 0 {
		return nil
	}
	taken := s.targets()
	for target, options := range s.Host.Tmpfs {
		if options != "" {
			if err := tmpfsOptions(target, strings.Split(options, ",")); err != nil {
				return err
			}
		}
		if err := tmpfsTarget(target, taken); err != nil {
			return err
		}
	}
	return nil
}

// asWritten gives the options of a mount as the engine writes them.
func asWritten(o *mount.TmpfsOptions) []string {
	var list []string
	for _, option := range o.Options {
		list = append(list, strings.Split(strings.Join(option, "="), ",")...)
	}
	return list
}

func tmpfsOptions(target string, options []string) error {
	for _, option := range options {
		key, _, hasValue := strings.Cut(option, "=")
		if slices.Contains(tmpfsFlags, option) || (hasValue && slices.Contains(tmpfsValues, key)) {
			continue
		}
		return refuseAll("the tmpfs at "+quote(target)+" with the option "+quote(option), "may change what is mounted there, and not make a new mount",
			"give it "+strings.Join(tmpfsValues, ", ")+", or flags of its own such as ro and noexec")
	}
	return nil
}

// tmpfsTarget wants a place that no other mount has. The engine takes it as it
// is written, where it cleans that of all other mounts: one place by two names
// is mounted twice, in whatever order.
func tmpfsTarget(target string, taken map[string]int) error {
	clean := path.Clean(target)
	if !path.IsAbs(target) || (target != clean && target != clean+"/") {
		return refuseAll("the tmpfs at "+quote(target), "is at no full path without detours", "write "+quote(path.Join("/", target)))
	}
	if taken[clean] > 1 {
		return refuseAll("the tmpfs at "+quote(target), "is where something else is mounted", "leave one of them out")
	}
	return nil
}

// targets are the places at which a container has mounts, and how many each.
func (s Subject) targets() map[string]int {
	taken := map[string]int{}
	for target := range s.Host.Tmpfs {
		taken[path.Clean(target)]++
	}
	if s.Made {
		for i := range s.Mounts {
			taken[path.Clean(s.Mounts[i].Destination)]++
		}
		return taken
	}
	for i := range s.Host.Mounts {
		taken[path.Clean(s.Host.Mounts[i].Target)]++
	}
	for _, raw := range s.Host.Binds {
		taken[path.Clean(targetOf(raw))]++
	}
	return taken
}

// targetOf is where a bind is mounted: [SOURCE:]TARGET[:OPTIONS].
func targetOf(raw string) string {
	parts := strings.SplitN(raw, ":", 3)
	return parts[min(1, len(parts)-1)]
}
