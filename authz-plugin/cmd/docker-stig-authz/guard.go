package main

import (
	"context"
	"fmt"
	"log/slog"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/docker-stig/docker-stig/authz-plugin/audit"
	"github.com/docker-stig/docker-stig/authz-plugin/guard"
)

// guardDrainTimeout is how long requests under way may take once the guard is
// told to stop. Streams, which have no end of their own, are cut then.
const guardDrainTimeout = 10 * time.Second

type guardOptions struct {
	engine string
	socket string
	group  string
}

func newGuardCommand() *cobra.Command {
	var opts guardOptions
	cmd := &cobra.Command{
		Use:   "guard [OPTIONS]",
		Short: "Stand before the engine's socket and keep HTTP/2 out",
		Long: `Stand before the engine's socket and keep HTTP/2 out.

Engines from 29.2 on serve gRPC over HTTP/2 on their socket, and ask no
authorization plugin about it. The guard passes every connection on to the
engine that begins with an HTTP/1 request, unchanged, and closes the others.
docker stig authz enable --guard puts it in place. Under systemd the socket is
docker-stig-guard.socket; otherwise it is made at --socket.`,
		Args:                  cobra.NoArgs,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runGuard(cmd.Context(), opts, slog.New(audit.Handler(cmd.ErrOrStderr())))
		},
	}
	cmd.Flags().StringVar(&opts.engine, "engine", "unix:///run/docker-stig/engine.sock", "Where the engine listens, for the guard alone")
	cmd.Flags().StringVar(&opts.socket, "socket", "/run/docker.sock", "Where to listen when systemd gives no socket")
	cmd.Flags().StringVar(&opts.group, "group", "docker", "Who may connect to a socket made here, beside root; empty: nobody")
	return cmd
}

// runGuard passes connections on until it is told to stop, then lets requests
// under way come to their end.
func runGuard(ctx context.Context, opts guardOptions, log *slog.Logger) error {
	stopped, cancel := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	engine, err := enginePath(opts.engine)
	if err != nil {
		return err
	}
	sockets, err := place{path: opts.socket, unit: "docker-stig-guard", group: opts.group}.listen(stopped)
	if err != nil {
		return err
	}
	defer sockets.remove()

	g := guard.New(engine, log)
	var group errgroup.Group
	for _, listener := range sockets.listeners {
		group.Go(func() error { return g.Serve(ctx, listener) })
	}
	failed := make(chan error, 1)
	go func() { failed <- group.Wait() }()
	// More than that it is scheduled cannot be told without a connection of its
	// own, and one more is the last thing that a flooded socket needs.
	go watch(stopped, func(context.Context) error { return nil }, log)
	log.Info("guarding", "version", version, "commit", commit, "socket", sockets.path, "engine", engine)
	notify(log, daemon.SdNotifyReady)
	select {
	case err := <-failed:
		return err
	case <-stopped.Done():
	}
	notify(log, daemon.SdNotifyStopping)
	for _, listener := range sockets.listeners {
		_ = listener.Close() // systemd's own stays open: who comes now waits for the next guard
	}
	drained, cancel := context.WithTimeout(context.WithoutCancel(ctx), guardDrainTimeout)
	defer cancel()
	log.Info("stopped", "streams_cut", g.Shutdown(drained))
	return <-failed
}

// enginePath reads the address of the engine's private socket.
func enginePath(address string) (string, error) {
	path, ok := strings.CutPrefix(address, "unix://")
	if !ok || !filepath.IsAbs(path) {
		return "", fmt.Errorf("--engine %s: the guard reaches an engine by a unix socket: give unix:///PATH", address)
	}
	return path, nil
}
