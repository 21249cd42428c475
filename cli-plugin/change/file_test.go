package change

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/docker-stig/docker-stig/cli-plugin/change/disk"
)

// TestFileWrittenDown: what is written of a file tells one content from
// another, holds none, reads back as the same, and is never carried out.
func TestFileWrittenDown(t *testing.T) {
	t.Parallel()
	written := func(f File) string {
		t.Helper()
		raw, err := json.Marshal(Change{File: &f})
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	one := File{Path: "/f", Content: "password=secret\n", Then: LoadAudit}
	text := written(one)
	if strings.Contains(text, "secret") || !strings.Contains(text, `"file":{"path":"/f","sha256":"`+disk.Sum([]byte(one.Content))+`","then":"augenrules --load"}`) {
		t.Errorf("got %s", text)
	}
	if written(File{Path: "/f", Content: "password=other\n", Then: LoadAudit}) == text {
		t.Error("two contents are written alike")
	}
	for _, f := range []File{one, {Path: "/f"}, {Path: "/f", Remove: true}} {
		var back Change
		if err := json.Unmarshal([]byte(written(f)), &back); err != nil {
			t.Fatal(err)
		}
		if again := written(*back.File); again != written(f) {
			t.Errorf("%s reads back as %s", written(f), again)
		}
		after, err := back.ApplyTo(disk.State{}.With([]byte("x")))
		if f.Remove == (err != nil) {
			t.Errorf("%+v: carried out as %q, %v", f, after.Bytes, err)
		}
	}
}

// TestFileUnread: what is no file of a plan is refused, and so is a content.
func TestFileUnread(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`{"path": "/f"}`, `{"path": "/f", "content": "x"}`, `{"path": "/f", "sha256": "1", "content": "x"}`, `{"path": 1}`, `[]`} {
		var f File
		if err := json.Unmarshal([]byte(text), &f); err == nil {
			t.Errorf("%s is read: %+v", text, f)
		}
	}
}
