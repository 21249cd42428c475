package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/bundle"
	"github.com/docker-stig/docker-stig/shared/trust/notary"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
	"github.com/docker/cli/cli/command"
)

// daemonState is where docker-stig-authz keeps what it knows.
const daemonState = "/var/lib/docker-stig"

// readBundle reads the bundle in a file, or on standard input for "-".
func readBundle(dockerCLI command.Cli, path string) (bundle.Bundle, error) {
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return bundle.Bundle{}, err
		}
		defer file.Close()
		b, err := bundle.Read(file)
		if err != nil {
			return b, fmt.Errorf("%s: %w", path, err)
		}
		return b, nil
	}
	if dockerCLI.In().IsTerminal() {
		return bundle.Bundle{}, errors.New("a bundle cannot be typed in: name its file, or lead it to standard input (docker stig trust import - < FILE)")
	}
	return bundle.Read(dockerCLI.In())
}

// A paragraph is one repository in a table for a person.
type paragraph struct {
	title string
	rows  [][2]string
}

func (p *paragraph) add(label, format string, args ...any) {
	p.rows = append(p.rows, [2]string{label, fmt.Sprintf(format, args...)})
}

// addRefusal says why something was not accepted, and what to do.
func (p *paragraph) addRefusal(err error) {
	p.add("Reason", "%s", reasonOf(err))
	if next := bundleAdvice(err); next != "" {
		p.add("Next", "%s", next)
	}
}

// addUntil says from which day starts are refused.
func (p *paragraph) addUntil(r notary.Repository, now time.Time) {
	if r.Until.IsZero() {
		p.add("Until", "for good: the policy never refuses it for its age")
		return
	}
	p.add("Until", "%s; from then on starts are refused", dated(r.Until, now))
}

func writeParagraphs(w io.Writer, paragraphs []paragraph) error {
	var b strings.Builder
	for i, p := range paragraphs {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintln(&b, p.title)
		for _, row := range p.rows {
			fmt.Fprintf(&b, "  %-8s %s\n", row[0], strings.ReplaceAll(row[1], "\n", "\n           "))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// endsSoon reports whether it is time to say that starts will be refused.
func endsSoon(r notary.Repository, now time.Time) bool {
	return !r.Until.IsZero() && r.Until.Sub(now) <= soon
}

// endedBy is the role whose age ends a repository: the first that the policy
// gives no more time than it gives itself. Else it is the timestamp or the
// snapshot, which are the ones to which the policy may give more.
func endedBy(r notary.Repository) string {
	for _, role := range r.Roles {
		if role.Expires.Equal(r.Until) {
			return role.Name
		}
	}
	return "timestamp"
}

// prolonging says how starts of what came in a bundle go on past its end.
func prolonging(r notary.Repository) string {
	if role := endedBy(r); role != "timestamp" && role != "snapshot" {
		return fmt.Sprintf("have its publisher sign %s again, and import a newer bundle before that day: nothing else renews it", role)
	}
	return fmt.Sprintf("import a newer bundle before that day, or give it more time in the policy: \"allow-expired\": {%q: \"30d\"}, counted from the timestamp's own end; nobody hears of newer signatures meanwhile", r.GUN)
}

// ofBundle is what to do about a refused bundle, where the advice for servers
// would mislead.
var ofBundle = map[trust.Reason]string{
	trust.Unreachable:  "export it again: it lacks what is needed to judge it",
	trust.Rollback:     "use a newer bundle: what is known here is newer than this one",
	trust.BadSignature: "do not use it; export it again, and ask its publisher if the reason stays",
}

func bundleAdvice(err error) string {
	refused := new(trust.Error)
	if !errors.As(err, &refused) {
		return ""
	}
	if next := ofBundle[refused.Reason]; next != "" && refused.Next == "" {
		return next
	}
	return trust.Advice(err)
}

// someTags lists tags, and of many the first.
func someTags(tags []string) string {
	const shown = 12
	if len(tags) == 0 {
		return "none"
	}
	text := strings.Join(tags[:min(len(tags), shown)], ", ")
	if more := len(tags) - shown; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// vouchedFor are the tags that a policy accepts, and those it does not.
func vouchedFor(r notary.Repository) (yes, no []string) {
	for _, tag := range r.Tags {
		if tag.Err == nil {
			yes = append(yes, printable(tag.Name))
		} else {
			no = append(no, printable(tag.Name))
		}
	}
	return yes, no
}

// printable is text from outside as a terminal may show it.
func printable(text string) string {
	if quoted := strconv.Quote(text); quoted[1:len(quoted)-1] != text {
		return quoted
	}
	return text
}

// count writes a number with its noun.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// firstEnd is the repository that is refused first.
func firstEnd(list []policy.Carried) (notary.Repository, bool) {
	var accepted []notary.Repository
	for _, carried := range list {
		if carried.Err == nil && !carried.Until.IsZero() {
			accepted = append(accepted, carried.Repository)
		}
	}
	if len(accepted) == 0 {
		return notary.Repository{}, false
	}
	return slices.MinFunc(accepted, func(a, b notary.Repository) int { return a.Until.Compare(b.Until) }), true
}
