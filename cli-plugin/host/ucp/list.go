package ucp

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"

	"github.com/docker-stig/docker-stig/cli-plugin/host/mgmt"
)

const (
	nextPage = "X-Next-Page-Start" // header; absent or empty on the last page
	maxList  = 16 << 20            // bytes of a page
	maxPages = 1_000               // of one list
	pageSize = 1_000               // entries asked for; UCP's own default is smaller
)

// list asks for all pages of a list and hands each to read, which says how
// many entries it had. UCP names the next page in a header; a full page that
// names none may have been cut, so it is an error.
func (c *Client) list(ctx context.Context, path []string, query url.Values, read func(mgmt.Answer) (int, error)) error {
	start, seen := "", map[string]bool{}
	for range maxPages {
		values := url.Values{"limit": {strconv.Itoa(pageSize)}}
		maps.Copy(values, query)
		if start != "" {
			values.Set("start", start)
		}
		answer, err := c.session.Do(ctx, mgmt.Request{Method: http.MethodGet, Path: path, Query: values, Accept: "application/json", Limit: maxList})
		if err != nil {
			return err
		}
		count, err := read(answer)
		if err != nil {
			return err
		}
		start = answer.Header.Get(nextPage)
		switch {
		case start == "" && count == pageSize:
			return answer.Malformed(fmt.Sprintf("the list ends at exactly the %d entries asked for, and %s is missing, so it may go on", pageSize, nextPage))
		case start == "":
			return nil
		case seen[start]:
			return answer.Malformed("the pages go round in a circle: " + nextPage + " names a page for the second time")
		}
		seen[start] = true
	}
	return fmt.Errorf("a list of UCP has more than %d pages: check that --ucp-url is UCP", maxPages)
}
