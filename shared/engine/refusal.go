package engine

import "fmt"

// A Refusal denies a request, or a container, for what it is, whoever signed
// its images.
type Refusal struct {
	Reason string // one word for the record
	Text   string // for the person
}

// Error gives the text.
func (r *Refusal) Error() string { return r.Text }

// Refuse makes a Refusal.
func Refuse(reason, format string, args ...any) error {
	return &Refusal{Reason: reason, Text: fmt.Sprintf(format, args...)}
}

// maxShown bounds how much of a name from outside a message repeats.
const maxShown = 256 // bytes; a reference has at most 255 in its name

// Clip shortens a name from outside for a message.
func Clip(text string) string {
	if len(text) <= maxShown {
		return text
	}
	return text[:maxShown] + "…"
}
