package bypass

import (
	"context"
	"net/http"
	"time"
)

// pluginAttempts have the engine run a managed plugin, whose program is root
// on the host if its configuration says so.
var pluginAttempts = each("requests.plugins", []attempt{
	{name: "managed plugin", do: func(ctx context.Context, a *try) error {
		if err := a.makePlugin(ctx, a.called("plugin")); err != nil {
			return err
		}
		return a.enable(ctx, a.called("plugin"))
	}},
	{name: "managed plugin of our name", do: func(ctx context.Context, a *try) error {
		if err := a.makePlugin(ctx, "docker-stig-authz"); err != nil {
			return err
		}
		return a.enable(ctx, "docker-stig-authz")
	}, after: func(ctx context.Context, a *try) {
		_, _ = a.bed.call(ctx, http.MethodDelete, "/plugins/docker-stig-authz?force=1", nil) // it may not have come to be
	}},
	{name: "managed plugin of an older day", before: func(ctx context.Context, a *try) error {
		return a.makePlugin(ctx, a.called("plugin"))
	}, do: func(ctx context.Context, a *try) error { return a.enable(ctx, a.called("plugin")) }},
	{name: "managed plugin, set up anew", before: func(ctx context.Context, a *try) error {
		return a.makePlugin(ctx, a.called("plugin"))
	}, do: func(ctx context.Context, a *try) error {
		if _, err := a.call(ctx, http.MethodPost, "/plugins/"+a.called("plugin")+"/set", []string{"WHO=me"}); err != nil {
			return err
		}
		return a.enable(ctx, a.called("plugin"))
	}},
})

// makePlugin hands the engine a plugin made on the spot.
func (a *try) makePlugin(ctx context.Context, name string) error {
	config := encoded(object{
		"description": "of a test", "documentation": "none", "entrypoint": a.program(), "workdir": "/",
		"interface": object{"types": []string{"docker.dummy/1.0"}, "socket": "dummy.sock"},
		"network":   object{"type": "none"},
		"env":       []object{{"name": "WHO", "settable": []string{"value"}, "value": "nobody"}},
		"linux":     object{"capabilities": nil, "allowAllDevices": false, "devices": nil},
	})
	files := map[string][]byte{"config.json": config}
	for name, content := range layerFiles("plugin " + a.nonce) {
		files["rootfs/"+name] = content
	}
	q := ask{method: http.MethodPost, target: "/plugins/create?name=" + name, body: archive(files), header: []string{"Content-Type: application/x-tar"}}
	_, err := a.raw(ctx, q)
	return err
}

// enable does not wait for the engine, which tries for long to speak to the
// program once it has started it.
func (a *try) enable(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	_, err := a.call(ctx, http.MethodPost, "/plugins/"+name+"/enable?timeout=0", nil)
	return err
}
