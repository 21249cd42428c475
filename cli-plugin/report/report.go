// Package report writes a Checklist: as a table for a person, as JSON for a
// program, and as the evidence files of STIG Viewer 2 (CKL, DISA's checklist
// schema 2.5) and STIG Viewer 3 (CKLB 1.0). It judges nothing; the same
// checklist gives the same bytes.
package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/scan"
)

// A Format is a way to write a checklist. Its text is the flag's value.
type Format string

// The formats.
const (
	Table Format = "table"
	JSON  Format = "json"
	CKL   Format = "ckl"
	CKLB  Format = "cklb"
)

var writers = map[Format]func(io.Writer, scan.Checklist, Options) error{
	Table: writeTable,
	JSON:  writeJSON,
	CKL:   writeCKL,
	CKLB:  writeCKLB,
}

// Options say what belongs to a report beside its checklist.
type Options struct {
	Tool Tool
	All  bool   // the table lists what passes and what does not apply, too
	Next string // what a person does next; empty: nothing
}

// Formats lists the formats there are, for a flag's help.
func Formats() string {
	var names []string
	for _, format := range slices.Sorted(maps.Keys(writers)) {
		names = append(names, string(format))
	}
	return strings.Join(names, ", ")
}

// Set makes a Format of a flag's value.
func (f *Format) Set(text string) error {
	if _, ok := writers[Format(text)]; !ok {
		return fmt.Errorf("want one of %s", Formats())
	}
	*f = Format(text)
	return nil
}

// String is the flag's value.
func (f *Format) String() string { return string(*f) }

// Type names the value in --help.
func (f *Format) Type() string { return "format" }

// Write writes a checklist in a format.
func Write(w io.Writer, f Format, c scan.Checklist, o Options) error {
	write, ok := writers[f]
	if !ok {
		return fmt.Errorf("no format %q: want one of %s", f, Formats())
	}
	return write(w, c, o)
}
