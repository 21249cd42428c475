package bypass

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// execAttempts run a further program in a container of the signed image, with
// rights that the container has not.
var execAttempts = each("protect.exec-privileged", []attempt{
	{name: "privileged exec", needs: capabilities(), do: func(ctx context.Context, a *try) error {
		if err := a.stays(ctx, nil); err != nil {
			return err
		}
		return a.exec(ctx, object{"Privileged": true})
	}},
	{name: "privileged exec, written twice", about: says("stands twice"), needs: capabilities(), do: func(ctx context.Context, a *try) error {
		if err := a.stays(ctx, nil); err != nil {
			return err
		}
		q := ask{
			method: http.MethodPost, target: "/containers/" + a.called("stays") + "/exec", header: jsonHeader,
			body: []byte(`{"Privileged":true,"privileged":true,"Cmd":` + string(encoded(a.reach(holds("SYS_ADMIN")(a)))) + `}`),
		}
		got, err := a.raw(ctx, q)
		if err != nil {
			return err
		}
		return a.startExec(ctx, got)
	}},
	{name: "privileged exec of an older day", needs: capabilities(), before: func(ctx context.Context, a *try) error {
		if err := a.stays(ctx, nil); err != nil {
			return err
		}
		var err error
		a.made["exec"], err = a.makeExec(ctx, object{"Privileged": true})
		return err
	}, do: func(ctx context.Context, a *try) error { return a.startMade(ctx, a.made["exec"]) }},
})

// stays leaves a container of the signed image that runs.
func (a *try) stays(ctx context.Context, host object) error {
	id, err := a.create(ctx, "stays", container(a.signed.Ref, a.script("exec sleep 1000"), host))
	if err != nil {
		return err
	}
	_, err = a.call(ctx, http.MethodPost, "/containers/"+id+"/start", nil)
	return err
}

func (a *try) exec(ctx context.Context, options object) error {
	id, err := a.makeExec(ctx, options)
	if err != nil {
		return err
	}
	return a.startMade(ctx, id)
}

func (a *try) makeExec(ctx context.Context, options object) (string, error) {
	options["Cmd"] = a.reach(holds("SYS_ADMIN")(a))
	got, err := a.call(ctx, http.MethodPost, "/containers/"+a.called("stays")+"/exec", options)
	if err != nil {
		return "", err
	}
	return idIn(got)
}

func (a *try) startExec(ctx context.Context, made answer) error {
	id, err := idIn(made)
	if err != nil {
		return err
	}
	return a.startMade(ctx, id)
}

// startMade starts an exec and tells how its program ended.
func (a *try) startMade(ctx context.Context, id string) error {
	if _, err := a.call(ctx, http.MethodPost, "/exec/"+id+"/start", object{"Detach": true}); err != nil {
		return err
	}
	got, err := a.call(ctx, http.MethodGet, "/exec/"+id+"/json", nil)
	if err != nil {
		return err
	}
	var state struct {
		Running  bool
		ExitCode int
	}
	if err := json.Unmarshal(got.body, &state); err != nil || state.Running || state.ExitCode == 0 {
		return err
	}
	return fmt.Errorf("the program ended with %d", state.ExitCode)
}
