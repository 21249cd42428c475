package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker-stig/docker-stig/shared/stig"
)

// MaxLine bounds a line that is read: a record with every field full, each
// character escaped, is shorter.
const MaxLine = 512 << 10 // bytes

// ErrNone is for a line that is no record: something else that was logged.
var ErrNone = errors.New("no record of a decision")

// Decode reads a line of a file. It is ErrNone if the line is JSON, and no
// record.
func Decode(line []byte) (Record, error) {
	if len(line) > MaxLine {
		return Record{}, fmt.Errorf("reading a record: longer than %d bytes", MaxLine)
	}
	var w wire
	if err := json.Unmarshal(line, &w); err != nil {
		return Record{}, fmt.Errorf("reading a record: %w", err)
	}
	if w.Outcome == "" {
		return Record{}, ErrNone
	}
	r := Record{
		Outcome: w.Outcome, Phase: w.Phase, Requirement: stig.ID(w.Requirement),
		User: w.User, Method: w.Method, Route: w.Route,
		Image: w.Image, Others: w.Others, Container: w.Container, Digest: w.Digest, How: w.How, Signers: w.Signers,
		Setting: w.Setting, Approval: w.Approval, Allowance: w.Allowance,
		Reason: w.Reason, Message: w.Message, Suppressed: w.Suppressed,
		Duration: time.Duration(min(max(w.DurationUS, 0), int64(maxDuration/time.Microsecond))) * time.Microsecond,
	}
	if w.Time != nil {
		r.Time = utc(*w.Time)
	}
	return r.Clean(), nil
}

// maxDuration bounds what is believed of a decision's duration: it has a
// deadline of seconds.
const maxDuration = time.Hour

// asJSON are the fields that stand in the journal as JSON. The others are
// plain text there.
var asJSON = []string{"others", "signers", "approval", "allowance", "suppressed", "duration_us"}

// DecodeJournal reads a line of journalctl's json output. It is ErrNone for an
// entry that is no record, or that somebody else than the plugin's service
// wrote: who may write to the journal may write any field but those that begin
// with an underscore, which are journald's own.
func DecodeJournal(line []byte) (Record, error) {
	if len(line) > MaxLine {
		return Record{}, fmt.Errorf("reading a journal entry: longer than %d bytes", MaxLine)
	}
	var entry map[string]json.RawMessage
	if err := json.Unmarshal(line, &entry); err != nil {
		return Record{}, fmt.Errorf("reading a journal entry: %w", err)
	}
	if text(entry["_SYSTEMD_UNIT"]) != Unit {
		return Record{}, ErrNone
	}
	fields := map[string]json.RawMessage{}
	for key, value := range entry {
		name, ours := strings.CutPrefix(key, JournalPrefix)
		if !ours {
			continue
		}
		name = strings.ToLower(name)
		if name == "time" {
			continue // journald's own counts
		}
		value := text(value)
		if slices.Contains(asJSON, name) && json.Valid([]byte(value)) {
			fields[name] = json.RawMessage(value)
			continue
		}
		quoted, err := json.Marshal(value)
		if err != nil {
			return Record{}, fmt.Errorf("reading a journal entry: %w", err)
		}
		fields[name] = quoted
	}
	whole, err := json.Marshal(fields)
	if err != nil {
		return Record{}, fmt.Errorf("reading a journal entry: %w", err)
	}
	r, err := Decode(whole)
	if err != nil {
		return Record{}, err
	}
	if us, err := strconv.ParseInt(text(entry["__REALTIME_TIMESTAMP"]), 10, 64); err == nil {
		r.Time = utc(time.UnixMicro(us))
	}
	return r, nil
}

// text is a field's value. journalctl writes bytes that are no text as a list
// of numbers, one that is too long as null, and one that was given more than
// once as a list of texts; the last two are none of ours.
func text(value json.RawMessage) string {
	var plain string
	if json.Unmarshal(value, &plain) == nil {
		return plain
	}
	var numbers []uint16 // encoding/json reads a list of bytes from base64 only
	if json.Unmarshal(value, &numbers) != nil {
		return ""
	}
	raw := make([]byte, len(numbers))
	for i, n := range numbers {
		raw[i] = byte(n & 0xff)
	}
	return string(raw)
}
