package engine

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminals are sessions on a pseudoterminal, typed line by line.
func (b twice) terminals(t *testing.T, image string) {
	t.Helper()
	if out := b.bare.docker(t, "run", "--detach", "--tty", "--name", "lasting", "--network", "none", image, "sleep", "600"); out.code != 0 {
		t.Fatal(out.stderr)
	}
	defer b.bare.docker(t, "rm", "--force", "lasting")
	for name, args := range map[string][]string{
		"exec": {"exec", "--interactive", "--tty", "lasting", "sh"},
		"run":  {"run", "--rm", "--interactive", "--tty", "--network", "none", image, "sh"},
	} {
		t.Run(name, func(t *testing.T) {
			without, codeWithout := b.bare.typed(t, "echo $((6*7))\nexit 3\n", args...)
			with, codeWith := b.through.typed(t, "echo $((6*7))\nexit 3\n", args...)
			if !strings.Contains(with, "\n42\r\n") || codeWith != 3 || codeWithout != 3 {
				t.Errorf("with the guard the terminal shows (exit code %d)\n%s\nand without it (%d)\n%s", codeWith, with, codeWithout, without)
			}
		})
	}
}

// typed gives what a terminal shows on which the client runs, and its exit
// code.
func (b *bed) typed(t *testing.T, text string, args ...string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	here, there := openTerminal(t)
	defer here.Close()
	cmd := b.command(ctx, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = there, there, there
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = there.Close()
	shown := bufio.NewReader(here)
	var all strings.Builder
	for line := range strings.Lines(text) { // each when the shell asks for it
		for !strings.HasSuffix(all.String(), "# ") {
			c, err := shown.ReadByte()
			if err != nil {
				t.Fatalf("%v after\n%s", err, all.String())
			}
			all.WriteByte(c)
		}
		if _, err := io.WriteString(here, line); err != nil {
			t.Fatal(err)
		}
		all.WriteString("typed ")
	}
	rest, _ := io.ReadAll(shown) // ends with EIO, since nobody holds the other side any more
	all.Write(rest)
	_ = cmd.Wait() // the exit code is looked at
	return all.String(), cmd.ProcessState.ExitCode()
}

// openTerminal opens a pseudoterminal, as pty(7) has it.
func openTerminal(t *testing.T) (here, there *os.File) {
	t.Helper()
	here, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(here.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	there, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return here, there
}
