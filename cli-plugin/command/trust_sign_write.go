package command

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/docker-stig/docker-stig/cli-plugin/signing"
)

// writeTargets lists what is about to be signed.
func writeTargets(to io.Writer, targets []signing.Target) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "TAG\tDIGEST\tBYTES")
	for _, t := range targets {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%d\n", t, t.Digest, t.Size)
	}
	return w.Flush()
}

// A publishing tells of each repository as it is done.
type publishing struct {
	to          io.Writer
	count, many int
}

func newPublishing(to io.Writer, targets []signing.Target) *publishing {
	repositories := map[string]bool{}
	for _, t := range targets {
		repositories[t.GUN] = true
	}
	return &publishing{to: to, many: len(repositories)}
}

func (p *publishing) done(r signing.Result) {
	p.count++
	state := "published"
	if r.Err != nil {
		state = "not published"
	}
	_, _ = fmt.Fprintf(p.to, "[%d/%d] %s: %s\n", p.count, p.many, r.GUN, state)
}

// writeSigned lists what became of each tag, and why.
func writeSigned(to io.Writer, results []signing.Result) error {
	var text strings.Builder
	for _, r := range results {
		for _, t := range r.Published {
			fmt.Fprintf(&text, "signed: %s %s in %s\n", t, t.Digest, strings.Join(r.Roles, ", "))
		}
		for _, t := range r.Unchanged {
			fmt.Fprintf(&text, "signed before: %s %s in %s\n", t, t.Digest, strings.Join(r.Roles, ", "))
		}
		for _, t := range r.Failed {
			fmt.Fprintf(&text, "not signed: %s %s\n", t, t.Digest)
		}
		if r.Err != nil {
			fmt.Fprintf(&text, "  because %v\n", r.Err)
		}
		if r.Began {
			fmt.Fprint(&text, begun(r.GUN, r.RootKey))
		}
	}
	_, err := io.WriteString(to, text.String())
	return err
}

// begun says what a repository that has begun needs next.
func begun(gun, rootKey string) string {
	return fmt.Sprintf("  %s had no signatures before. Keep its keys safe: docker stig trust key backup FILE\n"+
		"  Its root key, for those who are to accept it: %s\n", gun, rootKey)
}
