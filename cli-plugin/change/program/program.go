// Package program runs the programs that change this machine: systemctl, a rule's
// own steps, what restarts an engine. Which, and what a failure means, its
// callers decide; programs that only look are package host's.
package program

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"time"
)

const (
	// leftBehind is how long the output of a program that has ended is waited
	// for. What it leaves behind may hold on to that for good, as a dockerd
	// does that a script starts in the background.
	leftBehind = time.Second
	maxOutput  = 64 << 10 // bytes; it is shown to a person
)

// Run runs a program to its end, and gives the beginning of what it says.
func Run(ctx context.Context, argv ...string) (string, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:forbidigo,gosec // the one place where programs that change something are started, without a shell
	cmd.WaitDelay = leftBehind
	var said beginning
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // the program itself has ended well
	}
	return strings.TrimSpace(string(said)), err
}

// A beginning keeps what is written first.
type beginning []byte

// Write takes all, and keeps what there is room for.
func (b *beginning) Write(p []byte) (int, error) {
	*b = append(*b, p[:min(len(p), maxOutput-len(*b))]...)
	return len(p), nil
}
