package remedy

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// A Publisher signs tags. Keys, servers and registries are its business.
type Publisher interface {
	// Signer is who vouches for what is signed; "": nobody was named.
	Signer() string
	// Stand says of each tag why it cannot be signed as it is planned: nil if
	// what the registry has under its name hashes to its digest.
	Stand(ctx context.Context, tags []change.Publish) []error
	// Publish signs all tags. One that fails does not keep the others from it.
	Publish(ctx context.Context, tags []change.Publish) error
}

// Signatures are the tags that the plan signs.
func (p Plan) Signatures() []change.Publish {
	var tags []change.Publish
	for _, c := range p.Changes {
		if c.Publish != nil {
			tags = append(tags, *c.Publish)
		}
	}
	return tags
}

// signatures takes the wishes that sign tags out, gives them a signer, and
// leaves out those that cannot be signed, or that nobody has agreed to.
func (c *composer) signatures(ctx context.Context) []Planned {
	var wishes, others []change.Change
	for _, w := range c.wishes {
		if w.Publish == nil {
			others = append(others, w)
			continue
		}
		wishes = append(wishes, w)
	}
	c.wishes = others
	wishes = c.without(wishes, func(i int) string { return c.whyNotSigned(wishes[i]) })
	if len(wishes) == 0 {
		return nil
	}
	tags := make([]change.Publish, len(wishes))
	for i := range wishes {
		tags[i] = *wishes[i].Publish
		tags[i].Signers = []string{c.options.Publisher.Signer()}
		wishes[i].Publish = &tags[i]
	}
	errs := c.options.Publisher.Stand(ctx, tags)
	var planned []Planned
	for _, w := range c.without(wishes, func(i int) string { return text(errs[i]) }) {
		planned = append(planned, Planned{Change: w})
	}
	return planned
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// whyNotSigned says why a tag is not even looked at, "" if it is.
func (c *composer) whyNotSigned(w change.Change) string {
	switch {
	case w.ByName != "" && !c.options.Named:
		return w.ByName + ": name the rule to have it signed"
	case c.options.Publisher == nil:
		return "signatures are published by docker stig trust sign"
	case c.options.Publisher.Signer() == "":
		return w.ByName + ": say with --signer who vouches for it"
	case !c.options.Irrevocable && !c.options.Asks:
		return forGood(w)
	}
	return ""
}

// without leaves out the tags that there is a reason for, those with the same
// one in one line: a registry may have thousands.
func (c *composer) without(wishes []change.Change, why func(i int) string) []change.Change {
	var kept []change.Change
	var reasons []string
	gone := map[string][]change.Change{}
	for i, w := range wishes {
		reason := why(i)
		if reason == "" {
			kept = append(kept, w)
			continue
		}
		if gone[reason] == nil {
			reasons = append(reasons, reason)
		}
		gone[reason] = append(gone[reason], w)
	}
	for _, reason := range reasons {
		var tags []change.Publish
		var serves []stig.ID
		for _, w := range gone[reason] {
			tags, serves = append(tags, *w.Publish), append(serves, w.Serves...)
		}
		c.plan.LeftOut = append(c.plan.LeftOut, LeftOut{distinct(serves), fmt.Sprintf("%s (%s)", signing(tags), few(tags)), reason})
	}
	return kept
}

// signing says what is done to tags.
func signing(tags []change.Publish) string {
	repositories := map[string]bool{}
	for _, tag := range tags {
		repositories[tag.Repository] = true
	}
	return fmt.Sprintf("signing %s in %s", count(len(tags), "tag", "tags"), count(len(repositories), "repository", "repositories"))
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// few names the first of many tags.
func few(tags []change.Publish) string {
	const most = 5
	var list []string
	for _, tag := range tags[:min(len(tags), most)] {
		list = append(list, tag.Repository+":"+tag.Tag)
	}
	if more := len(tags) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(list, ", "), more)
	}
	return strings.Join(list, ", ")
}

// showSignatures lists what is signed as a whole: a person says yes to that.
func (p Plan) showSignatures(b *strings.Builder) {
	tags := p.Signatures()
	if len(tags) == 0 {
		return
	}
	var serves []stig.ID
	why := ""
	for _, c := range p.Changes {
		if c.Publish != nil {
			serves, why = append(serves, c.Serves...), c.Irrevocable
		}
	}
	fmt.Fprintf(b, "%s\n  serves %s, disrupts: %s, cannot be taken back: %s\n", signing(tags), names(distinct(serves)), change.None, why)
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "  TAG\tDIGEST\tSIGNER")
	for _, tag := range tags {
		_, _ = fmt.Fprintf(w, "  %s:%s\t%s\t%s\n", tag.Repository, tag.Tag, tag.Digest, strings.Join(tag.Signers, ", "))
	}
	_ = w.Flush() // into memory
}
