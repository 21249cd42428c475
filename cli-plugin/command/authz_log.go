package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/record"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
)

// defaultLast is how many records are shown if nobody says how many or since
// when: a few screens.
const defaultLast = 100

// maxLast bounds the records that are kept to find the last ones.
const maxLast = 100_000

type logOptions struct {
	since, until string
	last         int
	follow       bool
	denied       bool
	image        string
	format       format
	file         string
}

func newAuthzLogCommand(dockerCLI command.Cli) *cobra.Command {
	opts := logOptions{format: tableFormat}
	cmd := &cobra.Command{
		Use:   "log [OPTIONS]",
		Short: "Show what docker-stig-authz decided",
		Long: `Show what docker-stig-authz decided on this machine, the newest last: what was
let through, what was denied, and what would have been denied were the policy
enforced. Requests in which nothing is judged are not on record, unless the
daemon was started with --log-passed.

The records are read from the journal, or from ` + record.DefaultFile + `
and older files beside it where there is no journal. Without --since and --last
the last 100 are shown. A TIME is an age such as 90m, 2h or 7d, a date, or a
date with a time, in UTC unless it says otherwise: 2026-11-22T08:00:00+01:00.
In a PATTERN, * stands for anything but a slash, and ** for anything.

Exit codes: 0; 3 nothing was found, and only root sees all there is;
1 everything else.`,
		Example: `  sudo docker stig authz log --since 2h --denied
  sudo docker stig authz log --follow
  sudo docker stig authz log --image 'dtr.example.com/prod/**' --format json`,
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("last") && opts.since == "" {
				opts.last = defaultLast
			}
			return runAuthzLog(cmd.Context(), dockerCLI, opts)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&opts.since, "since", "", "Show what was decided at TIME or later")
	flags.StringVar(&opts.until, "until", "", "Show what was decided before TIME")
	flags.IntVarP(&opts.last, "last", "n", 0, "Show the last N records; 0 is all of them")
	flags.BoolVarP(&opts.follow, "follow", "f", false, "Go on with what is decided from now on")
	flags.BoolVar(&opts.denied, "denied", false, "Show only what was denied, or would have been")
	flags.StringVar(&opts.image, "image", "", "Show only decisions on images whose name matches PATTERN")
	flags.Var(&opts.format, "format", "Write the records as json, one object a line, or table")
	flags.StringVar(&opts.file, "file", "", "Read this file and older ones beside it, whether there is a journal or not")
	return cmd
}

func runAuthzLog(ctx context.Context, dockerCLI command.Cli, opts logOptions) error {
	wanted, err := opts.filter(time.Now())
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	source, err := opts.source()
	if err != nil {
		return err
	}
	out := &recordWriter{out: dockerCLI.Out(), format: opts.format}
	bad, err := source.backlog(ctx, wanted, out.put)
	if err != nil {
		return withSudo(err)
	}
	if opts.follow {
		err := source.follow(ctx, wanted, out.put)
		if ctx.Err() != nil {
			return nil // told to stop
		}
		return err
	}
	if bad > 0 {
		fmt.Fprintf(dockerCLI.Err(), "docker stig: %s could not be read and left out\n", count(bad, "record", "records"))
	}
	if out.written > 0 {
		return nil
	}
	if os.Geteuid() != 0 {
		return exit(exitUnknown, "nothing was found in %s, but not everybody sees all of it: run it with sudo", source)
	}
	_, err = fmt.Fprintf(dockerCLI.Err(), "docker stig: no decision in %s matches\n", source)
	return err
}

// A recordFilter says which records are wanted.
type recordFilter struct {
	since, until time.Time // zero: no bound
	last         int       // zero: all
	denied       bool
	image        *regexp.Regexp // nil: any
}

func (o logOptions) filter(now time.Time) (recordFilter, error) {
	f := recordFilter{last: o.last, denied: o.denied}
	if o.last < 0 || o.last > maxLast {
		return f, fmt.Errorf("--last: %d: want 0 for all, or up to %d", o.last, maxLast)
	}
	var err error
	if f.since, err = moment(o.since, now); err != nil {
		return f, fmt.Errorf("--since: %w", err)
	}
	if f.until, err = moment(o.until, now); err != nil {
		return f, fmt.Errorf("--until: %w", err)
	}
	if o.follow && o.until != "" {
		return f, errors.New("--follow goes on and --until ends: give one of them")
	}
	if o.image != "" {
		quoted := regexp.QuoteMeta(o.image)
		quoted = strings.ReplaceAll(quoted, `\*\*`, `.*`)
		quoted = strings.ReplaceAll(quoted, `\*`, `[^/]*`)
		f.image, err = regexp.Compile(`^(?:` + quoted + `)$`)
	}
	return f, err
}

// moments are the ways to write a time. One without a zone is UTC.
var moments = []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"}

// moment reads an age or a time; zero if there is none.
func moment(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range moments {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	age, err := time.ParseDuration(text)
	if days, isDays := strings.CutSuffix(text, "d"); isDays {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16) // a longer age would end before there were computers
		age = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || age < 0 {
		return time.Time{}, fmt.Errorf("%q is no time: want an age such as 2h or 7d, 2026-11-22, or 2026-11-22T08:00:00Z", text)
	}
	return now.Add(-age), nil
}

func (f recordFilter) wants(r record.Record) bool {
	switch {
	case !f.since.IsZero() && r.Time.Before(f.since),
		!f.until.IsZero() && !r.Time.Before(f.until),
		f.denied && r.Outcome != record.Denied && r.Outcome != record.WouldDeny:
		return false
	case f.image == nil:
		return true
	}
	for _, image := range append([]string{r.Image}, r.Others...) {
		if f.wantsImage(image) {
			return true
		}
	}
	return false
}

// wantsImage tries a name as it was given, and its repository in short and in
// full.
func (f recordFilter) wantsImage(image string) bool {
	if image == "" {
		return false
	}
	if f.image.MatchString(image) {
		return true
	}
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return false
	}
	return f.image.MatchString(named.String()) || f.image.MatchString(named.Name()) || f.image.MatchString(reference.FamiliarName(named))
}

// each gives wanted records, of a backlog the last ones only.
func (f recordFilter) each(put func(record.Record) error) (take func(record.Record) error, end func() error) {
	if f.last == 0 {
		return func(r record.Record) error {
			if !f.wants(r) {
				return nil
			}
			return put(r)
		}, func() error { return nil }
	}
	var kept []record.Record
	take = func(r record.Record) error {
		if f.wants(r) {
			kept = append(kept, r)
		}
		if len(kept) >= 2*f.last { // now and then, so that it costs little
			kept = append(kept[:0], kept[len(kept)-f.last:]...)
		}
		return nil
	}
	return take, func() error {
		for _, r := range kept[max(0, len(kept)-f.last):] {
			if err := put(r); err != nil {
				return err
			}
		}
		return nil
	}
}
