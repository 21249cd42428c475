package cli

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// answers are what the fake engine says to GET /PATH, by PATH, beside its
// images and containers.
type answers struct {
	mu   sync.Mutex
	said map[string]json.RawMessage
}

// to gives the answer to a question.
func (a *answers) to(path string) (any, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	answer, ok := a.said[path]
	return answer, ok
}

// says MACHINE makes the engine answer GET /PATH with the file
// machines/MACHINE/PATH.json.
func says(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: says MACHINE")
	}
	a := &ts.Value(stageKey{}).(*stage).answers
	a.mu.Lock()
	defer a.mu.Unlock()
	a.said = map[string]json.RawMessage{}
	folder := os.DirFS(filepath.Join("machines", args[0]))
	ts.Check(fs.WalkDir(folder, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		raw, err := fs.ReadFile(folder, name)
		a.said[name[:len(name)-len(filepath.Ext(name))]] = raw
		return err
	}))
}

// times are those of a checklist in JSON.
var times = regexp.MustCompile(`"(started|ended)": "[^"]+"`)

// steady FILE... takes out of checklists what each run has anew: its times and
// the engine's address.
func steady(ts *testscript.TestScript, neg bool, files []string) {
	if neg || len(files) == 0 {
		ts.Fatalf("usage: steady FILE...")
	}
	for _, file := range files {
		raw := times.ReplaceAll([]byte(ts.ReadFile(file)), []byte(`"$1": ""`))
		raw = bytes.ReplaceAll(raw, []byte(ts.Getenv("DOCKER_HOST")), []byte("ENGINE"))
		ts.Check(os.WriteFile(ts.MkAbs(file), raw, 0o600))
	}
}

// dated FILE... puts days into files: that of tomorrow in a week for SOON, and
// yesterday's for PAST.
func dated(ts *testscript.TestScript, neg bool, files []string) {
	if neg || len(files) == 0 {
		ts.Fatalf("usage: dated FILE...")
	}
	now := time.Now().UTC()
	for _, file := range files {
		raw, err := os.ReadFile(ts.MkAbs(file))
		ts.Check(err)
		raw = bytes.ReplaceAll(raw, []byte("SOON"), []byte(now.AddDate(0, 0, 8).Format(time.DateOnly)))
		raw = bytes.ReplaceAll(raw, []byte("PAST"), []byte(now.AddDate(0, 0, -1).Format(time.DateOnly)))
		ts.Check(os.WriteFile(ts.MkAbs(file), raw, 0o600))
	}
}

// factsOf FILE NAME sets the variable NAME to the hash of the facts of the only
// result in a checklist.
func factsOf(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: facts FILE NAME")
	}
	var list struct{ Results []struct{ Facts string } }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &list))
	if len(list.Results) != 1 || list.Results[0].Facts == "" {
		ts.Fatalf("%s has %d results", args[0], len(list.Results))
	}
	ts.Setenv(args[1], list.Results[0].Facts)
}

// filled FILE... puts the script's variables, written ${NAME}, into files.
func filled(ts *testscript.TestScript, neg bool, files []string) {
	if neg || len(files) == 0 {
		ts.Fatalf("usage: filled FILE...")
	}
	for _, file := range files {
		text := os.Expand(ts.ReadFile(file), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(file), []byte(text), 0o600))
	}
}
