package bypass

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/docker-stig/docker-stig/tests/testbed"
)

// takeoverAttempts run the signed image in a way that hands it the host. The
// program tells whether it holds what it came for.
var takeoverAttempts = []attempt{
	reachBy("root of the host", binds("/:/h"), inHost),
	reachBy("root of the host, read-only", binds("/:/h:ro"), inHost),
	reachBy("root of the host, by another spelling", binds("/proc/..:/h"), inHost),
	reachBy("root of the host as a mount", func(*try) object { return mounts(object{"Type": "bind", "Source": "/", "Target": "/h"}) }, inHost),
	reachBy("folder of the processes", binds("/proc:/h"), func(*try) string { return "[ -e /h/1/environ ] && [ -w /h/sys ]" }),
	reachBy("folder of the devices", binds("/dev:/h"), func(*try) string { return "[ -c /h/kmsg ]" }),
	reachBy("folder of the kernel's settings", binds("/sys:/h"), func(*try) string { return "[ -w /h/kernel ]" }),
	reachBy("folder of the configuration", binds("/etc:/h"), func(*try) string { return "[ -e /h/shadow ]" }),
	reachBy("socket of the engine", func(a *try) object { return bind(a.engineSocket() + ":/s") }, func(*try) string { return "[ -S /s ]" }),
	reachBy("socket of the engine as a mount", func(a *try) object {
		return mounts(object{"Type": "bind", "Source": a.engineSocket(), "Target": "/s", "ReadOnly": true})
	}, func(*try) string { return "[ -S /s ]" }),
	reachBy("folder of the engine's socket", func(a *try) object { return bind(a.Dir() + ":/h") }, func(*try) string { return "[ -S /h/d.sock ]" }),
	reachBy("folder of the engine's data", func(a *try) object { return bind(a.data() + ":/h") }, func(*try) string { return "[ -d /h/containers ]" }),
	reachBy("folder in the engine's data", func(a *try) object { return bind(a.data() + "/containers:/h") }, func(*try) string { return "[ -d /h/$(cat /etc/hostname)* ]" }),
	reachBy("policy file", func(a *try) object { return bind(a.PolicyFile() + ":/h") }, func(*try) string { return "[ -w /h ]" }),
	reachBy("folder of /run", binds("/run:/h"), func(*try) string { return "[ -d /h/docker/plugins ]" }),
	reachBy("folder of the plugins' sockets", binds("/run/docker/plugins:/h"), func(*try) string { return "echo >/h/x" }),
	reachBy("folder of the plugins' sockets, by /var/run", binds("/var/run/docker/plugins:/h"), func(*try) string { return "echo >/h/x" }),
	reachBy("folder of the engine's runtime", binds("/run/docker:/h"), func(*try) string { return "[ -d /h/plugins ]" }),
	reachBy("folder of containerd's socket", binds("/run/containerd:/h"), func(*try) string { return "echo >/h/x" }),
	reachBy("folder of the engine's configuration", binds("/etc/docker:/h"), func(*try) string { return "echo >/h/x" }),
	reachFolder("default folder of the engine's data", "/var/lib/docker"),
	reachFolder("folder of the plugin's policy", "/etc/docker-stig"),
	reachFolder("folder of the plugin's state", "/var/lib/docker-stig"),
	reachBy("another runtime", func(*try) object { return object{"Runtime": "second"} }, func(*try) string { return "true" }),
	{name: "folder that becomes a link", about: says("may be another path"), do: func(ctx context.Context, a *try) error { return a.retarget(ctx, false) }},
	{name: "link that is turned", about: says("may be another path"), do: func(ctx context.Context, a *try) error { return a.retarget(ctx, true) }},
	{name: "volumes of an older container", about: says("--volumes-from"), before: func(ctx context.Context, a *try) error {
		_, err := a.create(ctx, "old", container(a.signed.Ref, a.script("true"), bind("/:/h")))
		return err
	}, do: func(ctx context.Context, a *try) error {
		return a.run(ctx, container(a.signed.Ref, a.reach(inHost(a)), object{"VolumesFrom": []string{a.called("old")}}))
	}},
	{name: "older container of the signed image with the root of the host", about: says(`the bind of "/"`), before: func(ctx context.Context, a *try) error {
		_, err := a.create(ctx, "old", container(a.signed.Ref, a.reach(inHost(a)), bind("/:/h")))
		return err
	}, do: func(ctx context.Context, a *try) error { return a.start(ctx, a.called("old")) }},
	{name: "image mounted into the signed", about: says("(unsigned)"), on: moby, do: func(ctx context.Context, a *try) error {
		host := mounts(object{"Type": "image", "Source": a.repository() + "@" + a.unsigned.Digest, "Target": "/m"})
		return a.run(ctx, container(a.signed.Ref, a.script("/m/bin/busybox cat /m/marker >/proof-"+a.nonce), host))
	}},
	{name: "image mounted into the signed, after its tag has moved", about: says("can move to other content"), on: moby, do: func(ctx context.Context, a *try) error {
		host := mounts(object{"Type": "image", "Source": a.signed.Ref, "Target": "/m"})
		id, err := a.create(ctx, "mounts", container(a.repository()+"@"+a.signed.Digest, a.script("/m/bin/busybox cat /m/marker >/proof-"+a.nonce), host))
		if err != nil {
			return err
		}
		if err := a.tag(ctx, a.unsigned.Ref, a.repository(), "1"); err != nil {
			return err
		}
		again, err := a.create(ctx, "again", container(a.repository()+"@"+a.signed.Digest, a.script("/m/bin/busybox cat /m/marker >/proof-"+a.nonce), host))
		return errors.Join(a.start(ctx, id), err, a.start(ctx, again))
	}},
}

