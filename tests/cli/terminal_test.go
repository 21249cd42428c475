package cli

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// converse FILE PROGRAM ARG... answers a program's questions on a terminal,
// with the lines "QUESTION=ANSWER" of the file, and keeps what the terminal
// showed in the file "shown".
func converse(t *testing.T) func(*testscript.TestScript, bool, []string) {
	t.Helper()
	return func(ts *testscript.TestScript, _ bool, args []string) {
		program, err := exec.LookPath(filepath.Join(filepath.SplitList(ts.Getenv("PATH"))[0], args[1]))
		ts.Check(err)
		here, there, err := openTerminal()
		ts.Check(err)
		defer here.Close()
		cmd := exec.CommandContext(t.Context(), program, args[2:]...)
		cmd.Dir = ts.Getenv("WORK")
		for _, name := range []string{"PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG", "STIG_STATE"} {
			cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
		}
		cmd.Stdin = there
		stderr, err := cmd.StderrPipe()
		ts.Check(err)
		ts.Check(cmd.Start())
		_ = there.Close()
		said := bufio.NewReader(stderr)
		for line := range strings.Lines(ts.ReadFile(args[0])) {
			question, answer, _ := strings.Cut(line, "=")
			ts.Check(awaitText(said, question))
			_, err := io.WriteString(here, answer)
			ts.Check(err)
		}
		rest, _ := io.ReadAll(said)
		if err := cmd.Wait(); err != nil {
			ts.Fatalf("%s: %v\n%s", args[1], err, rest)
		}
		shown, _ := io.ReadAll(here) // ends with EIO, since nobody holds the other side any more
		ts.Check(os.WriteFile(ts.MkAbs("shown"), shown, 0o600))
	}
}

// awaitText reads until a text has come.
func awaitText(r *bufio.Reader, text string) error {
	var said strings.Builder
	for !strings.HasSuffix(said.String(), text) {
		b, err := r.ReadByte()
		if err != nil {
			return fmt.Errorf("waiting for %q: %w after %q", text, err, said.String())
		}
		said.WriteByte(b)
	}
	return nil
}

// openTerminal opens a pseudoterminal, as pty(7) has it: our side and the
// program's.
func openTerminal() (here, there *os.File, err error) {
	here, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	if err := unix.IoctlSetPointerInt(int(here.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, err
	}
	n, err := unix.IoctlGetInt(int(here.Fd()), unix.TIOCGPTN)
	if err != nil {
		return nil, nil, err
	}
	there, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	return here, there, err
}
