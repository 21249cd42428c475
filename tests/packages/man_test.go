package packages

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/docker-stig/docker-stig/cli-plugin/site"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const commandPages = "/usr/share/man/man1/"

// withoutCommandPages leaves out pages whose number grows with the commands.
var withoutCommandPages = cmpopts.IgnoreMapEntries(func(path, _ string) bool { return strings.HasPrefix(path, commandPages) })

// TestEveryCommandBringsItsPage: the deb has a page for each command that the
// program in it lists, and the rpm has the same pages.
func TestEveryCommandBringsItsPage(t *testing.T) {
	t.Parallel()
	requireTools(t, "dpkg-deb", "rpm")
	dir := t.TempDir()
	run(t, "dpkg-deb", "-x", packageOf(t, version, "docker-stig", "deb"), dir)
	program := filepath.Join(dir, "usr/libexec/docker/cli-plugins/docker-stig")
	want := map[string]string{}
	for _, words := range commands(t, program) {
		want[commandPages+"docker-stig"+strings.Join(append([]string{""}, words...), "-")+".1.gz"] = "644 root:root"
	}
	notPages := cmpopts.IgnoreMapEntries(func(path, _ string) bool { return !strings.HasPrefix(path, commandPages) })
	if diff := cmp.Diff(want, debContents(t, packageOf(t, version, "docker-stig", "deb")), notPages); diff != "" {
		t.Errorf("pages of the deb: -commands +pages:\n%s", diff)
	}
	if diff := cmp.Diff(want, rpmContents(t, packageOf(t, version, "docker-stig", "rpm")), notPages); diff != "" {
		t.Errorf("pages of the rpm: -commands +pages:\n%s", diff)
	}
}

// listed is a command in the list of a help text.
var listed = regexp.MustCompile(`(?m)^  ([a-z][a-z-]*)\*? {2,}\S`)

// commands asks docker stig for its commands and theirs; the first is none.
func commands(t *testing.T, program string, words ...string) [][]string {
	t.Helper()
	found := [][]string{words}
	help := run(t, slices.Concat([]string{program, "stig"}, words, []string{"--help"})...)
	_, list, ok := strings.Cut(help, "Commands:\n")
	if !ok {
		return found
	}
	for _, match := range listed.FindAllStringSubmatch(list, -1) {
		found = append(found, commands(t, program, append(slices.Clone(words), match[1])...)...)
	}
	return found
}

var flagName = regexp.MustCompile(`--[a-z][a-z-]*`)

// TestTheDaemonsPageNamesItsFlags, all of them and no other.
func TestTheDaemonsPageNamesItsFlags(t *testing.T) {
	t.Parallel()
	requireTools(t, "dpkg-deb")
	dir := t.TempDir()
	run(t, "dpkg-deb", "-x", packageOf(t, version, "docker-stig-authz", "deb"), dir)
	var options string
	for _, command := range []string{"serve", "guard"} {
		help := run(t, filepath.Join(dir, "usr/sbin/docker-stig-authz"), command, "--help")
		_, flags, ok := strings.Cut(help, "Flags:\n")
		if !ok {
			t.Fatalf("%s --help lists no flags:\n%s", command, help)
		}
		options += flags
	}
	page := strings.ReplaceAll(readPage(t, filepath.Join(dir, "usr/share/man/man8/docker-stig-authz.8.gz")), `\-`, "-")
	_, synopsis, _ := strings.Cut(page, "\n.SH SYNOPSIS\n")
	synopsis, _, _ = strings.Cut(synopsis, "\n.SH ")
	has := func(text string) []string {
		names := flagName.FindAllString(text, -1)
		slices.Sort(names)
		return slices.DeleteFunc(slices.Compact(names), func(name string) bool { return name == "--help" })
	}
	if diff := cmp.Diff(has(options), has(synopsis)); diff != "" {
		t.Errorf("flags: -program +page:\n%s", diff)
	}
}

func readPage(t *testing.T, path string) string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// TestTheSitesPageNamesItsKeys, all that site.yaml may have.
func TestTheSitesPageNamesItsKeys(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/man/docker-stig-site.5.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keysOf(reflect.TypeFor[site.Site]()) {
		if !regexp.MustCompile(`\*\*(?:[a-z-]+\.)?` + regexp.QuoteMeta(key) + `\*\*|\*\*` + regexp.QuoteMeta(key) + `\.`).Match(page) {
			t.Errorf("the page does not name %s", key)
		}
	}
}

// keysOf are the keys of a YAML document, and of the documents in it.
func keysOf(of reflect.Type) []string {
	for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice || of.Kind() == reflect.Map {
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct || of == reflect.TypeFor[site.Date]() {
		return nil
	}
	var keys []string
	for i := range of.NumField() {
		name, _, _ := strings.Cut(of.Field(i).Tag.Get("yaml"), ",")
		if name != "" {
			keys = append(keys, name)
		}
		keys = append(keys, keysOf(of.Field(i).Type)...)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}
