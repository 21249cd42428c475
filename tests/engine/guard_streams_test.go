package engine

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// streams are answers that come as they come, and input that ends before the
// output does.
func (b *bed) streams(t *testing.T, image string) {
	t.Helper()
	t.Run("input that ends", func(t *testing.T) {
		got := b.dockerWith(t, "some\ninput\n", "run", "--rm", "--interactive", "--network", "none", image, "sh", "-c", "cat; echo after")
		if got.code != 0 || got.stdout != "some\ninput\nafter\n" {
			t.Errorf("%+v", got)
		}
	})
	t.Run("attach", func(t *testing.T) {
		if out := b.docker(t, "run", "--detach", "--interactive", "--name", "attached", "--network", "none", image, "sh", "-c", "read line; echo got $line; exit 5"); out.code != 0 {
			t.Fatal(out.stderr)
		}
		// Its input stays open: the engine ends the output of attach with it.
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := b.command(ctx, "attach", "attached")
		input, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		var shown strings.Builder
		cmd.Stdout = &shown
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(input, "words\n"); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // the exit code is looked at
		if code := cmd.ProcessState.ExitCode(); code != 5 || shown.String() != "got words\n" {
			t.Errorf("exit code %d after %q", code, shown.String())
		}
	})
	t.Run("events and logs", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begun := strconv.FormatInt(time.Now().Unix(), 10)
		events := b.stream(ctx, t, "events", "--since", begun, "--filter", "container=followed", "--format", "{{.Action}}")
		if out := b.docker(t, "create", "--name", "followed", "--interactive", "--network", "none", image, "sh", "-c", "echo first; read line; echo $line"); out.code != 0 {
			t.Fatal(out.stderr)
		}
		if out := b.docker(t, "start", "followed"); out.code != 0 {
			t.Fatal(out.stderr)
		}
		logs := b.stream(ctx, t, "logs", "--follow", "followed")
		if line, err := logs.ReadString('\n'); line != "first\n" {
			t.Fatalf("%q, %v", line, err)
		}
		b.dockerWith(t, "second\n", "attach", "followed")
		if rest, err := io.ReadAll(logs); string(rest) != "second\n" {
			t.Errorf("the log went on with %q, %v", rest, err)
		}
		for want := range strings.FieldsSeq("create start attach die") {
			if line, err := events.ReadString('\n'); !strings.HasPrefix(line, want) {
				t.Errorf("event %q, %v, want %s", line, err, want)
			}
		}
	})
	t.Run("dial-stdio", func(t *testing.T) {
		got := b.dockerWith(t, "GET /_ping HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n", "system", "dial-stdio")
		if !strings.HasPrefix(got.stdout, "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(got.stdout, "OK") {
			t.Errorf("%+v", got)
		}
	})
}

// dockerWith runs the client with an input that ends.
func (b *bed) dockerWith(t *testing.T, input string, args ...string) output {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := b.command(ctx, args...)
	var stdout, stderr strings.Builder
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &stdout, &stderr
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	return output{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

func (b *bed) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, b.variable("STIG_DOCKER"), args...)
	cmd.Env = append(append(os.Environ(), b.Env()...), b.env...)
	return cmd
}

// stream gives what the client says while it runs, which it does as long as
// the test at most.
func (b *bed) stream(ctx context.Context, t *testing.T, args ...string) *bufio.Reader {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	cmd := b.command(ctx, args...)
	said, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = cmd.Wait() })
	return bufio.NewReader(said)
}
