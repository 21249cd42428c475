// Package engine has a dockerd of this machine act on its files: it lets the
// program itself say whether it would start with a daemon.json, has it read the
// file again or restarts it, and waits until it answers and stays up. Whether
// it may be restarted is its callers' to say.
package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/docker-stig/docker-stig/cli-plugin/change/program"
	"github.com/docker-stig/docker-stig/cli-plugin/change/systemd"
	"github.com/docker-stig/docker-stig/cli-plugin/host/daemon"
	"github.com/docker-stig/docker-stig/cli-plugin/host/process"
)

const (
	// validateSince is the API version, after "1.", of the first dockerd that
	// has --validate: 23.0.
	validateSince = 42
	// validateWithin bounds dockerd --validate, which opens a few files.
	validateWithin = 20 * time.Second
	// reloadWithin is how long an engine may take to read its file again.
	reloadWithin = 20 * time.Second
	// answerWithin bounds one question whether the engine is there.
	answerWithin = 5 * time.Second
	// upWithin is how long an engine may take to be back: one with many
	// containers loads them all, and waits 10 s for each that stops.
	upWithin = 3 * time.Minute
	// steadyFor is how long an engine has to stay up to count as up; one that
	// cannot start what it was told ends sooner.
	steadyFor = 2 * time.Second
	// goneFor is how long nobody may have started an engine again that had come
	// up and ended; systemd waits 2 s before it does.
	goneFor   = 20 * time.Second
	lookEvery = 100 * time.Millisecond
)

// A Dockerd is an engine of this machine, with all that is needed to bring it
// back, also by another process after a crash.
type Dockerd struct {
	Socket      string   `json:"socket"`
	PID         int      `json:"pid"`
	Program     string   `json:"program"` // of the process
	Args        []string `json:"-"`       // its command line; flags may hold secrets
	API         int      `json:"api"`     // see API
	Unit        string   `json:"unit,omitempty"`
	RestartWith []string `json:"restartWith,omitempty"` // a program, where systemd does not run it

	Init *systemd.Manager `json:"-"`
}

// Args are the words of a command line as /proc has it.
func Args(line []byte) []string {
	return strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")
}

// API is the second number of an API version, 41 of "1.41"; 0 if it has none.
// Engines that are built from source call their own version anything.
func API(version string) int {
	_, second, _ := strings.Cut(version, ".")
	number, err := strconv.Atoi(second)
	if err != nil {
		return 0
	}
	return number
}

// Flags are those of the command line.
func (d *Dockerd) Flags() daemon.Flags {
	if len(d.Args) == 0 {
		return nil
	}
	return daemon.ParseFlags(d.Args[1:])
}

// Validate has dockerd itself judge a daemon.json, in a file that is not yet
// in its place, beside the flags that the engine runs with; "": the file that
// it has. An engine before 23.0 cannot: nil.
func (d *Dockerd) Validate(ctx context.Context, config string) error {
	if d.API < validateSince || len(d.Args) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, validateWithin)
	defer cancel()
	args, which := d.Args[1:], "its"
	if config != "" {
		args, which = append(without(args, "config-file"), "--config-file="+config), "the new"
	}
	argv := slices.Concat([]string{strings.TrimSuffix(d.Program, " (deleted)")}, args, []string{"--validate"})
	if out, err := program.Run(ctx, argv...); err != nil {
		return fmt.Errorf("dockerd --validate refuses %s daemon.json: %s (%w)", which, out, err)
	}
	return nil
}

// without leaves out a flag that takes a value.
func without(args []string, flag string) []string {
	var kept []string
	for i := 0; i < len(args); i++ {
		switch {
		case args[i] == "--"+flag:
			i++ // its value
		case !strings.HasPrefix(args[i], "--"+flag+"="):
			kept = append(kept, args[i])
		}
	}
	return kept
}

// CanRestart says how a person makes it possible where it is not.
func (d *Dockerd) CanRestart() error {
	if d.Unit != "" && d.Init != nil || len(d.RestartWith) > 0 {
		return nil
	}
	return errors.New("systemd does not run this engine, so how it is restarted has to be told: give --restart-command")
}

