package record

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSayAndUnsay(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	said := InForce{Path: "/etc/docker-stig/policy.json", SHA256: "aa", Mode: "enforced", Since: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)}
	if err := said.Say(state); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(inForcePath(state))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
	read, err := ReadInForce(state)
	if err != nil {
		t.Fatal(err)
	}
	if read.PID != os.Getpid() || read.Start == 0 {
		t.Errorf("said by process %d of %d", read.PID, read.Start)
	}
	said.PID, said.Start = read.PID, read.Start
	if diff := cmp.Diff(said, read); diff != "" {
		t.Errorf("(-said +read)\n%s", diff)
	}
	for range 2 { // what was taken back needs no taking back
		if err := Unsay(state); err != nil {
			t.Error(err)
		}
	}
	if read, err := ReadInForce(state); !errors.Is(err, ErrNotSaid) {
		t.Errorf("afterwards: %+v, %v", read, err)
	}
}

// Only a daemon that lives is believed.
func TestReadInForce(t *testing.T) {
	t.Parallel()
	start, err := startOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	by := func(pid int, start uint64) string {
		raw, err := json.Marshal(InForce{PID: pid, Start: start})
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	for name, test := range map[string]struct{ raw, want string }{
		"good":                {raw: by(os.Getpid(), start)},
		"its number is taken": {raw: by(os.Getpid(), start+1), want: "has ended"},
		"no process":          {raw: by(1<<30, 1), want: "has ended"},
		"no JSON":             {raw: "{", want: "reading which policy"},
		"too long":            {raw: strings.Repeat(" ", maxInForce+1), want: "more than 64 KiB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			state := t.TempDir()
			if err := os.WriteFile(inForcePath(state), []byte(test.raw), 0o600); err != nil {
				t.Fatal(err)
			}
			said, err := ReadInForce(state)
			if test.want == "" && (err != nil || said.PID != os.Getpid()) {
				t.Errorf("got %+v, %v", said, err)
			}
			if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %+v, %v; want %q", said, err, test.want)
			}
		})
	}
}

func TestParseStart(t *testing.T) {
	t.Parallel()
	const fields = " S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20"
	for stat, want := range map[string]uint64{"7 (a)" + fields: 4711, "7 (a) 9 (b)" + fields: 4711, "7 (a) S 1": 0, "": 0} {
		if got, err := parseStart(stat); got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %d, %v", stat, got, err)
		}
	}
}

func FuzzParseStart(f *testing.F) {
	f.Add("7 (a) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20")
	f.Fuzz(func(_ *testing.T, stat string) { _, _ = parseStart(stat) })
}
