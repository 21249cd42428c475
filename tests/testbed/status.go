package testbed

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// WriteStatus writes what the testbed consists of and whether it runs. It
// reports whether all of it does.
func (tb *Testbed) WriteStatus(w io.Writer) (bool, error) {
	l, err := openLedger(tb.dir)
	if err != nil {
		return false, err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(table, "PROCESS\tPID\tRUNS\tADDRESS\n")
	addresses := map[string]string{"engine": tb.host(), "registry-door": tb.Registry(), "notary-door": tb.NotaryURL()}
	healthy := true
	for _, name := range partNames {
		p := l.latest(name)
		healthy = healthy && p.alive()
		_, _ = fmt.Fprintf(table, "%s\t%d\t%s\t%s\n", name, p.PID, yesNo(p.alive()), addresses[name])
	}
	return healthy, table.Flush()
}

// partNames are the processes of a testbed, as in the package comment.
var partNames = []string{"room", "engine", "registry", "registry-door", "signer", "notary", "notary-door"}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}
