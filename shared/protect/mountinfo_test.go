package protect

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"

	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// mounting adds lines to what is mounted on a host.
func mounting(tb testing.TB, root string, lines ...string) {
	tb.Helper()
	name := filepath.Join(root, "proc/self/mountinfo")
	text, err := os.ReadFile(name)
	if err != nil {
		tb.Fatal(err)
	}
	write(tb, root, "/proc/self/mountinfo", string(text)+strings.Join(lines, "\n")+"\n")
}

// TestMountedElsewhere: a place and what is asked for are the same if their
// file systems say so, from above and from below.
func TestMountedElsewhere(t *testing.T) {
	t.Parallel()
	root := host(t, "/data/docker/volumes/", "/data/other/", "/mnt/disk/", "/mnt/vols/", "/mnt/plain/", "/sysroot/", "/var/srv/app/", "/media/sock/", "/media/copy/")
	mounting(
		t, root,
		"30 22 0:20 /data/docker /var/lib/docker rw - ext4 /dev/sda rw", // as fstab does with the engine's data
		"31 22 0:20 /data/docker/volumes /mnt/vols rw - ext4 /dev/sda rw",
		"32 22 0:20 / /mnt/disk/root rw - ext4 /dev/sda rw",
		"33 22 8:1 / /mnt/plain rw - ext4 /dev/sdb rw",
		"34 22 9:1 / /sysroot rw - xfs /dev/sdc rw",
		"35 22 9:1 /ostree/var /var/srv rw - xfs /dev/sdc rw",
		"36 22 0:30 / /run rw - tmpfs tmpfs rw",
		"37 22 0:30 /docker.sock /media/sock/engine rw - tmpfs tmpfs rw",
		"38 22 0:20 /usr/bin /media/copy rw - ext4 /dev/sda rw",
	)
	rules := New(standard(t, `{"binds": ["/mnt/plain", "/var/srv/app", "/media/copy"]}`), Options{Root: root, DataRoot: "/var/lib/docker"})
	for raw, want := range map[string]policy.Setting{
		"/data:/x:ro":                paths, // above it
		"/data/docker:/x:ro":         paths,
		"/data/docker/volumes:/x:ro": paths,
		"/data/other:/x:ro":          "",
		"/mnt/vols:/x:ro":            paths, // below it
		"/mnt/vols/new:/x:ro":        paths,
		"/mnt/disk:/x:ro":            paths, // brings along a mount of all
		"/mnt/disk/root/data:/x:ro":  paths,
		"/mnt/disk/root/srv:/x:ro":   "",
		"/mnt/plain:/x":              "",
		"/var/srv/app:/x":            "", // by its own name, not by that of /sysroot
		"/sysroot:/x:ro":             paths,
		"/media/sock:/x:ro":          paths,
		"/media/copy:/x":             paths,
		"/media/copy:/x:ro":          "",
	} {
		t.Run(strings.ReplaceAll(raw, "/", "|"), func(t *testing.T) {
			t.Parallel()
			check(t, rules.Container(t.Context(), Subject{Host: &container.HostConfig{Binds: []string{raw}}}, nil), want)
		})
	}
}

// TestGivenElsewhere: a folder that containers write is that folder wherever
// it is mounted.
func TestGivenElsewhere(t *testing.T) {
	t.Parallel()
	root := host(t, "/srv/data/folder/deep/", "/mnt/again/deep/", "/mnt/sub/deep/")
	mounting(t, root, "30 22 0:20 /srv/data /mnt/again rw - ext4 /dev/sda rw", "31 22 0:20 /srv/data/folder /mnt/sub rw - ext4 /dev/sda rw")
	rules := New(standard(t, `{"binds": ["/srv/data"]}`), Options{Root: root})
	for raw, want := range map[string]policy.Setting{
		"/mnt/again/deep:/x:ro": binds, "/mnt/sub/deep:/x:ro": binds, "/mnt:/x:ro": binds, "/mnt/again:/x:ro": "", "/srv/other:/x:ro": "",
	} {
		check(t, rules.Container(t.Context(), Subject{Host: &container.HostConfig{Binds: []string{raw}}}, nil), want)
	}
}

func TestMountinfo(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"empty": "", "short": "22 1 0:20 /\n", "too long a line": strings.Repeat("x", 2<<20)} {
		root := t.TempDir()
		write(t, root, "/proc/self/mountinfo", text)
		if table, err := newTree(root).mounts(); err == nil {
			t.Errorf("%s: read as %v", name, table)
		}
	}
	root := t.TempDir()
	write(t, root, "/proc/self/mountinfo", "22 1 0:20 /@ / rw\n23 22 0:21 / /a\\040b rw\n24 23 0:22 /x /a\\040b rw\n")
	for name, want := range map[string]onDisk{"/": {"0:20", "/@"}, "/etc": {"0:20", "/@/etc"}, "/a b": {"0:22", "/x"}, "/a b/c": {"0:22", "/x/c"}, "/a": {"0:20", "/@/a"}} {
		if got, err := newTree(root).onDisk(name); err != nil || got != want {
			t.Errorf("%s: got %v, %v, want %v", name, got, err, want)
		}
	}
}

// TestPlaces: what leads to root or to keys on the hosts that there are.
func TestPlaces(t *testing.T) {
	t.Parallel()
	rules := New(standard(t, "{}"), Options{Root: host(t), DataRoot: "/var/lib/docker"})
	for _, raw := range []string{
		"/var/snap/lxd/common/lxd/unix.socket:/s:ro", "/var/lib/lxd/unix.socket:/s:ro", "/var/lib/incus/unix.socket:/s:ro",
		"/var/lib/snapd:/h:ro", "/var/lib/machines:/h:ro", "/var/lib/portables:/h:ro", "/var/lib/etcd:/h:ro", "/var/lib/sss:/h:ro",
		"/var/lib/samba/private:/h:ro", "/var/lib/krb5kdc:/h:ro", "/var/kerberos/krb5kdc:/h:ro", "/etc/letsencrypt:/h:ro", "/etc/ipsec.secrets:/h:ro",
		"/var/lib/cloud:/h:ro", "/var/lib/kubelet/config.yaml:/h:ro", "/root/.netrc:/h:ro", "/var/lib/systemd:/h:ro", "/.snapshots/1/snapshot/etc:/h:ro",
		"/var/lib/extensions:/h", "/var/lib/confexts:/h", "/var/log/docker-stig:/h", "/var/cache/ldconfig:/h", "/etc/sudoers.d:/h", "/etc/polkit-1/rules.d:/h",
		"/etc/pam.d:/h", "/etc/ld.so.preload:/h", "/etc/dracut.conf.d:/h", "/etc/initramfs-tools/hooks:/h", "/etc/grub.d:/h", "/boot/grub:/h", "/etc/cloud:/h",
	} {
		check(t, rules.Container(t.Context(), Subject{Host: &container.HostConfig{Binds: []string{raw}}}, nil), paths)
	}
}
