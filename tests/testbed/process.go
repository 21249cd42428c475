package testbed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// mark is the environment variable that says which testbed a process
	// belongs to.
	mark = "STIG_TESTBED_ID"

	pollEvery    = 20 * time.Millisecond
	readyWithin  = 30 * time.Second // dockerd takes 1 to 2 s on an idle machine
	stopWithin   = 40 * time.Second // dockerd gives each container 10 s
	logTailBytes = 3000
)

// start runs a program of the testbed in the background, its output in
// DIR/log/NAME, and records it before returning.
func (tb *Testbed) start(ctx context.Context, l *ledger, name string, env []string, argv ...string) (process, error) {
	log, err := os.OpenFile(tb.log(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return process{}, fmt.Errorf("starting %s: %w", name, err)
	}
	defer func() { _ = log.Close() }()
	// The program outlives the command that starts it, and its terminal.
	cmd := command(context.WithoutCancel(ctx), argv...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Dir = "/"
	cmd.Env = append([]string{mark + "=" + tb.id, "HOME=" + tb.path("config"), "PATH=" + searchPath()}, env...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return process{}, fmt.Errorf("starting %s: %w", name, err)
	}
	p := process{Name: name, PID: cmd.Process.Pid}
	stat, statErr := readStat(p.PID)
	p.Start = stat.start
	if err := errors.Join(statErr, l.record(p)); err != nil {
		return process{}, errors.Join(fmt.Errorf("recording %s: %w", name, err), cmd.Process.Kill(), cmd.Wait())
	}
	go func() { _ = cmd.Wait() }() // so that it does not stay a zombie of a long test
	return p, nil
}

// command is the one place where this package runs programs: those that it
// found on the path itself.
func command(ctx context.Context, argv ...string) *exec.Cmd {
	return exec.CommandContext(ctx, argv[0], argv[1:]...)
}

// await polls ready until it holds. It fails when p has ended, in which case
// the error quotes what p said last.
func (tb *Testbed) await(ctx context.Context, p process, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		if !p.alive() {
			return fmt.Errorf("%s ended instead of becoming ready; it said last:\n%s", p.Name, tb.tail(p.Name))
		}
		if pauseErr := pause(ctx); pauseErr != nil {
			return fmt.Errorf("waiting for %s: %w (%w); it said last:\n%s", p.Name, pauseErr, err, tb.tail(p.Name))
		}
	}
}

// stop asks p to end and waits until it has.
func (tb *Testbed) stop(ctx context.Context, p process) error {
	if !p.alive() {
		return nil
	}
	if err := syscall.Kill(p.PID, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stopping %s: %w", p.Name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, stopWithin)
	defer cancel()
	for p.alive() {
		if err := pause(ctx); err != nil {
			return fmt.Errorf("%s does not stop: %w; it said last:\n%s", p.Name, err, tb.tail(p.Name))
		}
	}
	return nil
}

func (tb *Testbed) log(name string) string { return filepath.Join(tb.dir, "log", name) }

// tail is the end of what a program said, in whole lines.
func (tb *Testbed) tail(name string) string {
	data, err := os.ReadFile(tb.log(name))
	if err != nil {
		return err.Error()
	}
	if cut := len(data) - logTailBytes; cut > 0 {
		data = data[cut:]
		_, data, _ = bytes.Cut(data, []byte("\n"))
	}
	return strings.TrimRight(string(data), "\n")
}

// alive reports whether p still runs. A zombie does not.
func (p process) alive() bool {
	stat, err := readStat(p.PID)
	return err == nil && stat.start == p.Start && stat.lives()
}

// A procStat is what the testbed reads of /proc/PID/stat.
type procStat struct {
	state  string
	parent int
	start  uint64
}

// lives reports whether the process is more than an entry in a table: no
// zombie, and not about to be none.
func (s procStat) lives() bool { return s.state != "Z" && s.state != "X" }

func readStat(pid int) (procStat, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return procStat{}, err
	}
	return parseStat(string(data))
}

// parseStat reads a line of proc_pid_stat(5). The second field is the
// program's name in parentheses, which may hold any character.
func parseStat(line string) (procStat, error) {
	end := strings.LastIndexByte(line, ')')
	fields := strings.Fields(line[end+1:])
	if end < 0 || len(fields) < 20 {
		return procStat{}, fmt.Errorf("no process status: %.60q", line)
	}
	parent, parentErr := strconv.Atoi(fields[1])
	start, startErr := strconv.ParseUint(fields[19], 10, 64) // field 22, and this slice begins at field 3
	return procStat{state: fields[0], parent: parent, start: start}, errors.Join(parentErr, startErr)
}

// pause waits for the next look at something.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(pollEvery):
		return nil
	}
}