// Reload has the engine read daemon.json again, and waits until it says that
// it has: an engine that does not like the file goes on with the old one.
func (d *Dockerd) Reload(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reloadWithin)
	defer cancel()
	events, err := d.get(ctx, "/events?filters="+url.QueryEscape(`{"type":["daemon"],"event":["reload"]}`))
	if err != nil {
		return fmt.Errorf("listening to the engine's events: %w", err)
	}
	defer events.Body.Close()
	if err := d.hangup(ctx); err != nil {
		return err
	}
	if _, err := events.Body.Read(make([]byte, 1)); err != nil {
		return fmt.Errorf("the engine did not take its new configuration: its log says why (%w)", err)
	}
	return nil
}

// hangup tells the engine to read its file.
func (d *Dockerd) hangup(ctx context.Context) error {
	if d.Unit != "" && d.Init != nil {
		return d.Init.Do(ctx, "reload", d.Unit)
	}
	pid := d.process(ctx)
	if pid == 0 {
		return errors.New("the engine does not run any more: start it")
	}
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		return fmt.Errorf("sending SIGHUP to the engine, process %d: %w", pid, err)
	}
	return nil
}

// process is that of the engine, 0 if it does not run.
func (d *Dockerd) process(ctx context.Context) int {
	if d.Unit != "" && d.Init != nil {
		if pid, err := d.Init.MainPID(ctx, d.Unit); err == nil {
			return pid
		}
	}
	if peer, err := process.Behind(ctx, d.Socket); err == nil && process.Runs(peer, d.Program) {
		return peer
	}
	if process.Runs(d.PID, d.Program) {
		return d.PID
	}
	return 0
}

// Running tells since when the engine's process runs, if it does. The engine
// is not asked: one that is busy may take its time to answer.
func (d *Dockerd) Running(ctx context.Context, now time.Time) (since time.Time, runs bool) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	since, err := process.Started(d.process(ctx), now)
	return since, err == nil
}

// Restart stops the engine, if it runs, and starts it.
func (d *Dockerd) Restart(ctx context.Context) error {
	if err := d.CanRestart(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, upWithin)
	defer cancel()
	if d.Unit != "" && d.Init != nil {
		_ = d.Init.Do(ctx, "reset-failed", d.Unit) // an engine that failed often may be started again
		return d.Init.Do(ctx, "restart", d.Unit)
	}
	if out, err := program.Run(ctx, d.RestartWith...); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(d.RestartWith, " "), err, out)
	}
	return nil
}

// Up waits until the engine answers, and goes on doing so as one process. One
// that has come up and ended, and that nobody starts again, is not waited for.
func (d *Dockerd) Up(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, upWithin)
	defer cancel()
	var since, heard time.Time
	process, last := 0, 0
	for {
		pid, err := d.Answers(ctx)
		switch now := time.Now(); {
		case err == nil && pid == process && now.Sub(since) >= steadyFor:
			return nil
		case err == nil && pid != process:
			since, heard, process, last = now, now, pid, pid
		case err == nil:
			heard = now
		case last != 0 && !lives(last) && now.Sub(heard) >= goneFor:
			return fmt.Errorf("the engine came up and ended, and nobody started it again: its log says why (%w)", err)
		default:
			process = 0
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the engine does not stay up: %w", errors.Join(err, context.Cause(ctx)))
		case <-time.After(lookEvery):
		}
	}
}

// lives reports whether a process runs a program still.
func lives(pid int) bool {
	_, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return err == nil
}

// Answers asks the engine whether it is there, and tells its process.
func (d *Dockerd) Answers(ctx context.Context) (pid int, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	response, err := d.get(ctx, "/_ping")
	if err != nil {
		return 0, fmt.Errorf("asking the engine whether it is there: %w", err)
	}
	defer response.Body.Close()
	if d.Unit != "" && d.Init != nil { // systemd may hold the socket
		return d.Init.MainPID(ctx, d.Unit)
	}
	return process.Behind(ctx, d.Socket)
}

// get asks the engine something.
func (d *Dockerd) get(ctx context.Context, path string) (*http.Response, error) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", d.Socket)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine"+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err == nil && response.StatusCode != http.StatusOK {
		_ = response.Body.Close()
		err = fmt.Errorf("the engine answers %s", response.Status)
	}
	return response, err
}
