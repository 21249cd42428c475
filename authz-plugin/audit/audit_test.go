package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/journal"
	"github.com/google/go-cmp/cmp"

	"github.com/docker-stig/docker-stig/shared/stig"
)

var full = Record{
	Outcome: Denied, Phase: Answered, Requirement: stig.TrustEnforced, User: "alice", Method: "POST",
	Route: "/containers/create", Image: "app:v1", Others: []string{"m"}, Digest: "sha256:1", How: "dct",
	Signers: []string{"targets/qa", "targets/security"}, Reason: "unsigned", Message: "docker-stig: no.\nReally", Duration: 1500 * time.Microsecond,
}

func TestRecordAsJSON(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		record Record
		want   map[string]any
	}{
		{"full", full, map[string]any{
			"level": "WARN", "msg": "decision", "decision": "deny", "phase": "answer", "requirement": "DKER-EE-004370",
			"user": "alice", "method": "POST", "route": "/containers/create", "image": "app:v1", "digest": "sha256:1",
			"how": "dct", "signers": []any{"targets/qa", "targets/security"}, "others": []any{"m"}, "reason": "unsigned",
			"detail": "docker-stig: no.\nReally", "duration_us": 1500.0,
		}},
		{"what is not there is left out", Record{Outcome: Allowed, Phase: Asked, Image: "a"}, map[string]any{
			"level": "INFO", "msg": "decision", "decision": "allow", "phase": "request", "image": "a", "duration_us": 0.0,
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var buf bytes.Buffer
			New(slog.New(slog.NewJSONHandler(&buf, nil))).Write(t.Context(), test.record)
			var got map[string]any
			if err := json.Unmarshal(buf.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			delete(got, "time")
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestPassesAreCounted(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	log := New(slog.New(slog.NewJSONHandler(&buf, nil)))
	for range 3 {
		log.Pass()
	}
	if log.Passed() != 3 || buf.Len() != 0 {
		t.Errorf("counted %d, wrote %q", log.Passed(), &buf)
	}
}

func TestRecordInTheJournal(t *testing.T) {
	t.Parallel()
	var message string
	var at journal.Priority
	var got map[string]string
	handler := &journalHandler{fallback: slog.DiscardHandler}
	handler.send = func(m string, p journal.Priority, fields map[string]string) error {
		message, at, got = m, p, fields
		return nil
	}
	New(slog.New(handler).With("node", "n1")).Write(t.Context(), full)
	want := map[string]string{
		"SYSLOG_IDENTIFIER": "docker-stig-authz", "DOCKER_STIG_DECISION": "deny", "DOCKER_STIG_PHASE": "answer",
		"DOCKER_STIG_REQUIREMENT": "DKER-EE-004370", "DOCKER_STIG_USER": "alice", "DOCKER_STIG_METHOD": "POST",
		"DOCKER_STIG_ROUTE": "/containers/create", "DOCKER_STIG_IMAGE": "app:v1", "DOCKER_STIG_DIGEST": "sha256:1",
		"DOCKER_STIG_HOW": "dct", "DOCKER_STIG_SIGNERS": `["targets/qa","targets/security"]`, "DOCKER_STIG_OTHERS": `["m"]`,
		"DOCKER_STIG_REASON": "unsigned", "DOCKER_STIG_DETAIL": "docker-stig: no. Really", "DOCKER_STIG_DURATION_US": "1500",
		"DOCKER_STIG_NODE": "n1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if at != journal.PriWarning || !strings.HasPrefix(message, "decision ") || strings.Contains(message, "\n") {
		t.Errorf("priority %d, message %q", at, message)
	}
}

func TestJournalThatTakesNothing(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	handler := &journalHandler{fallback: slog.NewJSONHandler(&buf, nil)}
	handler.send = func(string, journal.Priority, map[string]string) error { return errors.New("disk full") }
	New(slog.New(handler)).Write(t.Context(), full)
	if !strings.Contains(buf.String(), `"image":"app:v1"`) {
		t.Errorf("the record is lost: %q", &buf)
	}
}
