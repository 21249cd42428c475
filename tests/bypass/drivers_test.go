package bypass

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"
)

// driverAttempts name a driver by a path, at which a plugin of the attempt's
// own listens; and have a swarm put together, from templates, what was judged
// as something else.
var driverAttempts = each("is no name of a plugin", []attempt{
	{name: "volume driver by path", do: func(ctx context.Context, a *try) error {
		return a.obey(ctx, func(driver string) error {
			host := bind(a.called("volume") + ":/h")
			host["VolumeDriver"] = driver
			return a.run(ctx, container(a.signed.Ref, a.reach(inHost(a)), host))
		})
	}},
	{name: "volume driver by path, of a volume without a name", do: func(ctx context.Context, a *try) error {
		return a.obey(ctx, func(driver string) error {
			body := container(a.signed.Ref, a.reach(inHost(a)), object{"VolumeDriver": driver})
			body["Volumes"] = object{"/h": object{}}
			return a.run(ctx, body)
		})
	}},
	{name: "volume driver by path, as a mount", do: func(ctx context.Context, a *try) error {
		return a.obey(ctx, func(driver string) error {
			m := object{"Type": "volume", "Source": a.called("volume"), "Target": "/h", "VolumeOptions": object{"DriverConfig": object{"Name": driver}}}
			return a.run(ctx, container(a.signed.Ref, a.reach(inHost(a)), mounts(m)))
		})
	}},
	{name: "volume driver by path, of a volume made before", do: func(ctx context.Context, a *try) error {
		return a.obey(ctx, func(driver string) error {
			if _, err := a.call(ctx, http.MethodPost, "/volumes/create", object{"Name": a.called("volume"), "Driver": driver}); err != nil {
				return err
			}
			return a.useVolume(ctx)
		})
	}},
	asksBy("log driver by path", func(ctx context.Context, a *try, driver string) error {
		return a.run(ctx, container(a.signed.Ref, a.script("true"), object{"LogConfig": object{"Type": driver}}))
	}),
	asksBy("network driver by path", func(ctx context.Context, a *try, driver string) error {
		_, err := a.call(ctx, http.MethodPost, "/networks/create", object{"Name": a.called("n"), "Driver": driver})
		return err
	}),
	asksBy("address driver by path", func(ctx context.Context, a *try, driver string) error {
		_, err := a.call(ctx, http.MethodPost, "/networks/create", object{"Name": a.called("n"), "Driver": "bridge", "IPAM": object{"Driver": driver}})
		return err
	}),
	{name: "service with a template for a source", about: says("is a template"), slow: true, before: inSwarm, after: endServices, do: func(ctx context.Context, a *try) error {
		return a.service(ctx, a.mounting(object{"Type": "bind", "Source": `/{{""}}`, "Target": "/h"}, a.reach(inHost(a))))
	}},
	{name: "service with a template in a volume's options", about: says("is a template"), slow: true, before: inSwarm, after: endServices, do: func(ctx context.Context, a *try) error {
		m := object{"Type": "volume", "Source": a.called("v"), "Target": "/h", "VolumeOptions": object{
			"DriverConfig": object{"Name": "local", "Options": object{"type": "tmpfs", "o": `{{"bi"}}nd`, "device": "/"}},
		}}
		return a.service(ctx, a.mounting(m, a.reach(inHost(a))))
	}},
})

// mounting is a service of the signed image with a mount.
func (a *try) mounting(mount object, program []string) object {
	spec := a.spec(a.repository()+"@"+a.signed.Digest, program)
	inTask(spec)["Mounts"] = []object{mount}
	return spec
}

// obey has the engine use a driver by a path, whose volumes are the root of the
// host. The driver lives as long as the attempt's bed: the engine keeps asking
// it for its volumes.
func (a *try) obey(ctx context.Context, use func(driver string) error) error {
	p, err := a.plugin(ctx)
	if err != nil {
		return err
	}
	return use(p.name)
}

// asksBy succeeds when the engine speaks to the driver of its own will.
func asksBy(name string, use func(context.Context, *try, string) error) attempt {
	return attempt{name: name, do: func(ctx context.Context, a *try) error {
		p, err := a.plugin(ctx)
		if err != nil {
			return err
		}
		err = use(ctx, a, p.name)
		a.made["asked"] = p.asked()
		return err
	}, proof: made("asked")}
}

// A madePlugin is a plugin of the engine at any path.
type madePlugin struct {
	name string

	mu      sync.Mutex
	volumes map[string]bool
	first   string
}

// plugin listens in the scratch folder as long as there is an engine: it asks
// for all volumes whenever it makes one, and long when nobody answers.
func (a *try) plugin(ctx context.Context) (*madePlugin, error) {
	socket := filepath.Join(a.scratch, a.nonce)
	l, err := new(net.ListenConfig).Listen(ctx, "unix", socket+".sock")
	if err != nil {
		return nil, err
	}
	p := &madePlugin{name: "../../.." + socket, volumes: map[string]bool{}}
	server := &http.Server{Handler: p, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }() // it ends with the listener
	a.atEnd(func() { _ = server.Close() })
	return p, nil
}

func (p *madePlugin) asked() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.first
}

func (p *madePlugin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var q struct{ Name string }
	_ = json.NewDecoder(r.Body).Decode(&q) // most questions are empty
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.first == "" {
		p.first = r.URL.Path
	}
	w.Header().Set("Content-Type", "application/vnd.docker.plugins.v1.1+json")
	switch r.URL.Path {
	case "/Plugin.Activate":
		fmt.Fprint(w, `{"Implements":["VolumeDriver","NetworkDriver","IpamDriver","LogDriver"]}`)
	case "/VolumeDriver.Capabilities":
		fmt.Fprint(w, `{"Capabilities":{"Scope":"local"}}`)
	case "/VolumeDriver.List":
		fmt.Fprint(w, `{"Volumes":[]}`)
	case "/VolumeDriver.Create":
		p.volumes[q.Name] = true
		fmt.Fprint(w, `{}`)
	case "/VolumeDriver.Get":
		if !p.volumes[q.Name] {
			fmt.Fprint(w, `{"Err":"no such volume"}`)
			return
		}
		fmt.Fprintf(w, `{"Volume":{"Name":%q,"Mountpoint":"/"}}`, q.Name)
	default:
		fmt.Fprint(w, `{"Mountpoint":"/","Scope":"local"}`)
	}
}
