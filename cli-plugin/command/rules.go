package command

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/benchmark"
	"github.com/docker-stig/docker-stig/shared/stig"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

type rulesOptions struct {
	names  []string
	only   narrowing
	manual string // path of DISA's own file
	format format
}

func newRulesCommand(dockerCLI command.Cli) *cobra.Command {
	opts := rulesOptions{format: tableFormat}
	cmd := &cobra.Command{
		Use:   "rules [OPTIONS] [RULE...]",
		Short: "List and explain the requirements of the Docker Enterprise STIG",
		Long: `List the requirements of DISA's Docker Enterprise 2.x Linux/UNIX STIG, or explain
those that are named: what is looked at, what is wanted, how it is put right,
and who decides it. A RULE is a Vuln ID (V-235788), a STIG ID (DKER-EE-001770)
or a Rule ID of any release.

A requirement is decided by program where what can be seen is enough; by site
where site.yaml has to give a value or a person's answer; by person where only a
document or an interview can tell.

The texts are ours. With --benchmark, DISA's stand beside them: give the file
*_Manual-xccdf.xml out of DISA's zip, of release V2R2 or V2R1. Neither an engine
nor a network is needed.`,
		Example: `  docker stig rules --component engine --severity I
  docker stig rules V-235788
  docker stig rules --benchmark U_Docker_Enterprise_2-x_Linux-Unix_STIG_V2R2_Manual-xccdf.xml V-235788
  docker stig rules --format json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.names = args
			if err := opts.check(); err != nil {
				return usageError(cmd, err)
			}
			return runRules(dockerCLI, opts)
		},
	}
	flags := cmd.Flags()
	opts.only.addFlags(flags, "List")
	flags.StringVar(&opts.manual, "benchmark", "", "DISA's own XCCDF file, to show its texts beside ours")
	flags.Var(&opts.format, "format", "Write the requirements as json or table")
	return cmd
}

// check refuses options that have no effect together.
func (o rulesOptions) check() error {
	if len(o.names) > 0 && !o.only.empty() {
		return fmt.Errorf("--component and --severity narrow the list: leave them out, or leave out %s", o.names[0])
	}
	if len(o.names) == 0 && o.manual != "" && o.format == tableFormat {
		return fmt.Errorf("the list has no room for the texts of --benchmark: name a rule, or add --format json")
	}
	return nil
}

func runRules(dockerCLI command.Cli, opts rulesOptions) error {
	guide, requirements, err := selectRequirements(opts.names)
	if err != nil {
		return err
	}
	requirements, err = opts.only.of(requirements)
	if err != nil {
		return err
	}
	manual, err := readManual(opts.manual)
	if err != nil {
		return err
	}
	if opts.format == jsonFormat {
		return writeRulesJSON(dockerCLI.Out(), guide, requirements, manual)
	}
	if len(opts.names) == 0 {
		return writeRulesTable(dockerCLI.Out(), guide, requirements)
	}
	return writeRulesPages(dockerCLI.Out(), requirements, manual)
}

// readManual reads DISA's own file; without a path there is none.
func readManual(path string) (*benchmark.Guide, error) {
	if path == "" {
		return nil, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--benchmark: %w", err)
	}
	defer file.Close()
	manual, err := benchmark.ReadXCCDF(file, path)
	if err != nil {
		return nil, fmt.Errorf("--benchmark: %w", err)
	}
	return manual, nil
}

// A narrowing leaves some of the requirements. The zero narrowing leaves all.
type narrowing struct {
	components []string
	severities []string
}

func (n *narrowing) addFlags(flags *pflag.FlagSet, verb string) {
	flags.StringSliceVar(&n.components, "component", nil, verb+" only what is about these: "+strings.Join(benchmark.Components(), ", "))
	flags.StringSliceVar(&n.severities, "severity", nil, verb+" only these categories: I, II, III")
}

func (n narrowing) empty() bool { return len(n.components) == 0 && len(n.severities) == 0 }

// of gives the requirements that are left, in their order.
func (n narrowing) of(requirements []benchmark.Requirement) ([]benchmark.Requirement, error) {
	var severities []stig.Severity
	for _, word := range n.severities {
		severity, err := stig.ParseSeverity(word)
		if err != nil {
			return nil, fmt.Errorf("--severity: %w", err)
		}
		severities = append(severities, severity)
	}
	for _, word := range n.components {
		if !slices.Contains(benchmark.Components(), word) {
			return nil, fmt.Errorf("--component: %q is no component: want %s", word, strings.Join(benchmark.Components(), ", "))
		}
	}
	var left []benchmark.Requirement
	for _, r := range requirements {
		if (len(severities) == 0 || slices.Contains(severities, r.Severity)) &&
			(len(n.components) == 0 || slices.Contains(n.components, r.Component)) {
			left = append(left, r)
		}
	}
	return left, nil
}
