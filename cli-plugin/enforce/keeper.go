package enforce

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// What the command says to its keeper, a line each. The end of the pipe, when
// the command has ended in whatever way, means undo as well.
const (
	sayConfirm = "confirm " // and the time until somebody must have confirmed
	sayKeep    = "keep"
	sayUndo    = "undo"
)

// What the keeper says.
const (
	sayReady  = "ready"
	sayKept   = "kept"
	sayUndone = "undone"
	sayFailed = "failed " // and why
)

// KeeperAnswers is the descriptor on which the keeper speaks: the first behind
// the standard ones.
const KeeperAnswers = 3

// slack is how much longer the keeper waits than the command may take.
const slack = 10 * time.Second

// A keeper is the process that takes everything back unless it is told not to.
type keeper struct {
	cmd  *exec.Cmd //nolint:forbidigo // started below
	to   *os.File
	from *bufio.Scanner
}

// startKeeper starts program with args, which has to call Keep, away from this
// terminal and from what would end it with this process.
func startKeeper(ctx context.Context, folder Folder, program string, args []string) (*keeper, error) {
	in, to, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	from, out, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, to.Close())
	}
	defer out.Close()
	log, err := os.OpenFile(folder.path("keeper.log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, errors.Join(err, to.Close(), from.Close())
	}
	defer log.Close()
	cmd := exec.CommandContext(context.WithoutCancel(ctx), program, args...) //nolint:forbidigo // this very program, which has to outlive the command
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Dir = "/"
	// The docker command ends its plugins over this socket when it ends.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(entry string) bool { return strings.HasPrefix(entry, "DOCKER_CLI_PLUGIN_SOCKET=") })
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, log, log
	cmd.ExtraFiles = []*os.File{out}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the process that would take everything back: %w", err), to.Close(), from.Close())
	}
	k := &keeper{cmd: cmd, to: to, from: bufio.NewScanner(from)}
	if err := from.SetReadDeadline(time.Now().Add(settleWithin)); err != nil {
		return nil, errors.Join(err, k.end())
	}
	if !k.from.Scan() || k.from.Text() != sayReady {
		return nil, errors.Join(fmt.Errorf("the process that would take everything back does not begin (see %s)", folder.path("keeper.log")), k.end())
	}
	return k, from.SetReadDeadline(time.Time{})
}

// end kills a keeper that nothing was entrusted to.
func (k *keeper) end() error {
	_ = k.cmd.Process.Kill()
	_ = k.cmd.Wait() // it was killed
	return k.to.Close()
}

func (k *keeper) say(line string) error {
	_, err := io.WriteString(k.to, line+"\n")
	return err
}

// keep lets things be as they are, and wants the keeper to have heard it.
func (k *keeper) keep() error {
	err := k.say(sayKeep)
	_ = k.to.Close()
	if err == nil && k.from.Scan() && k.from.Text() == sayKept {
		return k.cmd.Wait()
	}
	return errKeeperGone
}

// errKeeperGone says that the keeper ended without the word that was wanted.
var errKeeperGone = errors.New("the process that was to take everything back has ended")

// undo has the keeper take everything back, and waits until it has.
func (k *keeper) undo() error {
	_ = k.say(sayUndo) // should it be gone, its silence tells
	_ = k.to.Close()
	defer k.cmd.Wait() //nolint:errcheck // what it says counts
	if !k.from.Scan() {
		return errKeeperGone
	}
	if why, failed := strings.CutPrefix(k.from.Text(), sayFailed); failed {
		return errors.New(why)
	}
	return nil
}

// Keep is the keeper's part. It watches a command over in, and takes back what
// the journal says when it is told to, when the command is gone, when time is
// up (then it ends the command first, which may hang), or when it is told to
// end. What comes of it is said on out.
func (s Switch) Keep(ctx context.Context, in io.Reader, out io.Writer) error {
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT)
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	command := os.Getppid()
	lines := make(chan string)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(in); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()
	if _, err := fmt.Fprintln(out, sayReady); err != nil {
		return err
	}
	if s.watch(ctx, lines, command) {
		_, err := fmt.Fprintln(out, sayKept)
		return err
	}
	err := s.takeBackAlone(context.WithoutCancel(ctx))
	said := sayUndone
	if err != nil {
		said = sayFailed + strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	_, _ = fmt.Fprintln(out, said) // there may be nobody left to hear it
	return err
}

// watch reports whether the command said that all is well.
func (s Switch) watch(ctx context.Context, lines <-chan string, command int) bool {
	timer := time.NewTimer(applyWithin + slack)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			if command > 1 && os.Getppid() == command { // it is still our parent, and its number nobody else's
				_ = syscall.Kill(command, syscall.SIGKILL)
			}
			return false
		case line := <-lines: // "" at the end
			within, confirming := strings.CutPrefix(line, sayConfirm)
			if !confirming {
				return line == sayKeep
			}
			d, err := time.ParseDuration(within)
			if err != nil {
				return false
			}
			timer.Reset(d + slack)
		}
	}
}

// takeBackAlone takes back once nobody else is at work.
func (s Switch) takeBackAlone(ctx context.Context) error {
	unlock, err := s.Folder.lock(ctx, settleWithin)
	if err != nil {
		return err
	}
	defer unlock()
	j, err := s.Folder.Read()
	if err != nil || j == nil {
		return err
	}
	return s.TakeBack(ctx, j)
}
