// Program testbed brings up a real engine, registry and Notary server on
// loopback for a person or a script, and takes them down again. It is a
// command line for the package of the same name and decides nothing itself.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/docker-stig/docker-stig/tests/testbed"
)

func main() { os.Exit(run()) }

func run() int {
	// Up clears up after itself when it is interrupted.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := newCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "testbed:", err)
		return 1
	}
	return 0
}

const long = `A testbed is a real dockerd, docker-registry and notary-server on loopback, in
one folder, apart from whatever else runs on this machine. It needs root and the
Debian packages that ` + "`make deps`" + ` installs.

  testbed up --dir tb                 # takes a few seconds
  . tb/env                            # DOCKER_HOST, STIG_REGISTRY, ...; and --dir is known from here on
  testbed sign app:1                  # makes, pushes and signs $STIG_REGISTRY/app:1
  testbed move app:1                  # other content under the signed tag
  docker run --rm --network none $STIG_REGISTRY/app:1
  testbed restart --daemon-json FILE
  testbed down

Plugin sockets belong into $STIG_PLUGIN_SOCKETS, which the engine sees as
/run/docker/plugins. Containers have --network none, or host, which is the
engine's own network and not this machine's.`

func newCommand() *cobra.Command {
	var dir string
	root := &cobra.Command{
		Use:               "testbed",
		Short:             "Bring up a real engine, registry and Notary server on loopback",
		Long:              long,
		SilenceUsage:      true,
		SilenceErrors:     true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.PersistentFlags().StringVar(&dir, "dir", os.Getenv("STIG_TESTBED_DIR"), "Folder of the testbed")
	root.AddCommand(
		newUpCommand(&dir), newDownCommand(&dir), newStatusCommand(&dir),
		newImageCommand(&dir, "unsigned", "Make and push images that nobody signed", (*testbed.Testbed).UnsignedImage),
		newImageCommand(&dir, "move", "Put other content under signed tags, signing nothing", (*testbed.Testbed).MoveTag),
		newSignCommand(&dir), newPinCommand(&dir), newRootKeyCommand(&dir),
		newRestartCommand(&dir), newNotaryCommand(&dir),
		newBuildCommand(), newPackagesCommand(),
	)
	return root
}

func newUpCommand(dir *string) *cobra.Command {
	var engine string
	cmd := &cobra.Command{
		Use:   "up --dir DIR [--engine docker|moby]",
		Short: "Bring a testbed up in an empty or a new folder",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			kind, err := testbed.ParseEngine(engine)
			if err != nil {
				return err
			}
			if kind == testbed.Moby {
				if _, err := testbed.BuildMoby(cmd.Context(), cmd.ErrOrStderr()); err != nil {
					return err
				}
			}
			tb, err := testbed.Up(cmd.Context(), testbed.Options{Dir: *dir, Engine: kind})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), ". %s/env\n", tb.Dir())
			return err
		},
	}
	cmd.Flags().StringVar(&engine, "engine", string(testbed.Docker), "docker: Debian's, graphdriver store; moby: current, containerd store")
	return cmd
}

func newDownCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "down --dir DIR",
		Short: "Take down what up left, finished or not",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if *dir == "" {
				return errNoDir
			}
			return testbed.Down(cmd.Context(), *dir)
		},
	}
}

func newStatusCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "status --dir DIR",
		Short: "Show the testbed's processes; fail unless all of them run",
		Args:  cobra.NoArgs,
		RunE: with(dir, func(cmd *cobra.Command, tb *testbed.Testbed, _ []string) error {
			healthy, err := tb.WriteStatus(cmd.OutOrStdout())
			if err != nil || healthy {
				return err
			}
			return errors.New("not all of the testbed runs")
		}),
	}
}

// newImageCommand makes a command that prints each image with its digest.
func newImageCommand(
	dir *string, name, short string,
	work func(*testbed.Testbed, context.Context, string) (testbed.Image, error),
) *cobra.Command {
	return &cobra.Command{
		Use:   name + " REPO:TAG...",
		Short: short,
		Args:  cobra.MinimumNArgs(1),
		RunE: with(dir, func(cmd *cobra.Command, tb *testbed.Testbed, names []string) error {
			return eachImage(cmd, names, func(name string) (testbed.Image, error) { return work(tb, cmd.Context(), name) })
		}),
	}
}

