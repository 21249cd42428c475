package trust

import "slices"

// graphdrivers are the storage drivers of moby's daemon/graphdriver, 20.10 to
// 29.
var graphdrivers = []string{"overlay2", "fuse-overlayfs", "btrfs", "zfs", "vfs", "overlay", "aufs", "devicemapper"}

// StoreOf tells an engine's image store from its GET /info, Driver and
// DriverStatus. The containerd store says so itself; that it does not is
// believed only of a driver that is known.
func StoreOf(driver string, status [][2]string) Store {
	for _, row := range status {
		if row[0] != "driver-type" {
			continue
		}
		if row[1] == "io.containerd.snapshotter.v1" {
			return ContainerdStore
		}
		return UnknownStore
	}
	if slices.Contains(graphdrivers, driver) {
		return GraphdriverStore
	}
	return UnknownStore
}