// reachBy is an attempt of the signed image with a host configuration, which
// succeeds when a test in the shell holds. The no has to be about what it asks.
func reachBy(name string, host func(*try) object, test func(*try) string) attempt {
	return attempt{name: name, about: func(a *try) string { return askedBy(host(a)) }, do: func(ctx context.Context, a *try) error {
		return a.run(ctx, container(a.signed.Ref, a.reach(test(a)), host(a)))
	}}
}

// reachFolder is reachBy for a folder of the host, which need not be there. An
// engine makes it when the container starts, and nothing is to be made on this
// host: without the folder only the create is tried.
func reachFolder(name, path string) attempt {
	return attempt{name: name, about: says(`the bind of "` + path + `"`), needs: exists(path), do: func(ctx context.Context, a *try) error {
		id, err := a.create(ctx, "run", container(a.signed.Ref, a.reach("[ -d /h ]"), bind(path+":/h")))
		if err != nil || a.lacks(a.bed) != "" {
			return err
		}
		return a.start(ctx, id)
	}}
}

// asks are the words of the plugin's no to an option of a host configuration.
var asks = map[string]string{
	"PidMode": "--pid=host", "NetworkMode": "--network=host", "IpcMode": "--ipc=host", "UTSMode": "--uts=host",
	"CgroupnsMode": "--cgroupns=host", "UsernsMode": "--userns=host", "Privileged": "a privileged container",
	"Devices": "the device ", "DeviceCgroupRules": "the device rule ", "MaskedPaths": "looks into the host's kernel",
	"CapAdd": "the capability %q", "SecurityOpt": "the security option %q", "Runtime": "the runtime %q",
}

// askedBy is what the no to a host configuration has to name.
func askedBy(host object) string {
	if list, ok := host["Binds"].([]string); ok {
		source, _, _ := strings.Cut(list[0], ":")
		return fmt.Sprintf("the bind of %q", path.Clean(source))
	}
	if list, ok := host["Mounts"].([]object); ok {
		return fmt.Sprintf("the bind of %q", list[0]["Source"])
	}
	for key, words := range asks {
		switch value := host[key].(type) {
		case nil:
		case []string:
			return strings.ReplaceAll(words, "%q", strconv.Quote(strings.Join(value, ",")))
		default:
			return strings.ReplaceAll(words, "%q", strconv.Quote(fmt.Sprint(value)))
		}
	}
	return "nothing that is known to be asked"
}

func with(a attempt, needs need) attempt {
	a.needs = needs
	return a
}

func only(a attempt, on []testbed.Engine) attempt {
	a.on = on
	return a
}

// inHost holds where /h is the root of the host.
func inHost(a *try) string { return "[ -d /h" + a.scratch + " ]" }

func bind(text string) object { return object{"Binds": []string{text}} }

func binds(text string) func(*try) object { return func(*try) object { return bind(text) } }

func mounts(all ...object) object { return object{"Mounts": all} }

// data is the folder of the engine's data.
func (b *bed) data() string { return filepath.Join(b.Dir(), "data") }

// engineSocket is where the engine listens, whoever stands before it.
func (b *bed) engineSocket() string { return filepath.Join(b.Dir(), "d.sock") }

// exists needs a path that a bind would otherwise make on this host.
func exists(path string) need {
	return func(*bed) string {
		if _, err := os.Stat(path); err != nil {
			return "there is no " + path + " here, and the attempt would make it"
		}
		return ""
	}
}

// retarget makes a container with a harmless folder of the host, puts a link
// to the engine's data in the folder's place, and starts it.
func (a *try) retarget(ctx context.Context, linked bool) error {
	source, good := filepath.Join(a.scratch, a.called("source")), filepath.Join(a.scratch, a.called("good"))
	if err := errors.Join(os.MkdirAll(good, 0o755), os.RemoveAll(source)); err != nil {
		return err
	}
	put := func() error { return os.Mkdir(source, 0o755) }
	if linked {
		put = func() error { return os.Symlink(good, source) }
	}
	if err := put(); err != nil {
		return err
	}
	id, err := a.create(ctx, "linked", container(a.signed.Ref, a.reach("[ -d /h/containers ]"), bind(source+":/h")))
	if err != nil {
		return err
	}
	if err := errors.Join(os.Remove(source), os.Symlink(a.data(), source)); err != nil {
		return err
	}
	return a.start(ctx, id)
}
