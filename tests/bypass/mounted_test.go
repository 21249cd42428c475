package bypass

import (
	"context"
	"errors"
	"os"
)

// mountedAttempts change what is mounted in a container already, and read-only:
// the engine hands the options of what a container has in memory to mount(2).
// The runtime beside the newer engine mounts by a handle, which takes no remount.
var mountedAttempts = []attempt{
	{name: "kernel's settings remounted by a tmpfs", about: says("remount"), on: docker, do: func(ctx context.Context, a *try) error {
		// The value that is there is written: nothing of the host changes.
		const writes = "(for f in /sys/block/*/queue/read_ahead_kb /sys/kernel/mm/transparent_hugepage/khugepaged/pages_to_scan /sys/kernel/profiling; do v=$(busybox cat $f) && echo $v >$f && exit 0; done; exit 1) 2>/dev/null"
		return a.remounts(ctx, writes, nil, "/sys/.")
	}},
	{name: "read-only bind remounted by a tmpfs", about: says("remount"), on: docker, before: lend, after: takeBack, do: func(ctx context.Context, a *try) error {
		return a.remounts(ctx, "echo container >/e/file", []string{a.own() + ":/e:ro"}, "/e/.")
	}},
	{name: "what is mounted below a read-only bind, forced by an option that the engine does not know", about: says("protect."), on: docker, do: func(ctx context.Context, a *try) error {
		return a.run(ctx, container(a.signed.Ref, a.reach(writesBelow(a)), mounts(forcedReadOnly())))
	}},
	{name: "what is mounted below a read-only bind of a service", about: says("mounted below"), on: docker, slow: true, before: inSwarm, after: endServices, do: func(ctx context.Context, a *try) error {
		return a.service(ctx, a.mounting(forcedReadOnly(), a.reach(writesBelow(a))))
	}},
}

// remounts runs a program with a tmpfs that is none. Without that the program
// must fail, or its success would prove nothing.
func (a *try) remounts(ctx context.Context, writes string, binds []string, target string) error {
	control := container(a.signed.Ref, a.script("! "+writes), object{"Binds": binds})
	if err := a.runAs(ctx, "control", control); err != nil {
		return errors.Join(errors.New("what is read-only is not"), err)
	}
	return a.run(ctx, container(a.signed.Ref, a.reach(writes), object{"Binds": binds, "Tmpfs": object{target: "remount,rw"}}))
}

// lend mounts a file system of its own on the own folder, where the engine sees
// it.
func lend(ctx context.Context, a *try) error {
	_, err := a.inEngine(ctx, "mkdir -p "+a.own()+" && mount -t tmpfs -o mode=0755 none "+a.own()+" && echo host >"+a.own()+"/file")
	return err
}

func takeBack(ctx context.Context, a *try) {
	_, _ = a.inEngine(ctx, "umount "+a.own()) // it may not be mounted
	_ = os.RemoveAll(a.own())
}

func forcedReadOnly() object {
	return object{"Type": "bind", "Source": "/sys", "Target": "/s", "ReadOnly": true, "BindOptions": object{"ReadOnlyForceRecursive": true}}
}

func writesBelow(a *try) string {
	return "(for d in /s/fs/cgroup /s/fs/cgroup/*; do busybox mkdir $d/" + a.nonce + " && busybox rmdir $d/" + a.nonce + " && exit 0; done; exit 1)"
}
