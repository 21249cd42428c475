package dtr

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"github.com/docker-stig/docker-stig/cli-plugin/host/mgmt"
)

const (
	nextPage = "X-Next-Page-Start" // header; absent or empty on the last page
	maxPages = 10_000              // of one list: a million entries at 100 a page
)

// pages asks for one page of a list after the other. After an error there is
// no further page.
func (c *Client) pages(ctx context.Context, path []string, query url.Values) iter.Seq2[mgmt.Answer, error] {
	return func(yield func(mgmt.Answer, error) bool) {
		starts := map[string]bool{}
		start := ""
		var last mgmt.Answer
		for range maxPages {
			answer, err := c.session.Do(ctx, c.page(path, query, start))
			if err != nil {
				yield(mgmt.Answer{}, err)
				return
			}
			if !yield(answer, nil) {
				return
			}
			start = answer.Header.Get(nextPage)
			if start == "" {
				return
			}
			if starts[start] {
				yield(mgmt.Answer{}, answer.Malformed("the pages go round in a circle: "+nextPage+" names a page for the second time"))
				return
			}
			starts[start] = true
			last = answer
		}
		yield(mgmt.Answer{}, last.Malformed(fmt.Sprintf("the list has more than %d pages", maxPages)))
	}
}

// page is the request for the page that begins at start.
func (c *Client) page(path []string, query url.Values, start string) mgmt.Request {
	values := url.Values{"pageSize": {strconv.Itoa(c.pageSize)}}
	for key, value := range query {
		values[key] = value
	}
	if start != "" {
		values.Set("pageStart", start)
	}
	return mgmt.Request{
		Method: http.MethodGet,
		Path:   path,
		Query:  values,
		Accept: "application/json",
		Limit:  maxPage,
	}
}
