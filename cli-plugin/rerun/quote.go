package rerun

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// plain is a word that means itself to every POSIX shell.
var plain = regexp.MustCompile(`^[A-Za-z0-9_%+,./:@=-]+$`)

// Quote writes words as a line for a POSIX shell. Characters that a terminal
// would act on, or not show, are written as octal numbers for printf: what is
// read is what is run. A word may hold anything but NUL.
func Quote(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = quote(word)
	}
	return strings.Join(quoted, " ")
}

func quote(word string) string {
	if plain.MatchString(word) {
		return word
	}
	var out, hidden strings.Builder
	open := false
	toggle := func(to bool) {
		if hidden.Len() > 0 {
			out.WriteString(`"$(printf '` + hidden.String() + `')"`)
			hidden.Reset()
		}
		if open != to {
			out.WriteByte('\'')
			open = to
		}
	}
	for i := 0; i < len(word); {
		r, size := utf8.DecodeRuneInString(word[i:])
		char := word[i : i+size]
		i += size
		switch {
		case char == "'":
			toggle(false)
			out.WriteString(`\'`)
		case char == "\n", unicode.IsPrint(r) && (r != utf8.RuneError || size > 1):
			toggle(true)
			out.WriteString(char)
		default:
			if hidden.Len() == 0 {
				toggle(false)
			}
			for _, b := range []byte(char) {
				fmt.Fprintf(&hidden, `\%03o`, b)
			}
		}
	}
	toggle(false)
	if out.Len() == 0 {
		return "''"
	}
	return out.String()
}

// Plain is a text for a person: on one line, and with nothing in it that a
// terminal would act on.
func Plain(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, text)
}
