package dtr

import (
	"bytes"
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

// A page is one answer of a list. Whoever reads it sets how many entries it
// has.
type page struct {
	mgmt.Answer
	entries int
}

// pages asks for one page of a list after the other. After an error there is
// no further page.
func (c *Client) pages(ctx context.Context, path []string, query url.Values) iter.Seq2[*page, error] {
	return func(yield func(*page, error) bool) {
		starts := map[string]bool{}
		start := ""
		var last mgmt.Answer
		for range maxPages {
			answer, err := c.session.Do(ctx, c.page(path, query, start, c.pageSize))
			if err != nil {
				yield(nil, err)
				return
			}
			read := &page{Answer: answer}
			if !yield(read, nil) {
				return
			}
			next := answer.Header.Get(nextPage)
			if next == "" {
				if err := c.isLast(ctx, read, c.page(path, query, start, c.pageSize-1)); err != nil {
					yield(nil, err)
				}
				return
			}
			if starts[next] {
				yield(nil, answer.Malformed("the pages go round in a circle: "+nextPage+" names a page for the second time"))
				return
			}
			starts[next] = true
			start, last = next, answer
		}
		yield(nil, last.Malformed(fmt.Sprintf("the list has more than %d pages", maxPages)))
	}
}

// isLast doubts a page that is full and names no next: what names it may have
// been lost on the way. Asked for one entry less, it has to name one, unless
// the list knows no pages and is the same again.
func (c *Client) isLast(ctx context.Context, full *page, shorter mgmt.Request) error {
	if full.entries != c.pageSize || c.pageSize < 2 {
		return nil
	}
	answer, err := c.session.Do(ctx, shorter)
	if err != nil {
		return err
	}
	if answer.Header.Get(nextPage) == "" && !bytes.Equal(answer.Body, full.Body) {
		return answer.Malformed(nextPage + " is missing from a page that cannot be the last, so the list may go on: see that nothing between (proxy, load balancer) takes headers away")
	}
	return nil
}

// page is the request for the page that begins at start, of so many entries.
func (c *Client) page(path []string, query url.Values, start string, size int) mgmt.Request {
	values := url.Values{"pageSize": {strconv.Itoa(size)}}
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
