// Command doubles runs the doubles of UCP and DTR for a demonstration or a
// script, and says in DIR/doubles.env how to reach them:
//
//	go run ./tests/doubles/cmd/doubles --dir DIR [--content-trust=false] &
//	. DIR/doubles.env
//
// The file appears once both serve and goes when they do, on SIGINT or
// SIGTERM.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/google/renameio/v2"

	"github.com/docker-stig/docker-stig/tests/doubles"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stderr, func(string) {})
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "doubles:", err)
		os.Exit(1)
	}
}

// options are the command line.
type options struct {
	dir          string
	contentTrust bool
	account      string
	ucpFault     doubles.Fault
	dtrFault     doubles.Fault
}

func parse(args []string) (options, error) {
	var opts options
	flags := flag.NewFlagSet("doubles", flag.ContinueOnError)
	flags.StringVar(&opts.dir, "dir", "", "write certificates, passwords and doubles.env into `DIR`")
	flags.BoolVar(&opts.contentTrust, "content-trust", false, "whether the double of UCP asks for signed images")
	flags.StringVar(&opts.account, "account", "admin", "`NAME` of the account that doubles.env names: admin or carol")
	flags.Func("ucp-fault", "`FAULT` of the double of UCP", fault(&opts.ucpFault))
	flags.Func("dtr-fault", "`FAULT` of the double of DTR", fault(&opts.dtrFault))
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if opts.dir == "" {
		return options{}, errors.New("no directory to write into: give --dir DIR")
	}
	return opts, nil
}

func fault(into *doubles.Fault) func(string) error {
	return func(name string) (err error) {
		*into, err = doubles.ParseFault(name)
		return err
	}
}

// run serves until ctx ends, and calls ready with the name of doubles.env once
// it does. It logs to log.
func run(ctx context.Context, args []string, log io.Writer, ready func(string)) (err error) {
	opts, err := parse(args)
	if err != nil {
		return err
	}
	authority, err := doubles.NewAuthority("docker-stig doubles CA", time.Now())
	if err != nil {
		return err
	}
	common := doubles.ServerOptions{Authority: authority, Log: slog.New(slog.NewTextHandler(log, nil))}
	ucp, err := doubles.NewUCP(ctx, doubles.UCPOptions{ServerOptions: common, Config: doubles.DefaultConfig(opts.contentTrust)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ucp.Close()) }()
	dtr, err := doubles.NewDTR(ctx, doubles.DTROptions{ServerOptions: common})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dtr.Close()) }()
	ucp.SetFault(opts.ucpFault)
	dtr.SetFault(opts.dtrFault)

	env, err := describe(opts, ucp, dtr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(env)) }()
	ready(env)
	<-ctx.Done()
	return nil
}

// describe writes what a client needs, doubles.env last.
func describe(opts options, ucp *doubles.UCP, dtr *doubles.DTR) (string, error) {
	dir, err := filepath.Abs(opts.dir)
	if err != nil {
		return "", fmt.Errorf("finding %s: %w", opts.dir, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("making %s: %w", dir, err)
	}
	password, err := passwordOf(opts.account)
	if err != nil {
		return "", err
	}
	var env strings.Builder
	for _, double := range []struct {
		name, url string
		ca        []byte
	}{{"ucp", ucp.URL(), ucp.CA()}, {"dtr", dtr.URL(), dtr.CA()}} {
		ca := filepath.Join(dir, double.name+"-ca.pem")
		secret := filepath.Join(dir, double.name+"-password")
		if err := renameio.WriteFile(ca, double.ca, 0o644); err != nil {
			return "", fmt.Errorf("writing %s: %w", ca, err)
		}
		if err := renameio.WriteFile(secret, []byte(password+"\n"), 0o600); err != nil {
			return "", fmt.Errorf("writing %s: %w", secret, err)
		}
		prefix := "STIG_" + strings.ToUpper(double.name)
		for _, row := range [][2]string{
			{"_URL", double.url}, {"_CA", ca}, {"_USERNAME", opts.account}, {"_PASSWORD_FILE", secret},
		} {
			fmt.Fprintf(&env, "export %s%s=%s\n", prefix, row[0], shellQuoted(row[1]))
		}
	}
	name := filepath.Join(dir, "doubles.env")
	if err := renameio.WriteFile(name, []byte(env.String()), 0o600); err != nil {
		return "", fmt.Errorf("writing %s: %w", name, err)
	}
	return name, nil
}

func passwordOf(name string) (string, error) {
	for _, account := range doubles.DefaultAccounts() {
		if account.Username == name {
			return account.Password, nil
		}
	}
	return "", fmt.Errorf("the doubles have no account %q: give --account admin or carol", name)
}

// shellQuoted is text as one word of a POSIX shell.
func shellQuoted(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
