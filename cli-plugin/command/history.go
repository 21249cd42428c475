package command

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/docker-stig/docker-stig/cli-plugin/remedy/transaction"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// An event is a transaction, without what was in its files.
type event struct {
	ID      string            `json:"id"`
	Begun   time.Time         `json:"begun"`
	Ended   time.Time         `json:"ended,omitzero"`
	Phase   transaction.Phase `json:"phase"`
	Rules   []stig.ID         `json:"rules"`
	Changed []string          `json:"changed"`
	Done    []string          `json:"done,omitempty"` // what cannot be taken back
	Why     string            `json:"why,omitempty"`
	Damaged string            `json:"damaged,omitempty"` // why it cannot be taken back
}

func newHistoryCommand(dockerCLI command.Cli) *cobra.Command {
	format := tableFormat
	cmd := &cobra.Command{
		Use:   "history [OPTIONS]",
		Short: "List what docker stig fix changed",
		Long: `List the transactions of docker stig fix on this machine, the oldest first: what
each changed and for which requirements, and what became of it. docker stig undo
takes back one that is "applied".`,
		Args: arguments(0, 0),
		RunE: func(*cobra.Command, []string) error {
			return runHistory(dockerCLI, transaction.StoreIn(stateDir()), format)
		},
	}
	cmd.Flags().Var(&format, "format", "Write the list as table or json")
	return cmd
}

func runHistory(dockerCLI command.Cli, store transaction.Store, as format) error {
	ids, err := store.List()
	if err != nil {
		return err
	}
	events := []event{}
	for _, id := range ids {
		events = append(events, eventOf(store, id))
	}
	if as == jsonFormat {
		encoder := json.NewEncoder(dockerCLI.Out())
		encoder.SetIndent("", "  ")
		return encoder.Encode(events)
	}
	if len(events) == 0 {
		_, err := fmt.Fprintln(dockerCLI.Out(), "Nothing was changed here.")
		return err
	}
	table := tabwriter.NewWriter(dockerCLI.Out(), 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "ID\tSTATE\tRULES\tCHANGED")
	for _, e := range events {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%d\t%s\n", e.ID, e.state(), len(e.Rules), strings.Join(append(e.Changed, e.Done...), ", "))
	}
	return table.Flush()
}

// eventOf reads a transaction; one that cannot be read is an event, too.
func eventOf(store transaction.Store, id string) event {
	e := event{ID: id}
	j, err := store.Head(id)
	if j != nil {
		e = event{ID: id, Begun: j.Begun, Ended: j.Ended, Phase: j.Phase, Rules: j.Rules, Done: j.Done, Why: j.Why}
		for _, step := range j.Steps {
			e.Changed = append(e.Changed, step.Subject)
		}
	}
	if err == nil && j.MayBeTakenBack() {
		_, err = store.Read(id)
	}
	if err != nil {
		e.Damaged = err.Error()
	}
	return e
}

// state is the phase, with what a person has to see to.
func (e event) state() string {
	if e.Damaged == "" {
		return string(e.Phase)
	}
	return strings.TrimSpace(string(e.Phase) + " (cannot be read: " + e.Damaged + ")")
}
