package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/docker/cli/cli/command"
	"github.com/spf13/pflag"

	"github.com/docker-stig/docker-stig/cli-plugin/change/systemd"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/remedy"
	"github.com/docker-stig/docker-stig/cli-plugin/remedy/documents"
	"github.com/docker-stig/docker-stig/cli-plugin/remedy/engine"
	"github.com/docker-stig/docker-stig/cli-plugin/remedy/transaction"
)

// lockPatience is how long a command waits for another that changes things;
// longer ones are waited for by a person.
const lockPatience = 10 * time.Second

// transactionOptions say how the engine may be treated.
type transactionOptions struct {
	allowRestart   bool
	restartCommand string
}

func (o *transactionOptions) addFlags(flags *pflag.FlagSet) {
	flags.BoolVar(&o.allowRestart, "allow-restart", false, "Restart the engine where a change takes that")
	flags.StringVar(&o.restartCommand, "restart-command", "", "How the engine is restarted where systemd does not run it: a program and its arguments, without a shell")
}

func (o transactionOptions) restartWith() []string { return strings.Fields(o.restartCommand) }

// transactions are those of this machine's state folder.
type transactions struct {
	runner transaction.Runner
	places documents.Places
}

func (o transactionOptions) open(dockerCLI command.Cli, h *host.Host) *transactions {
	t := &transactions{places: documents.Places{Engine: dockerCLI.Client(), UCP: h.UCP, DTR: h.DTR, Talk: func(text string) { _, _ = fmt.Fprintln(dockerCLI.Err(), text) }}}
	t.runner = transaction.Runner{
		Store: transaction.StoreIn(stateDir()),
		Now:   time.Now,
		Engine: func(d *engine.Dockerd) transaction.Engine {
			d.Init = systemd.Running()
			if with := o.restartWith(); len(with) > 0 {
				d.RestartWith = with
			}
			return d
		},
		Documents:    func(target string) (transaction.Document, error) { return t.places.Open(target) },
		Program:      remedy.RunProgram,
		AllowRestart: o.allowRestart,
		Talk:         func(text string) { _, _ = fmt.Fprintln(dockerCLI.Err(), text) },
	}
	return t
}

// lock keeps others out, and takes back what was cut off before anything else
// is done.
func (t *transactions) lock(ctx context.Context, name string) (unlock func(), err error) {
	who := fmt.Sprintf("%s (process %d, since %s)", name, os.Getpid(), time.Now().UTC().Format(time.RFC3339))
	unlock, err = t.runner.Store.Lock(ctx, who, lockPatience)
	if err != nil {
		return nil, err
	}
	if err := t.runner.Recover(ctx); err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

// reportUnfinished tells of what was cut off, and does nothing about it.
func reportUnfinished(dockerCLI command.Cli) error {
	unfinished, err := transaction.StoreIn(stateDir()).Unfinished()
	for _, j := range unfinished {
		_, _ = fmt.Fprintf(dockerCLI.Err(), "docker stig: transaction %s was cut off, or is at work: unless it is, docker stig fix or undo takes back what it changed\n", j.ID)
	}
	return err
}

// failed gives the exit code of a transaction that was not made.
func failed(err error) error {
	back := new(transaction.RolledBack)
	if errors.As(err, &back) && back.Left == nil {
		return exit(exitRolledBack, "%v", err)
	}
	return err
}
