package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/docker-stig/docker-stig/shared/record"
	"github.com/google/go-cmp/cmp"
)

var logged = time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC)

func TestMoment(t *testing.T) {
	t.Parallel()
	good := map[string]time.Time{
		"": {}, "2h": logged.Add(-2 * time.Hour), "7d": logged.Add(-7 * 24 * time.Hour), "0s": logged,
		"2026-11-21": logged.Add(-30 * time.Hour), "2026-11-22 05:59": logged.Add(-time.Minute), "2026-11-22T07:00:00+01:00": logged,
	}
	for text, want := range good {
		got, err := moment(text, logged)
		if err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
	for _, bad := range []string{"-2h", "yesterday", "7", "70000d", "-1d", "d", "2026-13-01", "@5"} {
		if got, err := moment(bad, logged); err == nil || !strings.Contains(err.Error(), "want an age") {
			t.Errorf("%q: %v, %v", bad, got, err)
		}
	}
}

func TestFilter(t *testing.T) {
	t.Parallel()
	r := record.Record{Time: logged, Outcome: record.Denied, Image: "nginx:1", Others: []string{"dtr.example.com/prod/web/app@sha256:00"}}
	tests := []struct {
		name string
		opts logOptions
		want bool
	}{
		{"all", logOptions{}, true},
		{"since its time", logOptions{since: "2026-11-22 06:00"}, true},
		{"since later", logOptions{since: "2026-11-22 06:01"}, false},
		{"until its time", logOptions{until: "2026-11-22 06:00"}, false},
		{"until later", logOptions{until: "2026-11-22 06:01"}, true},
		{"denied", logOptions{denied: true}, true},
		{"short", logOptions{image: "nginx"}, true},
		{"as given", logOptions{image: "nginx:*"}, true},
		{"in full", logOptions{image: "docker.io/library/nginx"}, true},
		{"another", logOptions{image: "nginx2"}, false},
		{"one segment", logOptions{image: "dtr.example.com/prod/*"}, false},
		{"all below", logOptions{image: "dtr.example.com/prod/**"}, true},
		{"no expression", logOptions{image: "ngin."}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f, err := test.opts.filter(logged)
			if err != nil {
				t.Fatal(err)
			}
			if got := f.wants(r); got != test.want {
				t.Errorf("wanted: %t", got)
			}
		})
	}
	if (recordFilter{denied: true}).wants(record.Record{Outcome: record.Allowed}) {
		t.Error("what was allowed is shown as denied")
	}
}

// line is a record as the daemon writes it.
func line(t *testing.T, n int) string {
	t.Helper()
	raw, err := json.Marshal(record.Record{Time: logged.Add(time.Duration(n) * time.Second), Outcome: record.Allowed, Image: fmt.Sprintf("app:%d", n)})
	if err != nil {
		t.Fatal(err)
	}
	return string(raw) + "\n"
}

func put(t *testing.T, path, text string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func TestFilesFromOldestToNewest(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "authz.log")
	beside := func(name string) string { return filepath.Join(filepath.Dir(path), name) }
	put(t, beside("authz-2026-11-20T00-00-00.000-size.log"), line(t, 1)+line(t, 2))
	put(t, beside("authz-2026-11-21T00-00-00.000-size.log"), line(t, 3)+`{"level":"INFO","msg":"other"}`+"\n{torn\n\n"+line(t, 4))
	put(t, beside("authz-2026-11-21T00-00-00.000-size_1.log"), line(t, 5)+strings.Repeat("x", record.MaxLine+2)+"\n"+line(t, 6))
	put(t, beside("authz-other.log"), line(t, 99))
	put(t, beside("authz-2026-11-21T00-00-00.000-size.log.gz"), line(t, 99))
	put(t, path, line(t, 7)+strings.TrimSuffix(line(t, 8), "\n"))
	read := func(last int) (images []string, bad int) {
		files := &logFiles{path: path}
		bad, err := files.backlog(t.Context(), recordFilter{last: last}, func(r record.Record) error { images = append(images, r.Image); return nil })
		if err != nil {
			t.Fatal(err)
		}
		return images, bad
	}
	images, bad := read(0)
	if diff := cmp.Diff([]string{"app:1", "app:2", "app:3", "app:4", "app:5", "app:6", "app:7"}, images); diff != "" || bad != 2 {
		t.Errorf("%d bad, (-want +got)\n%s", bad, diff)
	}
	if images, _ := read(2); !cmp.Equal(images, []string{"app:6", "app:7"}) {
		t.Errorf("the last two: %v", images)
	}
}

func TestFollowGoesOverToANewFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "authz.log")
	whole := line(t, 2)
	put(t, path, line(t, 1)+whole[:20])
	files := &logFiles{path: path}
	images := make(chan string)
	ctx, cancel := context.WithCancel(t.Context())
	take := func(r record.Record) error {
		select {
		case images <- r.Image:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	done := make(chan error, 1)
	go func() {
		_, err := files.backlog(ctx, recordFilter{last: 5}, take)
		done <- errors.Join(err, files.follow(ctx, recordFilter{last: 5}, take))
	}()
	want := func(image string) {
		t.Helper()
		if got := <-images; got != image {
			t.Fatalf("%s, want %s", got, image)
		}
	}
	want("app:1")
	put(t, path, whole[20:]+line(t, 3))
	want("app:2")
	want("app:3")
	put(t, path, line(t, 4))
	if err := os.Rename(path, strings.TrimSuffix(path, ".log")+"-2026-11-22T00-00-00.000-size.log"); err != nil {
		t.Fatal(err)
	}
	put(t, path, line(t, 5))
	want("app:4")
	want("app:5")
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestJournal reads through a double of journalctl: what it is asked, and that
// nobody else's entries are taken for the plugin's.
func TestJournal(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	program := filepath.Join(folder, "journalctl")
	script := "#!/bin/sh\necho \"$*\" >> " + folder + "/asked\ncat " + folder + "/entries\n"
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(folder, "entries"), entries)
	var shown []string
	show := func(r record.Record) error { shown = append(shown, r.Image); return nil }
	j := &journal{program: program, running: true}
	bad, err := j.backlog(t.Context(), recordFilter{since: logged, last: 5, denied: true}, show)
	if err != nil || bad != 1 {
		t.Fatalf("%d bad, %v", bad, err)
	}
	if err := j.follow(t.Context(), recordFilter{last: 5, image: regexp.MustCompile("nginx.*")}, show); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"nginx:1", "a?[2J", "nginx:1"}, shown); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	asked, err := os.ReadFile(filepath.Join(folder, "asked"))
	if err != nil {
		t.Fatal(err)
	}
	want := "--output=json --all --quiet --no-pager --since=@1795327200 --lines=5 _SYSTEMD_UNIT=docker-stig-authz.service DOCKER_STIG_DECISION=deny DOCKER_STIG_DECISION=would-deny\n" +
		"--output=json --all --quiet --no-pager --follow --no-tail --after-cursor=s=3 _SYSTEMD_UNIT=docker-stig-authz.service DOCKER_STIG_DECISION=deny DOCKER_STIG_DECISION=would-deny DOCKER_STIG_DECISION=allow DOCKER_STIG_DECISION=pass\n"
	if diff := cmp.Diff(want, string(asked)); diff != "" {
		t.Errorf("asked (-want +got)\n%s", diff)
	}
}

const entries = `{"_SYSTEMD_UNIT":"docker-stig-authz.service","__CURSOR":"s=1","__REALTIME_TIMESTAMP":"1795327200000000","DOCKER_STIG_DECISION":"deny","DOCKER_STIG_IMAGE":"nginx:1"}
{"_SYSTEMD_UNIT":"docker.service","SYSLOG_IDENTIFIER":"docker-stig-authz","__CURSOR":"s=2","__REALTIME_TIMESTAMP":"1795327201000000","DOCKER_STIG_DECISION":"deny","DOCKER_STIG_IMAGE":"forged"}
no entry
{"_SYSTEMD_UNIT":"docker-stig-authz.service","__CURSOR":"s=3","__REALTIME_TIMESTAMP":"1795327202000000","DOCKER_STIG_DECISION":"would-deny","DOCKER_STIG_IMAGE":[97,27,91,50,74]}
`

func TestJournalThatCannotBeRead(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, script string
		running      bool
		say          string
	}{
		{"refuses", `printf 'Failed: Permission denied\a\nmore' >&2; exit 1`, true, `reading the journal: journalctl: exit status 1: Failed: Permission denied\a`},
		{"is empty and not running", "exit 0", false, "its journal is not running"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			program := filepath.Join(t.TempDir(), "journalctl")
			if err := os.WriteFile(program, []byte("#!/bin/sh\n"+test.script+"\n"), 0o700); err != nil {
				t.Fatal(err)
			}
			j := &journal{program: program, running: test.running}
			_, err := j.backlog(t.Context(), recordFilter{}, func(record.Record) error { return nil })
			if err == nil || !strings.Contains(err.Error(), test.say) {
				t.Errorf("%v, want %q", err, test.say)
			}
		})
	}
}

func TestComplaint(t *testing.T) {
	t.Parallel()
	c := &complaint{}
	fmt.Fprintf(c, "\x1b[2Jno\nsecond\n%s", strings.Repeat("x", 10*maxComplaint))
	if got := c.String(); got != `: \x1b[2Jno` || c.buf.Len() > maxComplaint {
		t.Errorf("%q, %d bytes", got, c.buf.Len())
	}
}

// FuzzLogLines shows whatever a file holds: nothing that moves a cursor gets
// out, in either format, however the bytes come in.
func FuzzLogLines(f *testing.F) {
	f.Add([]byte(`{"time":"2026-11-22T06:00:00Z","decision":"deny","image":"a\u001b[2Jb","reason":"unsigned"}`+"\n"), 7)
	f.Add([]byte(`{"decision":"\u009b31m","others":["\u202e"],"allowance":{"by":"\r","reason":"","until":"2026-11-22T06:00:00Z"}}`+"\n\n{"), 1)
	f.Fuzz(func(t *testing.T, data []byte, step int) {
		show := func(step int) string {
			var out bytes.Buffer
			writers := []*recordWriter{{out: &out, format: tableFormat}, {out: &out, format: jsonFormat}}
			var bad int
			decode := (*logFiles)(nil).decoder(func(r record.Record) error {
				return errors.Join(writers[0].put(r), writers[1].put(r))
			}, &bad)
			var lines lineSplitter
			for rest := data; len(rest) > 0; {
				n := min(max(step, 1), len(rest))
				if err := lines.split(rest[:n], decode); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			return out.String()
		}
		whole := show(len(data))
		if whole != show(step) {
			t.Fatal("it depends on how the bytes come in")
		}
		if strings.ContainsFunc(whole, func(c rune) bool { return c != '\n' && !unicode.IsPrint(c) }) {
			t.Fatalf("unprintable: %q", whole)
		}
	})
}
