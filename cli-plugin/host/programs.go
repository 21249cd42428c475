package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// Programs run what only looks: auditctl -l, systemctl show. One that is not
// installed is exec.ErrNotFound.
type Programs interface {
	Run(ctx context.Context, name string, args ...string) ([]byte, error)
}

const (
	programTime = 20 * time.Second // ausearch reads days of logs
	maxOutput   = 16 << 20         // bytes of one program's answer
)

// LocalPrograms run on this machine.
type LocalPrograms struct{}

// Run gives what a program says, without its standard error.
func (LocalPrograms) Run(ctx context.Context, name string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, programTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second
	var said bytes.Buffer
	cmd.Stderr = &limited{&said, 4 << 10}
	var out bytes.Buffer
	cmd.Stdout = &limited{&out, maxOutput}
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(said.String()))
	}
	return out.Bytes(), nil
}

var errTooMuch = errors.New("it says more than is read")

// limited fails on more than it may take.
type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	if len(p) > l.left {
		return 0, errTooMuch
	}
	l.left -= len(p)
	return l.w.Write(p)
}

// Run asks a program of the host.
func (h *Host) Run(ctx context.Context, name string, args ...string) ([]byte, error) {
	switch {
	case h.Programs != nil:
		return h.Programs.Run(ctx, name, args...)
	case h.Files != nil:
		return nil, fmt.Errorf("%s cannot be asked: the programs of a host that is only mounted are not run; run docker stig check on the host itself", name)
	}
	return nil, fmt.Errorf("%s cannot be asked: %w", name, h.unseen())
}
