package command

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/notary"
)

// maxRows bounds each table that a person gets; --all shows the rest.
const maxRows = 20

// An inspectionTable writes inspections for a person.
type inspectionTable struct {
	bytes.Buffer

	now time.Time
	all bool
}

func writeInspectionTable(w io.Writer, inspections []inspection, now time.Time, all bool) error {
	t := &inspectionTable{now: now, all: all}
	for n, i := range inspections {
		if n > 0 {
			fmt.Fprintln(t)
		}
		t.repository(i)
	}
	_, err := w.Write(t.Bytes())
	return err
}

func (t *inspectionTable) repository(i inspection) {
	fmt.Fprintln(t, reference.FamiliarString(i.ref))
	t.head(i)
	if len(i.found.Roles) == 0 {
		return // nothing was verified, so nothing is shown
	}
	t.roles(i.found.Roles)
	t.keys(i.found.Roles)
	t.tags(i.found.Tags)
}

func (t *inspectionTable) head(i inspection) {
	row := func(name, text string) {
		if text != "" {
			fmt.Fprintf(t, "  %-8s %s\n", name, text)
		}
	}
	row("Verdict", i.verdict()+i.count())
	row("Reason", reasonOf(i.err))
	row("Next", trust.Advice(i.err))
	row("Scope", i.scope)
	row("Source", i.source())
	row("Servers", i.asked())
	if from := refusedFrom(i.found, t.now); from != "" {
		fmt.Fprintf(t, "  %s\n", from)
	}
	for _, warning := range warnings(i.found, t.now) {
		fmt.Fprintf(t, "  WARNING: %s\n", warning)
	}
}

// count says how many tags are vouched for, when all are shown.
func (i *inspection) count() string {
	if _, one := i.tag(); one || i.err != nil {
		return ""
	}
	good := 0
	for _, tag := range i.found.Tags {
		if tag.Err == nil {
			good++
		}
	}
	return fmt.Sprintf(": %d of %d tags are vouched for", good, len(i.found.Tags))
}

var sourceNames = map[trust.Source]string{
	trust.Server: "server",
	trust.Cache:  "cache: verified before, and no server answered now",
	trust.Bundle: "bundle that was imported",
}

func (i *inspection) source() string { return sourceNames[i.found.Source] }

func (i *inspection) asked() string {
	if len(i.servers) == 0 {
		return "none: the policy says that only bundles count"
	}
	return strings.Join(i.servers, ", ")
}

// roles shows each role's state. Paths are quoted: they may hold anything.
func (t *inspectionTable) roles(roles []notary.Role) {
	rows := [][]string{{"ROLE", "VERSION", "THRESHOLD", "SIGNED BY", "TAGS", "EXPIRES", "MAY SIGN"}}
	for _, role := range shown(t, roles) {
		rows = append(rows, t.role(role))
	}
	t.table(rows)
	t.rest(len(roles), "roles")
	for _, role := range shown(t, roles) {
		if role.Err != nil {
			fmt.Fprintf(t, "  %s cannot be used: %s\n", role.Name, reasonOf(role.Err))
		}
	}
}

func (t *inspectionTable) role(r notary.Role) []string {
	signed := 0
	for _, key := range r.Keys {
		if key.Signed {
			signed++
		}
	}
	version, expires, tags, may := "-", "-", "-", "-"
	if r.Version > 0 {
		version = strconv.Itoa(r.Version)
	}
	if !r.Expires.IsZero() {
		expires = dated(r.Expires, t.now)
	}
	if strings.HasPrefix(r.Name, "targets") {
		tags, may = strconv.Itoa(r.Tags), "all tags"
	}
	if strings.HasPrefix(r.Name, "targets/") {
		may = paths(r.Paths)
	}
	return []string{r.Name, version, strconv.Itoa(r.Threshold), fmt.Sprintf("%d of %d keys", signed, len(r.Keys)), tags, expires, may}
}

// paths says which tags a delegation may sign.
func paths(prefixes []string) string {
	const most = 4 // prefixes of a long list
	var quoted []string
	for _, prefix := range prefixes {
		if prefix == "" {
			return "all tags"
		}
		quoted = append(quoted, fmt.Sprintf("%q…", prefix))
	}
	switch {
	case len(quoted) == 0:
		return "no tags"
	case len(quoted) > most:
		return fmt.Sprintf("%s and %d more", strings.Join(quoted[:most], ", "), len(quoted)-most)
	}
	return strings.Join(quoted, ", ")
}

// keys shows the IDs in full, one a line, so that they can be copied.
func (t *inspectionTable) keys(roles []notary.Role) {
	fmt.Fprintln(t, "\n  KEYS THAT MAY SIGN")
	for _, role := range shown(t, roles) {
		if len(role.Keys) == 0 {
			continue
		}
		fmt.Fprintf(t, "  %s%s\n", role.Name, signerOf(role))
		for _, key := range role.Keys {
			mark := ""
			if !key.Signed {
				mark = "  has not signed"
			}
			fmt.Fprintf(t, "    %s%s\n", key.ID, mark)
			if key.CertificateID != "" {
				fmt.Fprintf(t, "    %s  its certificate\n", key.CertificateID)
			}
		}
	}
}

func signerOf(role notary.Role) string {
	if signer := role.Signer(); signer != "" {
		return ", signer " + signer
	}
	return ""
}

// tags shows what is vouched for, then what is not, with the reason.
func (t *inspectionTable) tags(tags []notary.Tag) {
	var good, refused []notary.Tag
	for _, tag := range tags {
		if tag.Err == nil {
			good = append(good, tag)
		} else {
			refused = append(refused, tag)
		}
	}
	if len(good) > 0 {
		rows := [][]string{{"VOUCHED FOR", "DIGEST", "SIGNERS"}}
		for _, tag := range shown(t, good) {
			rows = append(rows, []string{tag.Name, string(tag.Signed.Digest), strings.Join(tag.Signed.Signers, ", ")})
		}
		t.table(rows)
		t.rest(len(good), "tags")
	}
	if len(refused) > 0 {
		rows := [][]string{{"REFUSED", "REASON"}}
		for _, tag := range shown(t, refused) {
			rows = append(rows, []string{tag.Name, reasonOf(tag.Err)})
		}
		t.table(rows)
		t.rest(len(refused), "tags")
	}
	if len(tags) == 0 {
		fmt.Fprintln(t, "\n  No tag is signed here.")
	}
}

// shown is as much of a list as a person is shown.
func shown[T any](t *inspectionTable, list []T) []T {
	if t.all {
		return list
	}
	return list[:min(len(list), maxRows)]
}

func (t *inspectionTable) rest(n int, what string) {
	if more := n - maxRows; more > 0 && !t.all {
		fmt.Fprintf(t, "  … and %d more %s: --all shows them, and --format json has them\n", more, what)
	}
}

// table writes rows in columns, indented, without blanks at the ends of lines.
func (t *inspectionTable) table(rows [][]string) {
	var columns bytes.Buffer
	writer := tabwriter.NewWriter(&columns, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(writer, "  "+strings.Join(row, "\t"))
	}
	_ = writer.Flush() // into memory
	fmt.Fprintln(t)
	fmt.Fprint(t, columns.String())
}
