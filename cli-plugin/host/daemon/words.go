package daemon

import (
	"iter"
	"strings"
)

// joinedLines gives the lines of a file without comments and empty ones. A
// line that ends in a backslash goes on in the next; comments in between are
// left out.
func joinedLines(raw []byte) iter.Seq[string] {
	return func(yield func(string) bool) {
		var pending strings.Builder
		for line := range strings.Lines(string(raw)) {
			line = strings.TrimSpace(line)
			if strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
				continue
			}
			if begun, goesOn := strings.CutSuffix(line, `\`); goesOn {
				pending.WriteString(begun + " ")
				continue
			}
			pending.WriteString(line)
			whole := strings.TrimSpace(pending.String())
			pending.Reset()
			if whole != "" && !yield(whole) {
				return
			}
		}
		if rest := strings.TrimSpace(pending.String()); rest != "" {
			yield(rest)
		}
	}
}

// A word is one argument of a command line.
type word struct {
	text   string
	quoted bool // some of it was in quotes
}

// Words splits a command line into its arguments, without variables.
func Words(line string) []string {
	var list []string
	for _, w := range words(line) {
		list = append(list, w.text)
	}
	return list
}

// words splits a command line: quotes hold words together, and a backslash
// takes the next character as it is.
func words(line string) []word {
	var list []word
	var text strings.Builder
	var quote byte
	begun, quoted := false, false
	end := func() {
		if begun {
			list = append(list, word{text.String(), quoted})
		}
		text.Reset()
		begun, quoted = false, false
	}
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '\\' && quote != '\'' && i+1 < len(line):
			i++
			text.WriteByte(line[i])
			begun = true
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote, begun, quoted = c, true, true
		case quote == 0 && (c == ' ' || c == '\t' || c == '\n' || c == '\r'):
			end()
		default:
			text.WriteByte(c)
			begun = true
		}
	}
	end()
	return list
}
