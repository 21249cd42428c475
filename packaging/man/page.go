package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// What stands at a page's foot and head.
const (
	source = "docker-stig"
	manual = "docker-stig manual"
)

// topics are the pages that a command's page leads to, by the command's second
// word; "" is docker stig itself.
var topics = map[string][]string{
	"":        {"docker-stig-check(7)", "docker-stig-fix(7)", "docker-stig-trust(7)", "docker-stig-signing(7)", "docker-stig-authz(8)", "docker-stig-site(5)", "docker-stig-policy(5)"},
	"check":   {"docker-stig-check(7)", "docker-stig-site(5)", "docker-stig-policy(5)"},
	"rules":   {"docker-stig-check(7)", "docker-stig-site(5)"},
	"site":    {"docker-stig-site(5)", "docker-stig-check(7)"},
	"fix":     {"docker-stig-fix(7)", "docker-stig-site(5)", "docker-stig-signing(7)"},
	"undo":    {"docker-stig-fix(7)"},
	"history": {"docker-stig-fix(7)"},
	"trust":   {"docker-stig-trust(7)", "docker-stig-signing(7)", "docker-stig-policy(5)"},
	"authz":   {"docker-stig-authz(8)", "docker-stig-policy(5)"},
	"version": nil,
}

// commandPages makes a page of each command that help shows, by file name.
func commandPages(cmd *cobra.Command, date string) map[string][]byte {
	pages := map[string][]byte{pageName(cmd) + ".1": commandPage(cmd, date)}
	for _, sub := range visible(cmd) {
		for name, page := range commandPages(sub, date) {
			pages[name] = page
		}
	}
	return pages
}

// pageName joins a command's words: docker-stig-trust-verify.
func pageName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// visible are the subcommands that help shows, in its order.
func visible(cmd *cobra.Command) []*cobra.Command {
	var subs []*cobra.Command
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() && sub.Name() != "help" {
			subs = append(subs, sub)
		}
	}
	return subs
}

func commandPage(cmd *cobra.Command, date string) []byte {
	var page strings.Builder
	fmt.Fprintf(&page, ".TH %q 1 %q %q %q\n.nh\n.ad l\n", strings.ToUpper(pageName(cmd)), date, source, manual)
	fmt.Fprintf(&page, ".SH NAME\n%s \\- %s\n", escape(pageName(cmd)), escape(cmd.Short))
	fmt.Fprintf(&page, ".SH SYNOPSIS\n\\fB%s\\fR%s\n", escape(cmd.CommandPath()), escape(strings.TrimPrefix(cmd.Use, cmd.Name())))
	page.WriteString(".SH DESCRIPTION\n" + paragraphs(cmp.Or(cmd.Long, cmd.Short)))
	writeCommands(&page, cmd)
	writeOptions(&page, cmd)
	if cmd.Example != "" {
		page.WriteString(".SH EXAMPLES\n" + verbatim(cmd.Example))
	}
	page.WriteString(".SH SEE ALSO\n")
	page.WriteString(strings.Join(seeAlso(cmd), ",\n") + "\n")
	return []byte(page.String())
}

func writeCommands(page *strings.Builder, cmd *cobra.Command) {
	for i, sub := range visible(cmd) {
		if i == 0 {
			page.WriteString(".SH COMMANDS\n")
		}
		fmt.Fprintf(page, ".TP\n%s\n%s\n", link(pageName(sub)+"(1)"), escape(sub.Short))
	}
}

func writeOptions(page *strings.Builder, cmd *cobra.Command) {
	heading := ".SH OPTIONS\n"
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Deprecated != "" || f.Name == "help" {
			return
		}
		page.WriteString(heading)
		heading = ""
		page.WriteString(option(f))
	})
}

// option is one flag: how it is typed, what it does, and what holds without it.
func option(f *pflag.Flag) string {
	typed := "\\fB" + escape("--"+f.Name) + "\\fR"
	if f.Shorthand != "" {
		typed = "\\fB" + escape("-"+f.Shorthand) + "\\fR, " + typed
	}
	value, usage := pflag.UnquoteUsage(f)
	if value != "" {
		typed += " \\fI" + escape(value) + "\\fR"
	}
	if !slices.Contains([]string{"", "false", "[]", "0", "0s"}, f.DefValue) {
		usage += " (default " + f.DefValue + ")"
	}
	return ".TP\n" + typed + "\n" + escape(usage) + "\n"
}

func seeAlso(cmd *cobra.Command) []string {
	var links []string
	if cmd.HasParent() {
		links = append(links, link(pageName(cmd.Parent())+"(1)"))
	}
	for _, topic := range topics[subject(cmd)] {
		links = append(links, link(topic))
	}
	return links
}

// subject is a command's second word, "" of docker stig itself.
func subject(cmd *cobra.Command) string {
	words := strings.Fields(cmd.CommandPath())
	if len(words) < 3 {
		return ""
	}
	return words[2]
}

// link sets a page's name bold and its section plain, as man(1) wants it.
func link(page string) string {
	name, section, _ := strings.Cut(page, "(")
	return "\\fB" + escape(name) + "\\fR(" + section
}

// paragraphs fills a help text. A paragraph that is indented keeps its lines.
func paragraphs(text string) string {
	var page strings.Builder
	for i, paragraph := range strings.Split(strings.TrimSpace(text), "\n\n") {
		paragraph = strings.Trim(paragraph, "\n")
		switch {
		case strings.HasPrefix(paragraph, "  "):
			page.WriteString(".PP\n" + verbatim(paragraph))
			continue
		case i > 0:
			page.WriteString(".PP\n")
		}
		page.WriteString(escape(paragraph) + "\n")
	}
	return page.String()
}

// verbatim keeps lines as they are, without the indent they share with the
// rest of a help text.
func verbatim(text string) string {
	var page strings.Builder
	page.WriteString(".RS 4\n.nf\n")
	for _, line := range strings.Split(strings.Trim(text, "\n"), "\n") {
		page.WriteString(escape(strings.TrimPrefix(line, "  ")) + "\n")
	}
	page.WriteString(".fi\n.RE\n")
	return page.String()
}

// special are the characters that roff takes for requests or sets as another
// than the one on the keyboard (groff_man_style(7), Portability).
var special = strings.NewReplacer(
	`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`,
	"\n.", "\n\\&.", "\t", "    ",
)

func escape(text string) string {
	text = special.Replace(text)
	if strings.HasPrefix(text, ".") {
		return `\&` + text
	}
	return text
}

// tidy does three things to md2man's roff that mandoc asks for: no empty lines
// outside of examples, no paragraph at the head of a section, and hyphens that
// stay hyphens, so that a command can be copied from a page.
func tidy(page []byte) []byte {
	var lines []string
	example, headed := false, false
	for _, line := range strings.Split(strings.TrimSpace(string(page)), "\n") {
		request := strings.HasPrefix(line, ".")
		switch {
		case line == ".EX":
			example = true
		case line == ".EE":
			example = false
		case example:
		case line == "", headed && line == ".PP":
			continue
		}
		headed = strings.HasPrefix(line, ".S")
		if !request {
			line = strings.ReplaceAll(strings.ReplaceAll(line, `\-`, "-"), "-", `\-`)
		}
		lines = append(lines, line)
	}
	return []byte(strings.Join(lines, "\n") + "\n")
}
