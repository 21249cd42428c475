package enforce

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Only a daemon that lives, and that answers the engine, is believed.
func TestReadInForce(t *testing.T) {
	t.Parallel()
	start, err := startOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		said    Published
		raw     string
		serving int
		want    string
	}{
		"good":                 {said: Published{PID: os.Getpid(), Start: start}},
		"the one that answers": {said: Published{PID: os.Getpid(), Start: start}, serving: os.Getpid()},
		"another answers":      {said: Published{PID: os.Getpid(), Start: start}, serving: 1, want: "process 1 answers"},
		"its number is taken":  {said: Published{PID: os.Getpid(), Start: start + 1}, want: "has ended"},
		"no process":           {said: Published{PID: 1 << 30, Start: 1}, want: "has ended"},
		"no JSON":              {raw: "{", want: "reading which policy"},
		"too long":             {raw: strings.Repeat(" ", maxInForce+1), want: "reading which policy"},
		"nothing":              {raw: "-", want: "does not say"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			state := t.TempDir()
			raw, err := json.Marshal(test.said)
			if err != nil {
				t.Fatal(err)
			}
			if test.raw != "" {
				raw = []byte(test.raw)
			}
			if test.raw != "-" {
				write(t, filepath.Join(state, "in-force.json"), string(raw))
			}
			said, err := readInForce(state, test.serving)
			if test.want == "" && (err != nil || *said != test.said) {
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
