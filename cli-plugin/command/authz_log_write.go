package command

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/docker-stig/docker-stig/shared/record"
)

// A recordWriter writes records as they come. What it is given was cleaned
// when it was read, so no name in it moves the cursor of a terminal.
type recordWriter struct {
	out     io.Writer
	format  format
	written int
}

func (w *recordWriter) put(r record.Record) error {
	w.written++
	if w.format == jsonFormat {
		line, err := json.Marshal(r)
		if err != nil {
			return err
		}
		_, err = w.out.Write(append(line, '\n'))
		return err
	}
	if w.written == 1 {
		if err := w.row("TIME", "DECISION", "WHAT", "REASON", "WHO"); err != nil {
			return err
		}
	}
	return w.row(r.Time.UTC().Format(time.RFC3339), string(r.Outcome), what(r), why(r), who(r))
}

// row has columns of fixed width, for it does not know what comes later.
func (w *recordWriter) row(at, decision, what, why, who string) error {
	line := fmt.Sprintf("%-20s  %-10s  %-44s  %-20s  %s", at, decision, what, why, who)
	_, err := fmt.Fprintln(w.out, strings.TrimRight(line, " "))
	return err
}

// what a decision was on: an image, else a container, else the request.
func what(r record.Record) string {
	text := r.Image
	if text != "" && len(r.Others) > 0 {
		text += fmt.Sprintf(" and %d more", len(r.Others))
	}
	container := r.Container
	if len(container) == 64 {
		container = container[:12] // as docker ps shows an ID
	}
	if container != "" {
		container = "container " + container
	}
	return cmp.Or(text, container, strings.TrimSpace(r.Method+" "+r.Route), "-")
}

// why is what refused, or what vouches for it.
func why(r record.Record) string {
	text := cmp.Or(r.Reason, r.How)
	switch {
	case r.Allowance != nil:
		text = "break-glass"
	case r.Approval:
		text = "approved before"
	case r.Setting != "":
		text = strings.TrimPrefix(text+" "+r.Setting, " ")
	}
	if r.Suppressed > 0 {
		text = strings.TrimPrefix(fmt.Sprintf("%s (after %d more)", text, r.Suppressed), " ")
	}
	return cmp.Or(text, "-")
}

// who asked, as far as the engine tells, and who let it through.
func who(r record.Record) string {
	if r.Allowance == nil {
		return cmp.Or(r.User, "-")
	}
	by := fmt.Sprintf("allowed by %s: %s", r.Allowance.By, r.Allowance.Reason)
	if r.User != "" {
		return r.User + ", " + by
	}
	return by
}
