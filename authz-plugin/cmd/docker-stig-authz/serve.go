package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/docker-stig/docker-stig/authz-plugin/audit"
	"github.com/docker-stig/docker-stig/authz-plugin/authz"
	"github.com/docker-stig/docker-stig/shared/record"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// drainTimeout is how long decisions under way may take once the daemon is
// told to stop: one that removes a container may take two deadlines.
const drainTimeout = 2*authz.DecisionTimeout + 2*time.Second

type serveOptions struct {
	policy string
	socket string
	state  string

	records string // file for the records of decisions, where there is no journal
	passed  bool   // record what passes, too
}

func newServeCommand() *cobra.Command {
	var opts serveOptions
	cmd := &cobra.Command{
		Use:   "serve [OPTIONS]",
		Short: "Answer the engine's authorization requests",
		Long: `Answer the engine's authorization requests.

The engine asks when its daemon.json says "authorization-plugins":
["docker-stig-authz"]. Under systemd the socket is docker-stig-authz.socket;
otherwise it is made at --socket, for root alone. SIGHUP reads the policy again,
and keeps the one in force if the new one cannot be read.`,
		Args:                  cobra.NoArgs,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log := slog.New(audit.Handler(cmd.ErrOrStderr()))
			return runServe(cmd.Context(), opts, log)
		},
	}
	cmd.Flags().StringVar(&opts.policy, "policy", policy.DefaultPath, "The site's policy")
	cmd.Flags().StringVar(&opts.socket, "socket", "/run/docker/plugins/docker-stig-authz.sock", "Where to listen when systemd gives no socket")
	cmd.Flags().StringVar(&opts.state, "state", "/var/lib/docker-stig", "Folder for what has to outlive the daemon")
	cmd.Flags().StringVar(&opts.records, "log-file", record.DefaultFile, "Where decisions are recorded on a machine without a journal")
	cmd.Flags().BoolVar(&opts.passed, "log-passed", false, "Record requests, too, in which nothing is judged")
	return cmd
}

// runServe answers until it is told to stop, then lets decisions under way
// come to their end.
func runServe(ctx context.Context, opts serveOptions, log *slog.Logger) error {
	stopped, cancel := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)

	sockets, err := listen(ctx, opts.socket)
	if err != nil {
		return err
	}
	defer sockets.remove()
	policies := newLoader(opts, log)
	defer policies.close(ctx)
	handler := authz.NewHandler(policies.loadOrFault(stopped), policies.records, log)
	server := authz.NewServer(handler, log)

	var group errgroup.Group
	for _, listener := range sockets.listeners {
		group.Go(func() error { return serveOn(server, listener) })
	}
	failed := make(chan error, 1)
	go func() { failed <- group.Wait() }()
	go policies.sweeps(stopped)
	go watch(stopped, handler.Alive, log)
	log.Info("answering", "version", version, "commit", commit, "socket", sockets.path)
	notify(log, daemon.SdNotifyReady)
	for {
		select {
		case err := <-failed:
			return err
		case <-reload:
			reloadPolicy(stopped, handler, policies, log)
		case <-stopped.Done():
			notify(log, daemon.SdNotifyStopping)
			log.Info("stopping", "passed", policies.records.Passed())
			return drain(ctx, server)
		}
	}
}

func serveOn(server *authz.Server, listener net.Listener) error {
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving on %s: %w", listener.Addr(), err)
	}
	return nil
}

// reloadPolicy puts a new policy in force, or keeps the last good one.
func reloadPolicy(ctx context.Context, handler *authz.Handler, policies *loader, log *slog.Logger) {
	notify(log, daemon.SdNotifyReloading+"\n"+daemon.SdNotifyMonotonicUsec())
	defer notify(log, daemon.SdNotifyReady)
	f, err := policies.load()
	if err != nil {
		policies.failed()
		log.Error("the new policy cannot be read; the old one stays in force", "policy", policies.path, "error", err)
		return
	}
	handler.Use(f.settings)
	policies.put(ctx, f)
}

func drain(ctx context.Context, server *authz.Server) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := server.Drain(ctx); err != nil {
		return fmt.Errorf("waiting for decisions under way: %w", err)
	}
	return nil
}

// notify tells systemd, where there is one.
func notify(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("systemd was not told", "state", state, "error", err)
	}
}