func newSignCommand(dir *string) *cobra.Command {
	var signers []string
	cmd := &cobra.Command{
		Use:   "sign [--signer NAME]... REPO:TAG...",
		Short: "Sign images with docker trust, after making those that do not exist",
		Args:  cobra.MinimumNArgs(1),
		RunE: with(dir, func(cmd *cobra.Command, tb *testbed.Testbed, names []string) error {
			return eachImage(cmd, names, func(name string) (testbed.Image, error) {
				return tb.Sign(cmd.Context(), name, signers...)
			})
		}),
	}
	cmd.Flags().StringSliceVar(&signers, "signer", []string{testbed.DefaultSigner}, "Who signs")
	return cmd
}

func eachImage(cmd *cobra.Command, names []string, work func(string) (testbed.Image, error)) error {
	for _, name := range names {
		image, err := work(name)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s@%s\n", image.Ref, image.Digest); err != nil {
			return err
		}
	}
	return nil
}

func newPinCommand(dir *string) *cobra.Command {
	var mode string
	cmd := &cobra.Command{
		Use:   "pin [--mode MODE] REPO...",
		Short: "Write a policy that trusts repositories signed here, and nothing else",
		RunE: with(dir, func(_ *cobra.Command, tb *testbed.Testbed, names []string) error {
			return tb.Pin(mode, names...)
		}),
	}
	cmd.Flags().StringVar(&mode, "mode", "enforced", "disabled, permissive or enforced")
	return cmd
}

func newRootKeyCommand(dir *string) *cobra.Command {
	var cert bool
	cmd := &cobra.Command{
		Use:   "root-key [--cert] REPO",
		Short: "Print the ID of the root key of a repository signed here",
		Args:  cobra.ExactArgs(1),
		RunE: with(dir, func(cmd *cobra.Command, tb *testbed.Testbed, names []string) error {
			id, err := tb.RootKeyID(names[0])
			if cert {
				id, err = tb.RootCertID(names[0])
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), id)
			return err
		}),
	}
	cmd.Flags().BoolVar(&cert, "cert", false, "Print the ID of the root certificate instead")
	return cmd
}

func newRestartCommand(dir *string) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "restart [--daemon-json FILE]",
		Short: "Restart the engine, with another daemon.json or as it is",
		Args:  cobra.NoArgs,
		RunE: with(dir, func(cmd *cobra.Command, tb *testbed.Testbed, _ []string) error {
			if file == "" {
				return tb.RestartEngine(cmd.Context(), nil)
			}
			config, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			return tb.RestartEngine(cmd.Context(), config)
		}),
	}
	cmd.Flags().StringVar(&file, "daemon-json", "", "Content of the new daemon.json (default: $STIG_DAEMON_JSON as it is)")
	return cmd
}

func newNotaryCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use:       "notary start|stop",
		Short:     "Let the Notary server go away, or come back with its data",
		ValidArgs: []string{"start", "stop"},
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		RunE: with(dir, func(cmd *cobra.Command, tb *testbed.Testbed, args []string) error {
			if args[0] == "start" {
				return tb.StartNotary(cmd.Context())
			}
			return tb.StopNotary(cmd.Context())
		}),
	}
}

func newBuildCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "build",
		Short: "Build the moby engine, compose and buildx into the cache, unless they are there",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, build := range []func(context.Context, io.Writer) (string, error){testbed.BuildMoby, testbed.BuildClientPlugins} {
				dir, err := build(cmd.Context(), cmd.ErrOrStderr())
				if err != nil {
					return err
				}
				if _, err := fmt.Fprintln(cmd.OutOrStdout(), dir); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func newPackagesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "packages",
		Short: "Print the Debian packages a testbed needs",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), strings.Join(testbed.Packages(), "\n"))
			return err
		},
	}
}

var errNoDir = errors.New("no folder given: say --dir DIR, or source the testbed's env")

// with opens the testbed that a command works on.
func with(dir *string, work func(*cobra.Command, *testbed.Testbed, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if *dir == "" {
			return errNoDir
		}
		tb, err := testbed.Open(*dir)
		if err != nil {
			return err
		}
		return work(cmd, tb, args)
	}
}
