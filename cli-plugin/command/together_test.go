package command

import (
	"errors"
	"strings"
	"testing"

	"github.com/docker/cli/cli"
)

// TestTogether: neither of two errors is lost, and the first decides.
func TestTogether(t *testing.T) {
	t.Parallel()
	plain, refused := errors.New("1 of 3 repositories was not published"), exit(exitNo, "the policy refuses a tag")
	for name, c := range map[string]struct {
		first, second error
		code          int
		says          []string
	}{
		"plain first":  {plain, refused, 1, []string{"was not published", "refuses a tag"}},
		"a code first": {refused, plain, exitNo, []string{"was not published", "refuses a tag"}},
		"the second":   {nil, refused, exitNo, []string{"refuses a tag"}},
		"the first":    {refused, nil, exitNo, []string{"refuses a tag"}},
		"no error":     {nil, nil, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := together(c.first, c.second)
			if c.says == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			status := cli.StatusError{}
			if !errors.As(err, &status) || status.StatusCode != c.code {
				t.Errorf("got %#v, want code %d", err, c.code)
			}
			for _, want := range c.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is lost: %v", want, err)
				}
			}
		})
	}
}
