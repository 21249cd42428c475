package command

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker-stig/docker-stig/shared/trust/policy"
	"github.com/docker/cli/cli/command"
)

// TestFirstPolicy holds what a policy begins as to refusing nothing, and to
// taking a pin.
func TestFirstPolicy(t *testing.T) {
	t.Parallel()
	id := strings.Repeat("a", 64)
	pinned, err := policy.AddRootKeys([]byte(firstPolicy), "example.com/app", []string{id})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	dockerCLI, err := command.NewDockerCli(command.WithCombinedStreams(&out))
	if err != nil {
		t.Fatal(err)
	}
	f := &policyFile{path: filepath.Join(t.TempDir(), "docker-stig", "policy.json"), text: []byte(firstPolicy)}
	changed, err := f.change(t.Context(), dockerCLI, pinned, true, "")
	if err != nil || !changed {
		t.Fatalf("changed %v, error %v", changed, err)
	}
	for _, want := range []string{"There is no policy at " + f.path, "+    \"mode\": \"permissive\",", id} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("shown is\n%s\nwithout %s", out.String(), want)
		}
	}
	loaded, err := policy.Load(f.path)
	if err != nil {
		t.Fatal(err)
	}
	if loaded.ContentTrust.Mode != policy.Permissive || loaded.ContentTrust.TrustPinning.RootKeys["example.com/app"][0] != id {
		t.Errorf("the policy is %+v", loaded.ContentTrust)
	}
}

// TestWritable tries a folder in which not even root can make a file.
func TestWritable(t *testing.T) {
	t.Parallel()
	err := writable("/proc/policy.json")
	if err == nil || !strings.Contains(err.Error(), "/proc/policy.json cannot be written, so nothing was changed") {
		t.Errorf("error is %v", err)
	}
	dir := t.TempDir()
	if err := writable(filepath.Join(dir, "policy.json")); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, error %v", left, err)
	}
}
