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

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/change/systemd"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/dtr"
	"github.com/docker-stig/docker-stig/cli-plugin/host/ucp"
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
	places places
}

// places are where documents lie. None is reached for before one of its
// documents is asked for: what is cut off is taken back whether the others are
// there or not.
type places struct {
	dockerCLI command.Cli
	ucp       func() (*ucp.Client, error)
	dtr       func() (*dtr.Client, error)
}

// placesOf are those of a host that is open.
func placesOf(dockerCLI command.Cli, h *host.Host) places {
	return places{
		dockerCLI: dockerCLI,
		ucp:       func() (*ucp.Client, error) { return h.UCP, nil },
		dtr:       func() (*dtr.Client, error) { return h.DTR, nil },
	}
}

// Open finds a document by its target.
func (p places) Open(target string) (documents.Document, error) {
	found := documents.Places{Talk: func(text string) { _, _ = fmt.Fprintln(p.dockerCLI.Err(), text) }}
	var err error
	switch target {
	case change.UCPConfig:
		found.UCP, err = p.ucp()
	case change.DTRSettings:
		found.DTR, err = p.dtr()
	default:
		found.Engine = p.dockerCLI.Client()
	}
	if err != nil {
		return nil, err
	}
	return found.Open(target)
}

func (o transactionOptions) open(dockerCLI command.Cli, h *host.Host) *transactions {
	return o.over(dockerCLI, placesOf(dockerCLI, h))
}

// over are the transactions that change documents of some places.
func (o transactionOptions) over(dockerCLI command.Cli, at places) *transactions {
	t := &transactions{places: at}
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
