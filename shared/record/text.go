package record

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/docker-stig/docker-stig/shared/stig"
)

// What a request may put into a record is bounded: names come from outside.
const (
	maxText = 2 << 10 // bytes of one field; a denial's text has up to 1,500
	maxList = 32      // entries of a list
)

// clean puts a text on one bounded line without a character that moves a
// terminal's cursor or turns the direction of writing. Both who writes and who
// reads a record does this: others may get at a file in between.
func clean(text string) string {
	short := cut(text, maxText) // before work is put into what is not kept
	short = strings.Map(Printable, strings.TrimSpace(short))
	if len(short) <= maxText && len(text) <= maxText {
		return short
	}
	short = cut(short, maxText-len(more))
	return short + more
}

// more ends a text that was cut.
const more = "…"

// cut shortens a text to a number of bytes, between characters.
func cut(text string, size int) string {
	if len(text) <= size {
		return text
	}
	for size > 0 && !utf8.RuneStart(text[size]) {
		size--
	}
	return text[:size]
}

// Printable makes of a character one that moves no terminal's cursor and does
// not turn the direction of writing.
func Printable(r rune) rune {
	switch {
	case unicode.IsSpace(r):
		return ' '
	case !unicode.IsPrint(r):
		return '?'
	default:
		return r
	}
}

func cleanList(list []string) []string {
	kept := list
	if len(list) > maxList {
		kept = list[:maxList-1]
	}
	var cleaned []string
	for _, text := range kept {
		cleaned = append(cleaned, clean(text))
	}
	if left := len(list) - len(kept); left > 0 {
		cleaned = append(cleaned, fmt.Sprintf("%s and %d more", more, left))
	}
	return cleaned
}

// Clean is the record with every text bounded and fit for a terminal.
func (r Record) Clean() Record {
	for _, text := range []*string{&r.User, &r.Method, &r.Route, &r.Image, &r.Container, &r.Digest, &r.How, &r.Setting, &r.Reason, &r.Message} {
		*text = clean(*text)
	}
	r.Outcome, r.Phase = Outcome(clean(string(r.Outcome))), Phase(clean(string(r.Phase)))
	r.Requirement = stig.ID(clean(string(r.Requirement)))
	r.Others, r.Signers = cleanList(r.Others), cleanList(r.Signers)
	if r.Allowance != nil {
		r.Allowance = &Allowance{By: clean(r.Allowance.By), Reason: clean(r.Allowance.Reason), Until: utc(r.Allowance.Until)}
	}
	return r
}

// utc is a time in UTC, zero for one that JSON has no words for.
func utc(t time.Time) time.Time {
	t = t.UTC()
	if t.Year() < 0 || t.Year() > 9999 {
		return time.Time{}
	}
	return t
}
