package bypass

import (
	"context"
	"net/http"
)

// volumeAttempts reach the host by volumes of the local driver, which mounts
// what its options say.
var volumeAttempts = each(`the bind of "/"`, []attempt{
	{name: "volume that is the root of the host", do: volume(rootOptions)},
	{name: "volume that is the root of the host, recursively", do: volume(object{"type": "none", "o": "rbind,rw", "device": "/"})},
	{name: "volume that lies over folders of the host", about: says("shows folders of the host"), do: func(ctx context.Context, a *try) error {
		if err := a.volume(ctx, object{"type": "overlay", "device": "overlay", "o": "lowerdir=/etc:/usr"}); err != nil {
			return err
		}
		return a.run(ctx, container(a.signed.Ref, a.reach("[ -e /h/shadow ]"), bind(a.called("volume")+":/h")))
	}},
	{
		name: "volume of an older day", before: func(ctx context.Context, a *try) error { return a.volume(ctx, rootOptions) },
		do: func(ctx context.Context, a *try) error { return a.useVolume(ctx) },
	},
	{
		name: "volume of an older day, as a mount", before: func(ctx context.Context, a *try) error { return a.volume(ctx, rootOptions) },
		do: func(ctx context.Context, a *try) error {
			return a.run(ctx, container(a.signed.Ref, a.reach(inHost(a)), mounts(object{"Type": "volume", "Source": a.called("volume"), "Target": "/h"})))
		},
	},
	{name: "volume made by the mount", do: func(ctx context.Context, a *try) error {
		return a.run(ctx, container(a.signed.Ref, a.reach(inHost(a)), mounts(inlineVolume(a.called("volume")))))
	}},
	{name: "volume made by the mount, without a name", do: func(ctx context.Context, a *try) error {
		return a.run(ctx, container(a.signed.Ref, a.reach(inHost(a)), mounts(inlineVolume(""))))
	}},
})

var rootOptions = object{"type": "none", "o": "bind", "device": "/"}

func inlineVolume(name string) object {
	return object{"Type": "volume", "Source": name, "Target": "/h", "VolumeOptions": object{"DriverConfig": object{"Name": "local", "Options": rootOptions}}}
}

// volume makes a volume and uses it.
func volume(options object) func(context.Context, *try) error {
	return func(ctx context.Context, a *try) error {
		if err := a.volume(ctx, options); err != nil {
			return err
		}
		return a.useVolume(ctx)
	}
}

func (a *try) volume(ctx context.Context, options object) error {
	_, err := a.call(ctx, http.MethodPost, "/volumes/create", object{"Name": a.called("volume"), "Driver": "local", "DriverOpts": options})
	return err
}

func (a *try) useVolume(ctx context.Context) error {
	return a.run(ctx, container(a.signed.Ref, a.reach(inHost(a)), bind(a.called("volume")+":/h")))
}
