package dockerfile

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/moby/buildkit/frontend/dockerfile/command"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// classicMark stands behind How for what BuildKit of today does not use.
const classicMark = " (classic builder)"

// merge adds what another builder uses besides. What is no name to it, it
// cannot use.
func merge(bases, others []Base) []Base {
	known := map[string]bool{}
	for _, b := range bases {
		known[b.key()] = true
	}
	for _, b := range others {
		if errors.Is(b.Err, errNoName) || known[b.key()] {
			continue
		}
		known[b.key()] = true
		b.How = strings.TrimSuffix(b.How, classicMark) + classicMark
		bases = append(bases, b)
	}
	slices.SortStableFunc(bases, func(a, b Base) int { return cmp.Compare(a.Line, b.Line) })
	return bases
}

// key tells bases apart that are to be judged apart.
func (b Base) key() string {
	if b.Err != nil {
		return fmt.Sprintf("%d %v", b.Line, b.Err)
	}
	return b.Ref.String()
}

// older gives what builders use that know no here-documents, where they read
// the file otherwise. They read all of it before they do anything, so a line of
// a here-document that is no instruction is the end of their build.
func older(raw []byte, now reading, args map[string]string, target string) []Base {
	old, ok := splitOld(raw)
	if !ok || old.reads(now.tree) || old.refuses() {
		return nil
	}
	bases, err := old.bases(args, target)
	if err != nil {
		line := old.differs(now.tree)
		return []Base{{
			Line: line.start, How: "instruction", Text: strings.ToUpper(line.instruction()),
			Err: fmt.Errorf("from here on the classic builder reads the file otherwise than BuildKit, and what it uses cannot be told: write it so that both read the same: %w", err),
		}}
	}
	return bases
}

// A logicalLine is an instruction with the lines that continue it.
type logicalLine struct {
	text       string
	start, end int // from 1
}

// An oldFile is a Dockerfile as BuildKit 0.8 splits it.
type oldFile struct {
	lines  []logicalLine
	escape string
}

// directive is what may stand in comments at the head of a file. BuildKit 0.8
// ends the head at the first that it does not know, such as "check".
var directive = regexp.MustCompile(`^#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$`)

// continued finds the end of a line that the next one continues.
var continued = map[string]*regexp.Regexp{
	`\`: regexp.MustCompile(`([^\\])\\[ \t]*$|^\\[ \t]*$`),
	"`": regexp.MustCompile("([^`])`[ \t]*$|^`[ \t]*$"),
}

// splitOld splits as BuildKit 0.8 does; it is not ok if that refuses to.
func splitOld(raw []byte) (file oldFile, ok bool) {
	physical := strings.Split(string(bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))), "\n")
	for i, text := range physical {
		physical[i] = strings.TrimSuffix(text, "\r")
	}
	file.escape = oldEscape(physical)
	more := continued[file.escape]
	if more == nil {
		return oldFile{}, false
	}
	var open []string // the lines that are joined so far
	start := 0
	for i, text := range physical {
		content := strings.TrimLeftFunc(text, unicode.IsSpace)
		if content == "" || content[0] == '#' {
			continue
		}
		if len(open) == 0 {
			text, start = content, i+1
		}
		open = append(open, more.ReplaceAllString(text, "$1"))
		if !more.MatchString(text) {
			file.lines = append(file.lines, logicalLine{strings.Join(open, ""), start, i + 1})
			open = nil
		}
	}
	if len(open) > 0 {
		file.lines = append(file.lines, logicalLine{strings.Join(open, ""), start, len(physical)})
	}
	return file, true
}

// oldEscape is the escape character that the head of a file asks for, and none
// if BuildKit 0.8 refuses the head.
func oldEscape(lines []string) string {
	escape, seen := `\`, map[string]bool{}
	for _, text := range lines {
		match := directive.FindStringSubmatch(strings.TrimLeftFunc(text, unicode.IsSpace))
		if match == nil {
			break
		}
		name := strings.ToLower(match[1])
		if name != "escape" && name != "syntax" {
			break
		}
		if seen[name] {
			return ""
		}
		seen[name] = true
		if name == "escape" {
			escape = match[2]
		}
	}
	return escape
}

// reads reports whether a parser of today has split the file likewise. With
// another escape character than "\" it has taken the flags apart otherwise.
func (f oldFile) reads(tree *parser.Result) bool {
	return f.escape == `\` && tree.EscapeToken == '\\' && slices.EqualFunc(f.lines, tree.AST.Children, logicalLine.is)
}

// differs is the first line that a parser of today has not.
func (f oldFile) differs(tree *parser.Result) logicalLine {
	for i, line := range f.lines {
		if i >= len(tree.AST.Children) || !line.is(tree.AST.Children[i]) {
			return line
		}
	}
	return f.lines[0]
}

func (l logicalLine) is(node *parser.Node) bool {
	return l.text == node.Original && l.start == node.StartLine
}

// refuses reports whether there is a line that is no instruction.
func (f oldFile) refuses() bool {
	return slices.ContainsFunc(f.lines, func(line logicalLine) bool {
		_, known := command.Commands[line.instruction()]
		return !known
	})
}

func (l logicalLine) instruction() string {
	word, _, _ := strings.Cut(strings.Map(oneSpace, strings.TrimSpace(l.text)), " ")
	return strings.ToLower(word)
}

// oneSpace makes alike what parts an instruction from what follows it.
func oneSpace(r rune) rune {
	if strings.ContainsRune("\t\v\f\r", r) {
		return ' '
	}
	return r
}

// bases reads the lines that can name an image.
func (f oldFile) bases(args map[string]string, target string) ([]Base, error) {
	root := &parser.Node{StartLine: -1}
	for _, line := range f.lines {
		text := line.text + noHeredocs(line.text)
		switch instruction := line.instruction(); {
		case instruction == command.Arg:
			text = "# escape=" + f.escape + "\n" + text
		case instruction != command.From && !strings.Contains(text, "--"):
			continue // without a flag
		}
		// Flags have "\" in BuildKit 0.8, whatever the head of the file says.
		tree, err := parser.Parse(strings.NewReader(text))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line.start, err)
		}
		root.AddChild(tree.AST.Children[0], line.start, line.end)
	}
	file, err := newReading(&parser.Result{AST: root, EscapeToken: rune(f.escape[0])})
	if err != nil {
		return nil, err
	}
	return file.bases(args, target)
}

// noHeredocs ends the here-documents that a parser of today sees in a line.
func noHeredocs(text string) string {
	if !strings.Contains(text, "<<") {
		return ""
	}
	lex := shell.NewLex('\\')
	lex.RawQuotes, lex.RawEscapes, lex.SkipUnsetEnv = true, true, true
	words, _ := lex.ProcessWords(text, env{}) // the parser takes those before an error too
	ends := ""
	for _, word := range words {
		if heredoc, err := parser.ParseHeredoc(word); err == nil && heredoc != nil {
			ends += "\n" + heredoc.Name
		}
	}
	return ends
}
