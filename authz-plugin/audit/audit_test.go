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

	"github.com/docker-stig/docker-stig/shared/record"
	"github.com/docker-stig/docker-stig/shared/stig"
)

var full = Record{
	Outcome: Denied, Phase: Answered, Requirement: stig.TrustEnforced, User: "alice", Method: "POST",
	Route: "/containers/create", Image: "app:v1", Others: []string{"m"}, Container: "c0ffee", Digest: "sha256:1", How: "dct",
	Signers: []string{"targets/qa", "targets/security"}, Setting: "privileged", Approval: true,
	Allowance: &Allowance{By: "root", Reason: "outage 7", Until: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)},
	Reason:    "unsigned", Message: "docker-stig: no. Really", Suppressed: 7, Duration: 1500 * time.Microsecond,
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
			"container": "c0ffee", "setting": "privileged", "approval": true, "suppressed": 7.0,
			"allowance": map[string]any{"by": "root", "reason": "outage 7", "until": "2026-11-22T08:00:00Z"},
			"detail":    "docker-stig: no. Really", "duration_us": 1500.0,
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
	for _, asked := range []bool{false, true} {
		sink := &lines{}
		log := open(Options{Now: time.Now, Log: slog.New(slog.DiscardHandler), Passed: asked}, slog.NewJSONHandler(sink, nil), sink)
		log.Pass()
		for range 3 {
			log.LetPass(t.Context(), Record{Method: "GET", Route: "/containers/json"})
		}
		if err := log.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		written := strings.Count(sink.String(), `"decision":"pass","method":"GET","route":"/containers/json"`)
		if log.Passed() != 4 || asked && written != 3 || !asked && written != 0 {
			t.Errorf("asked for: %t; counted %d, wrote %q", asked, log.Passed(), sink)
		}
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
		"DOCKER_STIG_CONTAINER": "c0ffee", "DOCKER_STIG_SETTING": "privileged", "DOCKER_STIG_APPROVAL": "true", "DOCKER_STIG_SUPPRESSED": "7",
		"DOCKER_STIG_ALLOWANCE": `{"by":"root","reason":"outage 7","until":"2026-11-22T08:00:00Z"}`,
		"DOCKER_STIG_REASON":    "unsigned", "DOCKER_STIG_DETAIL": "docker-stig: no. Really", "DOCKER_STIG_DURATION_US": "1500",
		"DOCKER_STIG_NODE": "n1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if at != journal.PriWarning || !strings.HasPrefix(message, "decision ") || strings.Contains(message, "\n") {
		t.Errorf("priority %d, message %q", at, message)
	}

	// And back, as journalctl shows it.
	got["_SYSTEMD_UNIT"] = record.Unit
	entry, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	back, err := record.DecodeJournal(entry)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(full, back); diff != "" {
		t.Errorf("(-written +read)\n%s", diff)
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
