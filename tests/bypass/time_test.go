package bypass

import (
	"context"
	"errors"
	"net/http"
)

// timeAttempts use what was there before the plugin, or changes between a
// question and its answer.
var timeAttempts = each("(unsigned)", []attempt{
	{name: "older container, start", before: older, do: func(ctx context.Context, a *try) error { return a.start(ctx, a.called("old")) }},
	{name: "older container, start by ID", before: older, do: func(ctx context.Context, a *try) error { return a.start(ctx, a.made["old"]) }},
	{name: "older container, start by the beginning of its ID", before: older, do: func(ctx context.Context, a *try) error { return a.start(ctx, a.made["old"][:9]) }},
	{name: "older container, start with an empty object", on: docker, before: older, do: func(ctx context.Context, a *try) error {
		if _, err := a.call(ctx, http.MethodPost, "/v1.23/containers/"+a.called("old")+"/start", object{}); err != nil {
			return err
		}
		return a.wait(ctx, a.called("old"))
	}},
	{name: "older container, restart", before: older, do: func(ctx context.Context, a *try) error {
		if _, err := a.call(ctx, http.MethodPost, "/containers/"+a.called("old")+"/restart", nil); err != nil {
			return err
		}
		return a.wait(ctx, a.called("old"))
	}},
	{name: "older container, unpause", before: paused, do: func(ctx context.Context, a *try) error {
		q := ask{method: http.MethodPut, target: "/containers/" + a.called("old") + "/archive?path=/", body: archive(map[string][]byte{"go": nil})}
		if _, err := a.raw(ctx, q); err != nil {
			return err
		}
		_, err := a.call(ctx, http.MethodPost, "/containers/"+a.called("old")+"/unpause", nil)
		return err
	}},
	{name: "older container under the name of a newer", before: older, do: func(ctx context.Context, a *try) error {
		if _, err := a.create(ctx, "new", container(a.signed.Ref, a.program(), nil)); err != nil {
			return err
		}
		err := errors.Join(a.rename(ctx, "new", "away"), a.rename(ctx, "old", "new"))
		return errors.Join(err, a.start(ctx, a.called("new")))
	}},
	{name: "name that begins the ID of an older container", about: says("begins the ID of another"), before: older, do: func(ctx context.Context, a *try) error {
		name := a.made["old"][:8]
		made, err := a.call(ctx, http.MethodPost, "/containers/create?name="+name, container(a.signed.Ref, a.program(), nil))
		if err != nil {
			return err
		}
		id, err := idIn(made)
		if err != nil {
			return err
		}
		// The name is the newer one's until it is gone; both orders are tried.
		_, denied := a.call(ctx, http.MethodPost, "/containers/"+name+"/start", nil)
		_, err = a.bed.call(ctx, http.MethodDelete, "/containers/"+id+"?force=1", nil)
		return errors.Join(denied, err, a.start(ctx, name))
	}},
	{name: "restart policy for an older container", late: true, before: rested("old"), do: func(ctx context.Context, a *try) error {
		_, err := a.call(ctx, http.MethodPost, "/containers/"+a.called("old")+"/update", object{"RestartPolicy": object{"Name": "always"}})
		return err
	}},
	{name: "start from a checkpoint", about: says("a checkpoint cannot be vouched for"), needs: criu, do: func(ctx context.Context, a *try) error {
		id, err := a.create(ctx, "frozen", container(a.signed.Ref, a.script("cat /marker; exec sleep 1000"), nil))
		if err != nil {
			return err
		}
		_, err = a.call(ctx, http.MethodPost, "/containers/"+id+"/start?checkpoint=one&checkpoint-dir=/tmp", nil)
		return err
	}},
	{name: "making a checkpoint", about: says("checkpoints is denied"), needs: criu, do: func(ctx context.Context, a *try) error {
		id, err := a.create(ctx, "frozen", container(a.signed.Ref, a.script("exec sleep 1000"), nil))
		if err != nil {
			return err
		}
		_, err = a.call(ctx, http.MethodPost, "/containers/"+id+"/checkpoints", object{"CheckpointID": "one"})
		return err
	}},
})

func (a *try) rename(ctx context.Context, from, to string) error {
	_, err := a.call(ctx, http.MethodPost, "/containers/"+a.called(from)+"/rename?name="+a.called(to), nil)
	return err
}

// rested leaves a container of the unsigned image that has run and ended. Its
// program does what it is there for when it runs again.
func rested(name string) func(context.Context, *try) error {
	return func(ctx context.Context, a *try) error {
		program := a.script("[ -e /ran ] || { : >/ran; exit; }; " + a.program()[2])
		id, err := a.create(ctx, name, container(a.unsigned.Ref, program, nil))
		if err != nil {
			return err
		}
		return a.start(ctx, id)
	}
}

// paused leaves a paused container of the unsigned image, whose program waits
// for a file.
func paused(ctx context.Context, a *try) error {
	program := a.script("until [ -e /go ]; do sleep 0.1; done; " + a.program()[2])
	id, err := a.create(ctx, "old", container(a.unsigned.Ref, program, nil))
	if err != nil {
		return err
	}
	for _, act := range []string{"start", "pause"} {
		if _, err := a.call(ctx, http.MethodPost, "/containers/"+id+"/"+act, nil); err != nil {
			return err
		}
	}
	return nil
}

func criu(*bed) string { return "checkpoints need criu and an engine that takes experiments" }
