package testbed

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// The module's programs, as Main builds them.
const (
	CLIPlugin   = "github.com/docker-stig/docker-stig/cli-plugin/cmd/docker-stig"
	AuthzPlugin = "github.com/docker-stig/docker-stig/authz-plugin/cmd/docker-stig-authz"
)

// Main runs a package's tests with some of the module's programs, built as
// they are released, in a folder that it puts into folder. It is for TestMain
// and gives what that exits with.
func Main(m *testing.M, folder *string, programs ...string) int {
	dir, err := os.MkdirTemp("", "stig")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	*folder = dir
	build := exec.Command("go", append([]string{"build", "-trimpath", "-o", dir + "/"}, programs...)...)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the programs: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}
