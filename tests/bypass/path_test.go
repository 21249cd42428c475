package bypass

import (
	"context"
	"net/http"
	"strings"
)

// pathAttempts ask for a route in a way that a plain comparison of paths does
// not know.
var pathAttempts = each("(unsigned)", []attempt{
	{name: "without a version", do: at("/containers/create")},
	{name: "by the oldest version", do: at("/v1.12/containers/create"), on: docker},
	{name: "by an odd version", do: at("/v1.41.0/containers/create"), on: docker},
	{name: "by a version with zeros", do: at("/v01.0041/containers/create"), on: docker},
	{name: "by a percent-encoded path", do: at("/v1.41/%63ontainers/create")},
	{name: "by a percent-encoded version", do: at("/%761.41/containers/%63reate")},
	{name: "by a percent-encoded slash", do: at("/containers%2fcreate")},
	{name: "by an absolute address", do: at("http://engine/containers/create")},
	{name: "by an absolute address of any scheme", do: at("unix://x:y@z/%63ontainers/create")},
	{name: "start by a percent-encoded slash", before: older, do: func(ctx context.Context, a *try) error {
		return a.startAt(ctx, "/containers/"+a.called("old")+"%2fstart")
	}},
	{name: "start by a percent-encoded name", before: older, do: func(ctx context.Context, a *try) error {
		return a.startAt(ctx, "/v1.41/containers/"+encodedAll(a.called("old"))+"/%73tart")
	}},
	{name: "start by an absolute address", before: older, do: func(ctx context.Context, a *try) error {
		return a.startAt(ctx, "http://engine/v1.41/containers/"+a.called("old")+"/start")
	}},
})

// at creates a container of the unsigned image by a path.
func at(path string) func(context.Context, *try) error {
	return func(ctx context.Context, a *try) error {
		q := ask{target: path + "?name=" + a.called("posted"), body: encoded(container(a.unsigned.Ref, a.program(), nil)), header: jsonHeader}
		return a.post(ctx, q)
	}
}

// older makes, before the plugin comes, a container of the unsigned image that
// is called old.
func older(ctx context.Context, a *try) (err error) {
	a.made["old"], err = a.create(ctx, "old", container(a.unsigned.Ref, a.program(), nil))
	return err
}

func (a *try) startAt(ctx context.Context, target string) error {
	if _, err := a.raw(ctx, ask{method: http.MethodPost, target: target}); err != nil {
		return err
	}
	return a.wait(ctx, a.called("old"))
}

// encodedAll writes each byte of a text as percent-encoding would.
func encodedAll(text string) string {
	const digits = "0123456789abcdef"
	var out strings.Builder
	for _, c := range []byte(text) {
		out.Write([]byte{'%', digits[c>>4], digits[c&15]})
	}
	return out.String()
}
