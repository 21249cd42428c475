package command

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// TestReaderHasGone runs TestReaderHasGoneHelper, whose standard output and
// error nobody reads.
func TestReaderHasGone(t *testing.T) {
	t.Parallel()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestReaderHasGoneHelper$")
	cmd.Env = append(os.Environ(), "STIG_HELPER=1")
	cmd.Stdout, cmd.Stderr = writer, writer
	exited := new(exec.ExitError)
	if err := cmd.Run(); !errors.As(err, &exited) || exited.ExitCode() != goneWell {
		t.Errorf("the helper: %v", err)
	}
}

// goneWell is none of the exit codes of a test.
const goneWell = 42

func TestReaderHasGoneHelper(t *testing.T) {
	if os.Getenv("STIG_HELPER") == "" {
		t.Skip("it is for TestReaderHasGone")
	}
	ctx, stop := whileWanted(t.Context())
	defer stop()
	for _, file := range []*os.File{os.Stdout, os.Stderr} {
		if _, err := file.WriteString("x"); !errors.Is(err, syscall.EPIPE) {
			os.Exit(1)
		}
	}
	if ctx.Err() == nil {
		os.Exit(goneWell)
	}
}
