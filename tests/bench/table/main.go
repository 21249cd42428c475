// Command table passes the output of benchmarks on, and at its end prints what
// was measured beside what is wanted. It judges nobody: a machine that does
// other things as well misses what it would reach alone.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// A row is one number to reach.
type row struct {
	work      string
	benchmark string // without "Benchmark" in front
	unit      string
	reach     float64
	more      bool // at least, not at most
}

const (
	allowAll    = "AuthZ question, against an allow-all plugin: "
	create      = "added to a docker create: "
	list        = "added to GET /containers/json: "
	idle        = "memory after 100 requests: "
	approved    = "memory with 1,000 approvals: "
	guardedPing = "added to /_ping by the guard: "
	guardedSave = "docker save through the guard: "
	checked     = "check of an engine's 200 containers, against docker inspect of them: "
	planned     = "docker stig fix --dry-run of a whole host, against check: "
	grown       = "growth of check from 20 to 200 containers: "
	registry    = "50,000 tags of a DTR, 20 ms an answer: "
)

var rows = []row{
	{work: allowAll + "pass-through", benchmark: "Question/PassRequest", unit: "×p50", reach: 1.1},
	{work: allowAll + "pass-through", benchmark: "Question/PassRequest", unit: "×p99", reach: 1.5},
	{work: allowAll + "pass-through, answer", benchmark: "Question/PassResponse", unit: "×p50", reach: 1.1},
	{work: allowAll + "pass-through, answer", benchmark: "Question/PassResponse", unit: "×p99", reach: 1.5},
	{work: allowAll + "stop", benchmark: "Question/Stop", unit: "×p50", reach: 1.1},
	{work: allowAll + "stop", benchmark: "Question/Stop", unit: "×p99", reach: 1.5},
	{work: allowAll + "create, known repository", benchmark: "Question/Create", unit: "×p50", reach: 1.5},
	{work: create + "docker", benchmark: "Engine/docker/Create", unit: "ms-added-p50", reach: 2.5},
	{work: create + "moby", benchmark: "Engine/moby/Create", unit: "ms-added-p50", reach: 2.5},
	{work: list + "docker", benchmark: "Engine/docker/List", unit: "ms-added-p50", reach: 0.1},
	{work: list + "moby", benchmark: "Engine/moby/List", unit: "ms-added-p50", reach: 0.1},
	{work: idle + "docker", benchmark: "Engine/docker/Memory", unit: "MiB-served", reach: 30},
	{work: idle + "moby", benchmark: "Engine/moby/Memory", unit: "MiB-served", reach: 30},
	{work: approved + "docker", benchmark: "Engine/docker/Memory", unit: "MiB-approved", reach: 30},
	{work: approved + "moby", benchmark: "Engine/moby/Memory", unit: "MiB-approved", reach: 30},
	{work: guardedPing + "docker", benchmark: "Guard/docker/Ping", unit: "µs-added-p50", reach: 100},
	{work: guardedPing + "moby", benchmark: "Guard/moby/Ping", unit: "µs-added-p50", reach: 100},
	{work: guardedSave + "docker", benchmark: "Guard/docker/Save", unit: "×p50", reach: 1.25},
	{work: guardedSave + "moby", benchmark: "Guard/moby/Save", unit: "×p50", reach: 1.25},
	{work: "a known answer, by image", benchmark: "Known/image_of_500", unit: "ns/op", reach: 5000},
	{work: "first verification, against notary/client", benchmark: "First", unit: "of-notary/client", reach: 1.2},
	{work: "200 repositories, against docker trust inspect", benchmark: "Many", unit: "x-faster", reach: 8, more: true},
	{work: "200 tags signed, against docker trust sign of them", benchmark: "Sign", unit: "x-faster", reach: 10, more: true},
	{work: checked + "docker", benchmark: "Check/docker", unit: "×inspect", reach: 3},
	{work: checked + "moby", benchmark: "Check/moby", unit: "×inspect", reach: 3},
	{work: grown + "docker", benchmark: "Check/docker", unit: "×growth", reach: 10},
	{work: grown + "moby", benchmark: "Check/moby", unit: "×growth", reach: 10},
	{work: planned + "docker", benchmark: "Plan/docker", unit: "×check", reach: 1.5},
	{work: planned + "moby", benchmark: "Plan/moby", unit: "×check", reach: 1.5},
	{work: registry + "page after page on one connection", benchmark: "DTR", unit: "×serial", reach: 0.2},
	{work: registry + "memory", benchmark: "DTR", unit: "MiB-peak", reach: 150},
	{work: "memory with 10,000 repositories known", benchmark: "Memory", unit: "MiB/10000", reach: 120},
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "table:", err)
		os.Exit(1)
	}
}

func run(from io.Reader, to io.Writer) error {
	found, err := pass(from, to)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nWORK\tWANTED\tMEASURED\tUNIT\t")
	for _, r := range rows {
		fmt.Fprintln(w, r.line(found[r.benchmark+" "+r.unit]))
	}
	return w.Flush()
}

// pass copies lines and gives what they tell, by benchmark and unit.
func pass(from io.Reader, to io.Writer) (map[string][]float64, error) {
	found := map[string][]float64{}
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		if _, err := fmt.Fprintln(to, lines.Text()); err != nil {
			return nil, err
		}
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := bare(fields[0])
		for i := 2; i+1 < len(fields); i += 2 { // behind the name and the number of rounds
			if value, err := strconv.ParseFloat(fields[i], 64); err == nil {
				found[name+" "+fields[i+1]] = append(found[name+" "+fields[i+1]], value)
			}
		}
	}
	return found, lines.Err()
}

// bare is the name of a benchmark without the number of processors.
func bare(name string) string {
	name = strings.TrimPrefix(name, "Benchmark")
	cut := strings.LastIndexByte(name, '-')
	if cut < 0 || strings.Trim(name[cut+1:], "0123456789") != "" {
		return name
	}
	return name[:cut]
}

// line holds the median of what was measured against what is wanted.
func (r row) line(measured []float64) string {
	sign := "≤"
	if r.more {
		sign = "≥"
	}
	wanted := sign + " " + format(r.reach)
	if len(measured) == 0 {
		return fmt.Sprintf("%s\t%s\t%s\t%s\t%s", r.work, wanted, "-", r.unit, "not measured")
	}
	slices.Sort(measured)
	got := measured[len(measured)/2]
	verdict := "missed"
	if got == r.reach || (got > r.reach) == r.more {
		verdict = "reached"
	}
	return fmt.Sprintf("%s\t%s\t%s\t%s\t%s", r.work, wanted, format(got), r.unit, verdict)
}

func format(value float64) string { return strconv.FormatFloat(value, 'g', 4, 64) }
