package record

import (
	"encoding/json"
	"log/slog"
	"time"
)

// wire is a record as it stands in JSON. Fields without a value are left out.
type wire struct {
	Time        *time.Time `json:"time,omitempty"`
	Outcome     Outcome    `json:"decision"`
	Phase       Phase      `json:"phase,omitempty"`
	Requirement string     `json:"requirement,omitempty"`
	User        string     `json:"user,omitempty"`
	Method      string     `json:"method,omitempty"`
	Route       string     `json:"route,omitempty"`
	Image       string     `json:"image,omitempty"`
	Others      []string   `json:"others,omitempty"`
	Container   string     `json:"container,omitempty"`
	Digest      string     `json:"digest,omitempty"`
	How         string     `json:"how,omitempty"`
	Signers     []string   `json:"signers,omitempty"`
	Setting     string     `json:"setting,omitempty"`
	Approval    bool       `json:"approval,omitempty"`
	Allowance   *Allowance `json:"allowance,omitempty"`
	Reason      string     `json:"reason,omitempty"`
	Message     string     `json:"detail,omitempty"`
	Suppressed  uint64     `json:"suppressed,omitempty"`
	DurationUS  int64      `json:"duration_us"` // microseconds
}

// MarshalJSON writes a record as one object, cleaned.
func (r Record) MarshalJSON() ([]byte, error) {
	r = r.Clean()
	w := wire{
		Outcome: r.Outcome, Phase: r.Phase, Requirement: string(r.Requirement),
		User: r.User, Method: r.Method, Route: r.Route,
		Image: r.Image, Others: r.Others, Container: r.Container, Digest: r.Digest, How: r.How, Signers: r.Signers,
		Setting: r.Setting, Approval: r.Approval, Allowance: r.Allowance,
		Reason: r.Reason, Message: r.Message, Suppressed: r.Suppressed, DurationUS: r.Duration.Microseconds(),
	}
	if !r.Time.IsZero() {
		at := r.Time.UTC()
		w.Time = &at
	}
	return json.Marshal(w)
}

// Level is that of a decision: the journal's priorities info and warning.
func (r Record) Level() slog.Level {
	if r.Outcome == Allowed || r.Outcome == Passed {
		return slog.LevelInfo
	}
	return slog.LevelWarn
}

// Attrs are the record's fields, cleaned, under the names of its JSON. The
// time is the logger's.
func (r Record) Attrs() []slog.Attr {
	r = r.Clean()
	attrs := make([]slog.Attr, 0, 20) // fields
	for _, field := range []struct{ key, value string }{
		{"decision", string(r.Outcome)},
		{"phase", string(r.Phase)},
		{"requirement", string(r.Requirement)},
		{"user", r.User},
		{"method", r.Method},
		{"route", r.Route},
		{"image", r.Image},
		{"container", r.Container},
		{"digest", r.Digest},
		{"how", r.How},
		{"setting", r.Setting},
		{"reason", r.Reason},
		{"detail", r.Message},
	} {
		if field.value != "" {
			attrs = append(attrs, slog.String(field.key, field.value))
		}
	}
	if len(r.Signers) > 0 {
		attrs = append(attrs, slog.Any("signers", r.Signers))
	}
	if len(r.Others) > 0 {
		attrs = append(attrs, slog.Any("others", r.Others))
	}
	if r.Approval {
		attrs = append(attrs, slog.Bool("approval", true))
	}
	if r.Allowance != nil {
		attrs = append(attrs, slog.Any("allowance", *r.Allowance))
	}
	if r.Suppressed > 0 {
		attrs = append(attrs, slog.Uint64("suppressed", r.Suppressed))
	}
	return append(attrs, slog.Int64("duration_us", r.Duration.Microseconds()))
}
