package rerun

import (
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// words has a shell read a line back, each word ended by a NUL.
func words(t *testing.T, line string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `printf '%s\0' `+line)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("sh: %v: %s\n%s", err, stderr.String(), line)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
}

// TestQuote holds that a shell reads the very words, and that a terminal is
// shown nothing that it would act on.
func TestQuote(t *testing.T) {
	t.Parallel()
	all := []string{
		"plain", "", "a b", "'", "''", "it's", `"$HOME"`, "`id`", "$(id)", "\\", "\\n", "!x", "~", "*", "#", "a=b", "-n", "new\nline", "\n", "end\n",
		"tab\there", "\r", "\x1b]0;x\x07", "\u202edcba", "ä€😀", "\xff\xfe", "\x01'\x02", "%s%%", "\x7f", "\u0085", "&&", ";", "|", "{a,b}",
	}
	line := Quote(all)
	if got := words(t, line); !slices.Equal(got, all) {
		t.Errorf("got %q\nwant %q\nfrom %s", got, all, line)
	}
	for _, r := range line {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Errorf("%q is in the line", r)
		}
	}
}

func TestPlain(t *testing.T) {
	t.Parallel()
	if got, want := Plain("a\nb\x1b[2J\u202e"), "a b?[2J?"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzQuote(f *testing.F) {
	for _, seed := range []string{"", "a", "it's", "\n\x1b\n", "\xff'\\"} {
		f.Add(seed, "b")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if strings.Contains(a+b, "\x00") {
			return
		}
		line := Quote([]string{a, b})
		if got := words(t, line); !slices.Equal(got, []string{a, b}) {
			t.Errorf("got %q from %s", got, line)
		}
		if !utf8.ValidString(line) || strings.ContainsFunc(line, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
			t.Errorf("%q is shown to a terminal", line)
		}
	})
}
