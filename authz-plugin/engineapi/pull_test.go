package engineapi

import (
	"errors"
	"testing"

	"github.com/docker-stig/docker-stig/shared/engine"
)

// TestPullHasNoHiddenBody: the engine reads what to pull from a form in the
// body too, whatever the address says, and authorization is not shown it.
func TestPullHasNoHiddenBody(t *testing.T) {
	t.Parallel()
	long := map[string]string{"Content-Length": "40"}
	for _, query := range []string{"", "?fromSrc=-", "?fromSrc=-&repo=a.io/x", "?fromImage=a.io/x&tag=v1"} {
		target, err := Parse("POST", "/images/create"+query)
		if err != nil {
			t.Fatal(err)
		}
		// Of a header that is given twice only the last value is seen.
		for _, kind := range []string{"application/x-www-form-urlencoded", "text/plain", "application/x-tar", ""} {
			typed := map[string]string{"Content-Type": kind, "Content-Length": "40"}
			refusal := new(engine.Refusal)
			if _, err := (Finder{}).Demand(t.Context(), target, Request{Header: typed}); !errors.As(err, &refusal) || refusal.Reason != "hidden-body" {
				t.Errorf("%s with a body of %q: got %v", query, kind, err)
			}
		}
		for name, header := range map[string]map[string]string{"no body": {"Content-Length": "0", "Content-Type": "text/plain"}, "no kind": long, "chunks": {}} {
			demand, err := Finder{}.Demand(t.Context(), target, Request{Header: header})
			if err != nil || (len(demand.Images) == 1) != (query == "?fromImage=a.io/x&tag=v1") {
				t.Errorf("%s, %s: got %+v, %v", query, name, demand, err)
			}
		}
	}
}
