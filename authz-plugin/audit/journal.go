package audit

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"strings"

	"github.com/coreos/go-systemd/v22/journal"

	"github.com/docker-stig/docker-stig/shared/record"
)

// sink is where records go: to the journal where there is one, and to a file
// if there is none or it does not take a record.
func sink(path string) (slog.Handler, io.Closer) {
	kept := newFile(cmp.Or(path, record.DefaultFile))
	plain := slog.NewJSONHandler(kept, nil)
	if !journal.Enabled() {
		return plain, kept
	}
	return &journalHandler{send: journal.Send, fallback: plain}, kept
}

// Handler is for the daemon's own messages. It writes to the journal where
// there is one, else to fallback as JSON, one object a line.
func Handler(fallback io.Writer) slog.Handler {
	plain := slog.NewJSONHandler(fallback, nil)
	if !journal.Enabled() {
		return plain
	}
	return &journalHandler{send: journal.Send, fallback: plain}
}

// A journalHandler gives each attribute a journal field of its own, such as
// DOCKER_STIG_IMAGE, and puts what a person reads into MESSAGE.
type journalHandler struct {
	send     func(message string, priority journal.Priority, fields map[string]string) error
	fallback slog.Handler
	attrs    []slog.Attr
}

// Enabled lets everything from Info on through.
func (h *journalHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo
}

// Handle sends one record. When the journal does not take it, the fallback
// gets it.
func (h *journalHandler) Handle(ctx context.Context, r slog.Record) error {
	fields := map[string]string{"SYSLOG_IDENTIFIER": record.Identifier}
	message := []string{r.Message}
	add := func(a slog.Attr) bool {
		text := fieldText(a.Value)
		fields[record.JournalPrefix+strings.ToUpper(a.Key)] = text
		message = append(message, a.Key+"="+text)
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)
	if err := h.send(strings.Join(message, " "), priority(r.Level), fields); err != nil {
		return h.fallback.Handle(ctx, r)
	}
	return nil
}

// WithAttrs adds attributes to every record.
func (h *journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	with.attrs = append(append([]slog.Attr(nil), h.attrs...), attrs...)
	with.fallback = h.fallback.WithAttrs(attrs)
	return &with
}

// WithGroup does nothing: the journal's fields are flat.
func (h *journalHandler) WithGroup(string) slog.Handler { return h }

// fieldText writes lists and objects as JSON, and everything on one line.
func fieldText(v slog.Value) string {
	text := v.String()
	switch value := v.Any().(type) {
	case []string, Allowance:
		if encoded, err := json.Marshal(value); err == nil {
			text = string(encoded)
		}
	}
	return strings.Join(strings.Fields(text), " ")
}

func priority(level slog.Level) journal.Priority {
	switch {
	case level >= slog.LevelError:
		return journal.PriErr
	case level >= slog.LevelWarn:
		return journal.PriWarning
	default:
		return journal.PriInfo
	}
}
