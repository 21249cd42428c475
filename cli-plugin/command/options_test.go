package command

import (
	"testing"

	"github.com/spf13/pflag"
)

// TestParallel: the flag takes what the servers' clients take, and wins over
// site.yaml.
func TestParallel(t *testing.T) {
	t.Parallel()
	three := 3
	for _, test := range []struct {
		args []string
		file *int
		want int
		bad  bool
	}{
		{nil, nil, 0, false}, // the client's own number
		{nil, &three, 3, false},
		{[]string{"--parallel", "1"}, &three, 1, false},
		{[]string{"--parallel=256"}, nil, 256, false},
		{[]string{"--parallel", "0"}, nil, 0, true},
		{[]string{"--parallel", "257"}, nil, 0, true},
		{[]string{"--parallel", "-1"}, nil, 0, true},
		{[]string{"--parallel", "many"}, nil, 0, true},
	} {
		var o hostOptions
		flags := pflag.NewFlagSet("check", pflag.ContinueOnError)
		o.addFlags(flags)
		if err := flags.Parse(test.args); (err != nil) != test.bad {
			t.Errorf("%q: error is %v", test.args, err)
		}
		if got := o.parallel.or(test.file); got != test.want && !test.bad {
			t.Errorf("%q: got %d, want %d", test.args, got, test.want)
		}
	}
}
