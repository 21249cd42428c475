package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/docker-stig/docker-stig/shared/stig"
)

var full = Record{
	Outcome: Denied, Phase: Answered, Requirement: stig.TrustEnforced, User: "alice", Method: "POST",
	Route: "/containers/create", Image: "app:v1", Others: []string{"m"}, Container: "c0ffee", Digest: "sha256:1", How: "dct",
	Signers: []string{"targets/qa", "targets/security"}, Setting: "privileged", Approval: true,
	Allowance: &Allowance{By: "root", Reason: "outage 7", Until: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)},
	Reason:    "unsigned", Message: "docker-stig: no. Really", Suppressed: 7, Duration: 1500 * time.Microsecond,
}

// asLogged is a record as slog writes it into a file.
func asLogged(t *testing.T, r Record) []byte {
	t.Helper()
	var buf bytes.Buffer
	slog.New(slog.NewJSONHandler(&buf, nil)).LogAttrs(t.Context(), r.Level(), Message, r.Attrs()...)
	return buf.Bytes()
}

func TestEveryFieldComesBack(t *testing.T) {
	t.Parallel()
	for i := range reflect.TypeFor[Record]().NumField() {
		field := reflect.TypeFor[Record]().Field(i)
		if field.Name != "Time" && reflect.ValueOf(full).Field(i).IsZero() {
			t.Errorf("this test says nothing about %s", field.Name)
		}
	}
	t.Run("from a file", func(t *testing.T) {
		t.Parallel()
		got, err := Decode(asLogged(t, full))
		if err != nil {
			t.Fatal(err)
		}
		if time.Since(got.Time).Abs() > time.Hour {
			t.Errorf("time %v", got.Time)
		}
		got.Time = time.Time{}
		if diff := cmp.Diff(full, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
	t.Run("from its own JSON", func(t *testing.T) {
		t.Parallel()
		dated := full
		dated.Time = time.Date(2026, 11, 22, 6, 0, 0, 123000, time.UTC)
		raw, err := json.Marshal(dated)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(dated, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}

// TestNamesAreTheSame holds the two ways of writing against each other.
func TestNamesAreTheSame(t *testing.T) {
	t.Parallel()
	keys := func(raw []byte) []string {
		var object map[string]any
		if err := json.Unmarshal(raw, &object); err != nil {
			t.Fatal(err)
		}
		for _, slogs := range []string{"time", "level", "msg"} {
			delete(object, slogs)
		}
		var names []string
		for name := range object {
			names = append(names, name)
		}
		slices.Sort(names)
		return names
	}
	raw, err := json.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(keys(raw), keys(asLogged(t, full))); diff != "" {
		t.Errorf("(-JSON +log)\n%s", diff)
	}
}

func TestDecodeJournal(t *testing.T) {
	t.Parallel()
	const ours = `"_SYSTEMD_UNIT":"docker-stig-authz.service","__REALTIME_TIMESTAMP":"1795327200000000",`
	at := time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC)
	tests := []struct {
		name, line string
		want       Record
		err        error // nil: none; errAny: some
	}{
		{
			"plain", `{` + ours + `"MESSAGE":"decision …","DOCKER_STIG_DECISION":"deny","DOCKER_STIG_IMAGE":"app:v1","DOCKER_STIG_DURATION_US":"1500"}`,
			Record{Time: at, Outcome: Denied, Image: "app:v1", Duration: 1500 * time.Microsecond},
			nil,
		},
		{
			"lists and objects", `{` + ours + `"DOCKER_STIG_DECISION":"allow","DOCKER_STIG_SIGNERS":"[\"a\",\"b\"]","DOCKER_STIG_APPROVAL":"true","DOCKER_STIG_ALLOWANCE":"{\"by\":\"root\",\"reason\":\"x\",\"until\":\"2026-11-22T06:00:00Z\"}"}`,
			Record{Time: at, Outcome: Allowed, Signers: []string{"a", "b"}, Approval: true, Allowance: &Allowance{By: "root", Reason: "x", Until: at}},
			nil,
		},
		{
			"bytes", `{` + ours + `"DOCKER_STIG_DECISION":"deny","DOCKER_STIG_IMAGE":[97,27,91,50,74,98]}`,
			Record{Time: at, Outcome: Denied, Image: "a?[2Jb"},
			nil,
		},
		{"too long for journalctl", `{` + ours + `"DOCKER_STIG_DECISION":"deny","DOCKER_STIG_DETAIL":null}`, Record{Time: at, Outcome: Denied}, nil},
		{"a number of text", `{` + ours + `"DOCKER_STIG_DECISION":"deny","DOCKER_STIG_IMAGE":"5000"}`, Record{Time: at, Outcome: Denied, Image: "5000"}, nil},
		{"another message of the plugin", `{` + ours + `"MESSAGE":"answering"}`, Record{}, ErrNone},
		{"somebody else's", `{"_SYSTEMD_UNIT":"docker.service","SYSLOG_IDENTIFIER":"docker-stig-authz","OBJECT_SYSTEMD_UNIT":"docker-stig-authz.service","DOCKER_STIG_DECISION":"allow"}`, Record{}, ErrNone},
		{"of two services", `{"_SYSTEMD_UNIT":["docker-stig-authz.service","x"],"DOCKER_STIG_DECISION":"allow"}`, Record{}, ErrNone},
		{"time is journald's", `{` + ours + `"DOCKER_STIG_DECISION":"deny","DOCKER_STIG_TIME":"2001-01-01T00:00:00Z"}`, Record{Time: at, Outcome: Denied}, nil},
		{"no JSON", `{`, Record{}, errAny},
		{"wrong type", `{` + ours + `"DOCKER_STIG_DECISION":"deny","DOCKER_STIG_APPROVAL":"[1]"}`, Record{}, errAny},
		{"too long", strings.Repeat(" ", MaxLine) + "{}", Record{}, errAny},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := DecodeJournal([]byte(test.line))
			if test.err == nil && err != nil || test.err != nil && err == nil || errors.Is(test.err, ErrNone) && !errors.Is(err, ErrNone) {
				t.Fatalf("error %v, want %v", err, test.err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

var errAny = errors.New("any error")

func TestCleanBoundsWhatRequestsPutIn(t *testing.T) {
	t.Parallel()
	hostile := "a\x1b[2J\u009b31m\u202eb\nc\x00\x7f" + strings.Repeat("é", maxText)
	hostile = strings.Repeat("\xff", 100) + hostile
	many := slices.Repeat([]string{hostile}, 10*maxList)
	r := Record{
		Outcome: Outcome(hostile), Phase: Phase(hostile), Requirement: stig.ID(hostile), User: hostile, Method: hostile, Route: hostile, Image: hostile,
		Others: many, Container: hostile, Digest: hostile, How: hostile, Signers: many, Setting: hostile,
		Allowance: &Allowance{By: hostile, Reason: hostile, Until: time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -3600))},
		Reason:    hostile, Message: hostile,
	}
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for name, line := range map[string][]byte{"JSON": raw, "log": bytes.TrimSuffix(asLogged(t, r), []byte("\n"))} {
		if len(line) > MaxLine {
			t.Errorf("%s: %d bytes, more than is read", name, len(line))
		}
		if i := strings.IndexFunc(string(line), func(c rune) bool { return !unicode.IsPrint(c) }); i >= 0 {
			t.Errorf("%s: %q reaches whoever reads it", name, line[i:i+3])
		}
		got, err := Decode(line)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, got.Clean()); diff != "" {
			t.Errorf("%s: cleaned twice it is another (-once +twice)\n%s", name, diff)
		}
		if len(got.Others) != maxList || !strings.HasPrefix(got.Image, strings.Repeat("\ufffd", 100)+"a?[2J?31m?b c??é") {
			t.Errorf("%s: %d others, image %.40q", name, len(got.Others), got.Image)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		"", "{}", `{"decision":"deny"}`, `{"decision":"allow","time":"9999-12-31T23:59:59-01:00"}`,
		`{"_SYSTEMD_UNIT":"docker-stig-authz.service","DOCKER_STIG_DECISION":"deny","DOCKER_STIG_IMAGE":[27,91],"__REALTIME_TIMESTAMP":"9223372036854775807"}`,
		`{"_SYSTEMD_UNIT":"docker-stig-authz.service","DOCKER_STIG_DECISION":"deny","DOCKER_STIG_DURATION_US":"-1","DOCKER_STIG_OTHERS":"[null]"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		for _, decode := range []func([]byte) (Record, error){Decode, DecodeJournal} {
			r, err := decode(line)
			if err != nil {
				if !reflect.DeepEqual(r, Record{}) {
					t.Fatalf("a record beside an error: %+v", r)
				}
				continue
			}
			raw, err := json.Marshal(r)
			if err != nil {
				t.Fatalf("what was read cannot be written: %v", err)
			}
			if strings.ContainsFunc(string(raw), func(c rune) bool { return !unicode.IsPrint(c) }) {
				t.Fatalf("unprintable: %q", raw)
			}
			again, err := Decode(raw)
			if err != nil {
				t.Fatalf("what was written cannot be read: %v\n%s", err, raw)
			}
			if diff := cmp.Diff(r, again); diff != "" {
				t.Fatalf("it changes when written and read again: (-first +second)\n%s", diff)
			}
		}
	})
}
