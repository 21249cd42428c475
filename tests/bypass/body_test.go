package bypass

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/docker-stig/docker-stig/tests/testbed"
)

// mebibyte is where some engines cease to show a body to their plugins.
const mebibyte = 1 << 20

// bodyAttempts send a body in a form in which some engine does not show it to
// its plugin, or shows it otherwise described.
var bodyAttempts = each("(unsigned)", []attempt{
	{name: "body in chunks", do: sent(func(_ *try, q *ask) { q.chunked = true })},
	{name: "body of more than a mebibyte", about: hiddenOrUnsigned, do: sent(func(_ *try, q *ask) {
		q.body = append([]byte(strings.Repeat(" ", mebibyte+1)), q.body...)
	})},
	{name: "body of more than a mebibyte, in chunks", about: hiddenOrUnsigned, do: sent(func(_ *try, q *ask) {
		q.body = append([]byte(strings.Repeat(" ", mebibyte+1)), q.body...)
		q.chunked = true
	})},
	{name: "content type in capitals", do: sent(func(_ *try, q *ask) { q.header = []string{"Content-Type: APPLICATION/JSON"} })},
	{name: "content type with a parameter", do: sent(func(_ *try, q *ask) { q.header = []string{`Content-Type: application/json; charset="utf-8"`} })},
	{name: "content type twice", do: sent(func(_ *try, q *ask) { q.header = append(jsonHeader, "Content-Type: text/plain") })},
	{name: "content type twice, in another case", do: sent(func(_ *try, q *ask) { q.header = append(jsonHeader, "content-type: application/x-tar") })},
	{name: "length and chunks", do: sent(func(_ *try, q *ask) { q.chunked, q.header = true, append(jsonHeader, "Content-Length: 2") })},
	{name: "length given twice", do: sent(func(_ *try, q *ask) { q.header = append(jsonHeader, "Content-Length: "+strconv.Itoa(len(q.body))) })},
	{name: "body announced by Expect", do: sent(func(_ *try, q *ask) { q.header = append(jsonHeader, "Expect: 100-continue") })},
	{name: "behind a harmless request", do: sent(func(_ *try, q *ask) {
		q.before = "GET /_ping HTTP/1.1\r\nHost: engine\r\n\r\n"
	})},
	{name: "query that ends as the route of logins", do: sent(func(a *try, q *ask) { q.target = "/v1.41/containers/create?name=" + a.called("posted") + "&x=/auth" })},
	{name: "start with a host configuration", about: says("a start with a body"), on: docker, do: func(ctx context.Context, a *try) error {
		id, err := a.create(ctx, "bare", container(a.signed.Ref, a.reach("[ -d /h"+a.scratch+" ]"), nil))
		if err != nil {
			return err
		}
		if _, err := a.call(ctx, http.MethodPost, "/v1.23/containers/"+id+"/start", object{"Binds": []string{"/:/h"}, "NetworkMode": "none"}); err != nil {
			return err
		}
		return a.wait(ctx, id)
	}},
	{name: "start with a host configuration in chunks", about: says("a start with a body"), on: docker, do: func(ctx context.Context, a *try) error {
		id, err := a.create(ctx, "bare", container(a.signed.Ref, a.reach("[ -d /h"+a.scratch+" ]"), nil))
		if err != nil {
			return err
		}
		q := ask{
			method: http.MethodPost, target: "/v1.23/containers/" + id + "/start", chunked: true, header: jsonHeader,
			body: []byte(`{"Binds":["/:/h"],"NetworkMode":"none"}`),
		}
		if _, err := a.raw(ctx, q); err != nil {
			return err
		}
		return a.wait(ctx, id)
	}},
})

// hiddenOrUnsigned is what is wrong with a long body: the older engine does not
// show it.
func hiddenOrUnsigned(a *try) string {
	if a.kind == testbed.Docker {
		return "the engine showed none"
	}
	return "(unsigned)"
}

// sent creates a container of the unsigned image by a request that change has
// had in hand, and starts it.
func sent(change func(*try, *ask)) func(context.Context, *try) error {
	return func(ctx context.Context, a *try) error {
		q := ask{body: encoded(container(a.unsigned.Ref, a.program(), nil)), header: jsonHeader}
		change(a, &q)
		return a.post(ctx, q)
	}
}
