package command

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/docker-stig/docker-stig/cli-plugin/signing"
	"github.com/docker/cli/cli/command"
)

// TestUnknownRootIsAccepted wants a root that nobody has seen to be named, or
// asked about, whatever --yes says.
func TestUnknownRootIsAccepted(t *testing.T) {
	t.Parallel()
	one, two := strings.Repeat("1", 64), strings.Repeat("2", 64)
	unknown := []signing.Reviewed{{GUN: "registry.example.com/prod/app", RootKeys: []string{one}}}
	both := []signing.Reviewed{{GUN: "registry.example.com/prod/app", RootKeys: []string{one, two}}}
	for name, c := range map[string]struct {
		unknown []signing.Reviewed
		said    []string
		want    string // "": accepted
	}{
		"all are known":       {nil, nil, ""},
		"named":               {unknown, []string{one}, ""},
		"all of its keys":     {both, []string{two, one}, ""},
		"not asked, with yes": {unknown, nil, "--yes does not vouch for it"},
		"another is named":    {unknown, []string{two}, "another key than --accept-root names"},
		"one of two is named": {both, []string{one}, "another key than --accept-root names"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			dockerCLI, err := command.NewDockerCli(command.WithCombinedStreams(&out), command.WithInputStream(io.NopCloser(strings.NewReader("yes\n"))))
			if err != nil {
				t.Fatal(err)
			}
			err = signOptions{yes: true, roots: c.said}.acceptRoots(t.Context(), dockerCLI, c.unknown)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("want %q, got %v", c.want, err)
			}
		})
	}
}
