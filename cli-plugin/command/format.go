package command

import "errors"

// A format is a way to write an answer: for a person, or for a program.
type format string

const (
	tableFormat format = "table"
	jsonFormat  format = "json"
)

// Set makes a format of a flag's value.
func (f *format) Set(text string) error {
	if got := format(text); got == tableFormat || got == jsonFormat {
		*f = got
		return nil
	}
	return errors.New("want json or table")
}

// String is the flag's value.
func (f *format) String() string { return string(*f) }

// Type names the value in --help.
func (f *format) Type() string { return "format" }
