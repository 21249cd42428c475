package bypass

import (
	"context"
	"encoding/json"
	"net/http"
)

// decodeAttempts send a body that one reader understands differently than
// another.
var decodeAttempts = each("stands twice", []attempt{
	{name: "image named twice", do: written(func(a *try) string {
		return `{"Image":` + quoted(a.signed.Ref) + `,"Image":` + quoted(a.unsigned.Ref) + a.rest()
	})},
	{name: "image named twice, in another case", do: written(func(a *try) string {
		return `{"Image":` + quoted(a.signed.Ref) + `,"iMAGE":` + quoted(a.unsigned.Ref) + a.rest()
	})},
	{name: "image named in another case first", about: says("(unsigned)"), do: written(func(a *try) string {
		return `{"image":` + quoted(a.unsigned.Ref) + a.rest()
	})},
	{name: "image named twice, by an escape", do: written(func(a *try) string {
		return `{"Image":` + quoted(a.signed.Ref) + `,"\u0049mage":` + quoted(a.unsigned.Ref) + a.rest()
	})},
	{name: "image named twice, null last", do: written(func(a *try) string {
		return `{"Image":` + quoted(a.unsigned.Ref) + `,"Image":null` + a.rest()
	})},
	{name: "data behind the body", about: says("is not JSON"), on: docker, do: written(func(a *try) string {
		return `{"Image":` + quoted(a.unsigned.Ref) + a.rest() + ` {"Image":` + quoted(a.signed.Ref) + `}`
	})},
	{name: "a byte behind the body", about: says("is not JSON"), on: docker, do: written(func(a *try) string {
		return `{"Image":` + quoted(a.unsigned.Ref) + a.rest() + `]`
	})},
	{name: "a key folds to another by the long s", do: writtenReach(func(a *try) string {
		return `{"Image":` + quoted(a.signed.Ref) + `,"HostConfig":{"NetworkMode":"none"},"HoſtConfig":{"Binds":["/:/h"]}`
	})},
	{name: "a key in the key folds by the long s", about: says(`the bind of "/"`), do: writtenReach(func(a *try) string {
		return `{"Image":` + quoted(a.signed.Ref) + `,"HostConfig":{"NetworkMode":"none","Bindſ":["/:/h"]}`
	})},
	{name: "a key folds to another by the Kelvin sign", do: func(ctx context.Context, a *try) error {
		text := `{"Image":` + quoted(a.signed.Ref) + `,"HostConfig":{"NetworkMode":"none","Networ\u212aMode":"host"},"Cmd":` + string(encoded(a.reach(a.sameNamespace("net")))) + `}`
		return a.post(ctx, ask{body: []byte(text), header: jsonHeader})
	}},
	{name: "host configuration twice", do: writtenReach(func(a *try) string {
		return `{"Image":` + quoted(a.signed.Ref) + `,"HostConfig":{"Binds":["/:/h"]},"HostConfig":{"NetworkMode":"none"}`
	})},
	{name: "host configuration at the top", about: says("outside of HostConfig"), on: docker, do: writtenReach(func(a *try) string {
		return `{"Image":` + quoted(a.signed.Ref) + `,"Binds":["/:/h"],"NetworkMode":"none"`
	})},
	{name: "host configuration at the top, in another case", about: says("outside of HostConfig"), on: docker, do: writtenReach(func(a *try) string {
		return `{"Image":` + quoted(a.signed.Ref) + `,"bindſ":["/:/h"],"networkmode":"none"`
	})},
	{
		name: "an update that is written twice", late: true, before: rested("updated"),
		do: func(ctx context.Context, a *try) error {
			q := ask{
				method: http.MethodPost, target: "/containers/" + a.called("updated") + "/update", header: jsonHeader,
				body: []byte(`{"RestartPolicy":{"Name":"no"},"restartpolicy":{"Name":"always"}}`),
			}
			_, err := a.raw(ctx, q)
			return err
		},
	},
})

// rest is what follows the image in the body of a create.
func (a *try) rest() string {
	return `,"Cmd":` + string(encoded(a.program())) + `,"HostConfig":{"NetworkMode":"none"}}`
}

// written creates by a body given as text, and starts what comes of it.
func written(body func(*try) string) func(context.Context, *try) error {
	return func(ctx context.Context, a *try) error {
		return a.post(ctx, ask{body: []byte(body(a)), header: jsonHeader})
	}
}

// writtenReach is written for a body that lacks its end and the program, which
// looks for the root of the host in /h.
func writtenReach(body func(*try) string) func(context.Context, *try) error {
	return func(ctx context.Context, a *try) error {
		text := body(a) + `,"Cmd":` + string(encoded(a.reach("[ -d /h"+a.scratch+" ]"))) + `}`
		return a.post(ctx, ask{body: []byte(text), header: jsonHeader})
	}
}

// post creates a container by a request of any form, and starts it.
func (a *try) post(ctx context.Context, q ask) error {
	q.method = http.MethodPost
	if q.target == "" {
		q.target = "/containers/create?name=" + a.called("posted")
	}
	got, err := a.raw(ctx, q)
	if err != nil {
		return err
	}
	id, err := idIn(got)
	if err != nil {
		return err
	}
	return a.start(ctx, id)
}

func quoted(text string) string {
	raw, err := json.Marshal(text)
	if err != nil {
		panic(err) // a text can be written
	}
	return string(raw)
}
