package protect

import (
	"path"
	"slices"
	"strings"

	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// remote are file systems that a local volume may mount: they hold nothing of
// the host.
var remote = []string{"tmpfs", "nfs", "nfs4", "cifs", "smb3", "ceph"}

// layered are file systems that show folders of the host.
var layered = []string{"overlay", "overlayfs", "aufs", "unionfs"}

// driverOptions judges what a volume is made of. The local driver hands type,
// device and o to mount(2); other drivers' options are theirs.
func (j *judgement) driverOptions(driver string, options map[string]string) error {
	if err := Driver(driver); err != nil {
		return err
	}
	if (driver != "" && driver != "local") || len(options) == 0 {
		return nil
	}
	for name := range options {
		if !slices.Contains([]string{"type", "device", "o", "size"}, name) {
			return j.refuse(policy.SettingDevices, "a local volume with the option "+quote(name), "cannot be judged")
		}
	}
	kind, device, flags := options["type"], options["device"], strings.Split(options["o"], ",")
	if kind == "" && device == "" {
		return nil // a folder of the engine's
	}
	// mount(2) ignores the type of a bind.
	if slices.Contains(flags, "bind") || slices.Contains(flags, "rbind") {
		return j.volumeBind(device, options["o"])
	}
	asked := "a local volume of type " + quote(kind) + " on " + quote(device)
	switch {
	case slices.Contains(flags, "remount"):
		return j.device(asked, "changes what the host has mounted")
	case slices.Contains(remote, kind):
		return nil
	case slices.Contains(layered, kind) && !j.opened(policy.SettingPaths):
		return j.refuse(policy.SettingPaths, asked, "shows folders of the host by another name")
	case slices.Contains(layered, kind):
		return nil
	default:
		return j.device(asked, "mounts a disk of the host, or a file system of its kernel")
	}
}

// volumeBind judges a volume that is a folder of the host. The kernel takes
// the device as it is written, so ".." in it is not what it looks like.
func (j *judgement) volumeBind(device, flags string) error {
	if !path.IsAbs(device) || path.Clean(device) != device {
		return j.refuse(policy.SettingPaths, "a volume on "+quote(device), "is no full path without detours")
	}
	if err := j.propagates(device, strings.Split(flags, ",")...); err != nil {
		return err
	}
	return j.bind(bind{source: device, writable: writes(flags), alone: !strings.Contains(flags, "rbind")})
}

func (j *judgement) device(asked, why string) error {
	if j.allows(policy.SettingDevices, j.policy.Devices) {
		return nil
	}
	return j.refuse(policy.SettingDevices, asked, why)
}
