package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// makePages gives the pages of the project as they are written for a package.
func makePages(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	if err := run("../../docs/man", dir); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string]string{}
	for _, file := range files {
		packed, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		pages[filepath.Base(file)] = string(packed)
	}
	return pages
}

func unpack(t *testing.T, packed string) []byte {
	t.Helper()
	r, err := gzip.NewReader(strings.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	if r.Name != "" || !r.ModTime.IsZero() {
		t.Errorf("the page is packed with name %q and time %v, which differ from build to build", r.Name, r.ModTime)
	}
	page, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// TestSameSourcesGiveTheSameBytes also when the environment, from which help
// takes defaults, is another.
func TestSameSourcesGiveTheSameBytes(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	first := makePages(t)
	t.Setenv("STIG_POLICY", "/elsewhere/policy.json")
	t.Setenv("TZ", "Asia/Tokyo")
	if diff := cmp.Diff(first, makePages(t)); diff != "" {
		t.Errorf("-first +second:\n%s", diff)
	}
	page := string(unpack(t, first["docker-stig-trust-verify.1.gz"]))
	for _, want := range []string{`"2023-11-14"`, `/etc/docker\-stig/policy.json`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s:\n%s", want, page)
		}
	}
}

func TestAPageWantsADate(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "")
	if err := run("../../docs/man", t.TempDir()); err == nil || !strings.Contains(err.Error(), "SOURCE_DATE_EPOCH") {
		t.Errorf("without SOURCE_DATE_EPOCH: %v", err)
	}
}

// TestEveryCommandHasAPage that names each of its flags.
func TestEveryCommandHasAPage(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	pages := makePages(t)
	stig, err := dockerStig()
	if err != nil {
		t.Fatal(err)
	}
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		packed, ok := pages[pageName(cmd)+".1.gz"]
		if !ok {
			t.Errorf("%s has no page", cmd.CommandPath())
			return
		}
		page := string(unpack(t, packed))
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && f.Name != "help" && !strings.Contains(page, `\fB`+escape("--"+f.Name)+`\fR`) {
				t.Errorf("the page of %s lacks --%s", cmd.CommandPath(), f.Name)
			}
		})
		for _, sub := range visible(cmd) {
			visit(sub)
		}
	}
	visit(stig)
}

// TestMandocHasNothingToSay about any page.
func TestMandocHasNothingToSay(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	mandoc, err := exec.LookPath("mandoc")
	if err != nil {
		if os.Getenv("STIG_REQUIRE_ENGINE") != "" {
			t.Fatal("mandoc is not installed: run make deps")
		}
		t.Skip("mandoc is not installed")
	}
	for name, packed := range makePages(t) {
		cmd := exec.CommandContext(t.Context(), mandoc, "-T", "lint", "-W", "warning")
		cmd.Stdin = bytes.NewReader(unpack(t, packed))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

func TestTextStaysText(t *testing.T) {
	t.Parallel()
	cmd := &cobra.Command{Use: "odd [OPTIONS]", Short: "Say .what", Run: func(*cobra.Command, []string) {}, Long: ".first line\n.second 'line' with C:\\path ~ and --flag\n\n  $ kept\n  as it is"}
	cmd.Flags().StringP("file", "f", "out.json", "Write `FILE`")
	want := `.TH "ODD" 1 "2023-11-14" "docker-stig" "docker-stig manual"
.nh
.ad l
.SH NAME
odd \- Say .what
.SH SYNOPSIS
\fBodd\fR [OPTIONS]
.SH DESCRIPTION
\&.first line
\&.second \(aqline\(aq with C:\epath \(ti and \-\-flag
.PP
.RS 4
.nf
$ kept
as it is
.fi
.RE
.SH OPTIONS
.TP
\fB\-f\fR, \fB\-\-file\fR \fIFILE\fR
Write FILE (default out.json)
.SH SEE ALSO
` + strings.Join(seeAlso(cmd), ",\n") + "\n"
	if diff := cmp.Diff(want, string(commandPage(cmd, "2023-11-14"))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestTopics: every command leads to pages, and each of them is there.
func TestTopics(t *testing.T) {
	t.Parallel()
	stig, err := dockerStig()
	if err != nil {
		t.Fatal(err)
	}
	for _, cmd := range visible(stig) {
		pages, known := topics[subject(cmd)]
		if !known {
			t.Errorf("the page of %s leads nowhere: add it to topics", cmd.CommandPath())
		}
		for _, page := range append(pages, topics[""]...) {
			file := "../../docs/man/" + strings.NewReplacer("(", ".", ")", ".md").Replace(page)
			if _, err := os.Stat(file); err != nil {
				t.Errorf("the page of %s leads to %s: %v", cmd.CommandPath(), page, err)
			}
		}
	}
}

func TestWrittenPagesKeepExamplesAndHyphens(t *testing.T) {
	t.Parallel()
	got := string(written("x", "7", "2023-11-14", []byte("# NAME\n\nx - y\n\n# EXAMPLES\n\nRun `a --b`:\n\n```\n$ a --b\n\ndone\n```\n")))
	for _, want := range []string{`x \- y`, `a \-\-b`, ".EX\n$ a \\-\\-b\n\ndone\n.EE"} {
		if !strings.Contains(got, want) {
			t.Errorf("want %q in:\n%s", want, got)
		}
	}
}

// TestThePolicysPageNamesEveryKey of the file that policy.Parse reads.
func TestThePolicysPageNamesEveryKey(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/man/docker-stig-policy.5.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keysOf(reflect.TypeFor[policy.Policy](), "") {
		if !strings.Contains(string(page), "**"+key+"**") {
			t.Errorf("the page lacks %s", key)
		}
	}
}

func keysOf(t reflect.Type, path string) []string {
	if t.Kind() != reflect.Struct {
		return []string{path}
	}
	var keys []string
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		keys = append(keys, keysOf(t.Field(i).Type, strings.TrimPrefix(path+"."+name, "."))...)
	}
	return keys
}

// TestThePageOnTrustExplainsEveryReason for which there is advice.
func TestThePageOnTrustExplainsEveryReason(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/man/docker-stig-trust.7.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, reason := range []trust.Reason{
		trust.Unreachable, trust.Unsigned, trust.NoScope, trust.UnknownSigner, trust.BadSignature,
		trust.BelowThreshold, trust.Expired, trust.Rollback, trust.DigestMismatch, trust.Revoked,
	} {
		if !strings.Contains(string(page), "- **"+string(reason)+"**: ") {
			t.Errorf("the page lacks %s", reason)
		}
	}
}
