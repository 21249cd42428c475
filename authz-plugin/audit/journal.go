package audit

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"strings"

	"github.com/coreos/go-systemd/v22/journal"
)

// fieldPrefix keeps our fields apart from those of systemd.
const fieldPrefix = "DOCKER_STIG_"

// Handler writes to the journal where there is one, else to fallback as JSON,
// one object a line.
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
	fields := map[string]string{"SYSLOG_IDENTIFIER": "docker-stig-authz"}
	message := []string{r.Message}
	add := func(a slog.Attr) bool {
		text := fieldText(a.Value)
		fields[fieldPrefix+strings.ToUpper(a.Key)] = text
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

// fieldText writes lists as JSON, and everything on one line.
func fieldText(v slog.Value) string {
	text := v.String()
	if list, ok := v.Any().([]string); ok {
		encoded, err := json.Marshal(list)
		if err == nil {
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
