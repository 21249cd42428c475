package audit

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// An Exec is a program that was run.
type Exec struct {
	Event string // "1763800000.123:101": seconds since 1970 and serial number
	Login string // name or number of who logged in (auid), whoever they became; "unset" for a daemon
	Exe   string // the program's file
	Args  []string
	Whole bool // all arguments are here
}

// When is the time of the event, zero if it has none.
func (e Exec) When() time.Time {
	seconds, _, _ := strings.Cut(e.Event, ".")
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(unix, 0).UTC()
}

const maxArgs = 1 << 16 // far more than a command line of docker has

// ParseExecs reads the records that ausearch prints without -i. What is no
// record of a program that was run is passed over.
func ParseExecs(raw []byte) ([]Exec, error) {
	var order []string
	events := map[string]*vector{}
	for line := range strings.Lines(string(raw)) {
		record, event, body, ok := splitRecord(line)
		if !ok || record != "SYSCALL" && record != "EXECVE" {
			continue
		}
		if events[event] == nil {
			events[event] = &vector{exec: Exec{Event: event}, args: map[int]string{}, argc: -1}
			order = append(order, event)
		}
		if err := events[event].add(record, body); err != nil {
			return nil, fmt.Errorf("reading audit event %s: %w", event, err)
		}
	}
	var execs []Exec
	for _, event := range order {
		if v := events[event]; v.argc >= 0 {
			execs = append(execs, v.finish())
		}
	}
	return execs, nil
}

// splitRecord takes "type=EXECVE msg=audit(EVENT): BODY" apart, with or
// without the name of its node in front.
func splitRecord(line string) (record, event, body string, ok bool) {
	line, _, _ = strings.Cut(strings.TrimSpace(line), " msg='") // of programs, whose words are their own
	_, rest, ok := strings.Cut(" "+line, " type=")
	if !ok {
		return "", "", "", false
	}
	record, rest, ok = strings.Cut(rest, " msg=audit(")
	if !ok {
		return "", "", "", false
	}
	event, body, ok = strings.Cut(rest, "):")
	return record, event, body, ok
}

// A vector is a program's command line as it is gathered.
type vector struct {
	exec Exec
	args map[int]string // by position
	argc int            // -1: no record of it yet
}

// add takes the fields of one record. Those behind the separator 0x1d are the
// same again, interpreted (auditd.conf: log_format = ENRICHED).
func (v *vector) add(record, body string) error {
	plain, enriched, _ := strings.Cut(body, "\x1d")
	for _, field := range strings.Fields(plain) {
		name, value, _ := strings.Cut(field, "=")
		if record == "EXECVE" {
			if err := v.argument(name, value); err != nil {
				return err
			}
			continue
		}
		switch name {
		case "auid":
			v.exec.Login = value
			if value == "4294967295" || value == "-1" {
				v.exec.Login = "unset"
			}
		case "exe":
			v.exec.Exe = decode(value)
		}
	}
	for _, field := range strings.Fields(enriched) {
		if name, ok := strings.CutPrefix(field, "AUID="); ok && record == "SYSCALL" {
			v.exec.Login = strings.Trim(name, `"`)
		}
	}
	return nil
}

// argument takes argc=N, aN=VALUE, or a piece of a long one, aN[M]=VALUE.
func (v *vector) argument(name, value string) error {
	if name == "argc" {
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 || n > maxArgs {
			return fmt.Errorf("argc is %.20q", value)
		}
		v.argc = n
		return nil
	}
	position, isArgument := strings.CutPrefix(name, "a")
	position, _, _ = strings.Cut(position, "[")
	n, err := strconv.Atoi(position)
	if !isArgument || err != nil || n < 0 || n >= maxArgs {
		return nil // aN_len, and what newer kernels may add
	}
	v.args[n] += decode(value)
	return nil
}

// finish puts the arguments in order, up to the first that is missing.
func (v *vector) finish() Exec {
	for i := range v.argc {
		arg, ok := v.args[i]
		if !ok {
			return v.exec
		}
		v.exec.Args = append(v.exec.Args, arg)
	}
	v.exec.Whole = true
	return v.exec
}

// decode reads a value that somebody else chose: in quotes, or in hexadecimal
// digits if it has spaces, quotes or other bytes that could mislead a reader.
func decode(value string) string {
	if text, ok := strings.CutPrefix(value, `"`); ok {
		return strings.TrimSuffix(text, `"`)
	}
	if raw, err := hex.DecodeString(value); err == nil {
		return string(raw)
	}
	return value
}
