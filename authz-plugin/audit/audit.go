// Package audit keeps the record of what the authorization plugin decided:
// one structured record for each decision on images and for each denial, in
// the journal where there is one, as JSON on standard error elsewhere. What
// passes without a question is counted.
//
// A record has the fields below and no others. Bodies, environments, headers
// and query strings reach the plugin and never come here.
package audit

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/docker-stig/docker-stig/shared/stig"
)

// An Outcome is what became of a request.
type Outcome string

const (
	// Allowed was let through.
	Allowed Outcome = "allow"
	// Denied was refused.
	Denied Outcome = "deny"
	// WouldDeny would have been refused, were the policy enforced.
	WouldDeny Outcome = "would-deny"
)

// A Phase is the moment of a decision.
type Phase string

const (
	// Asked is before the engine acts.
	Asked Phase = "request"
	// Answered is after the engine acted and before it answers.
	Answered Phase = "answer"
)

// A Record is one decision.
type Record struct {
	Outcome     Outcome
	Phase       Phase
	Requirement stig.ID // what a denial upholds
	User        string  // where TLS tells it
	Method      string
	Route       string // the pattern, not the address
	Image       string // as it was named
	Others      []string
	Digest      string // the digest vouched for, else the content's
	How         string // dct, digest-list, …
	Signers     []string
	Reason      string // one word
	Message     string // the denial's text
	Duration    time.Duration
}

// A Log writes records. It is safe for concurrent use.
type Log struct {
	logger *slog.Logger
	passed atomic.Uint64
}

// New writes records to logger.
func New(logger *slog.Logger) *Log { return &Log{logger: logger} }

// Pass counts a request that passed without a question.
func (l *Log) Pass() { l.passed.Add(1) }

// Passed tells how many requests passed without a question.
func (l *Log) Passed() uint64 { return l.passed.Load() }

// levels are those of the journal's priorities info and warning.
var levels = map[Outcome]slog.Level{
	Allowed:   slog.LevelInfo,
	Denied:    slog.LevelWarn,
	WouldDeny: slog.LevelWarn,
}

// Write writes one record. Fields without a value are left out.
func (l *Log) Write(ctx context.Context, r Record) {
	attrs := []slog.Attr{
		slog.String("decision", string(r.Outcome)),
		slog.String("phase", string(r.Phase)),
	}
	for _, field := range []struct{ key, value string }{
		{"requirement", string(r.Requirement)},
		{"user", r.User},
		{"method", r.Method},
		{"route", r.Route},
		{"image", r.Image},
		{"digest", r.Digest},
		{"how", r.How},
		{"reason", r.Reason},
		{"detail", r.Message},
	} {
		if field.value != "" {
			attrs = append(attrs, slog.String(field.key, field.value))
		}
	}
	for key, values := range map[string][]string{"signers": r.Signers, "others": r.Others} {
		if len(values) > 0 {
			attrs = append(attrs, slog.Any(key, values))
		}
	}
	attrs = append(attrs, slog.Int64("duration_us", r.Duration.Microseconds()))
	l.logger.LogAttrs(ctx, levels[r.Outcome], "decision", attrs...)
}
