package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

// Key IDs in these tests are written K0, K1 and so on, and made long here.
func long(text string) string {
	for _, digit := range "0123" {
		text = strings.ReplaceAll(text, "K"+string(digit), strings.Repeat(string(digit), 64))
	}
	return text
}

// pin is the edit that most of these tests make: K1 for a.io/app.
func pin(raw []byte) ([]byte, error) { return AddRootKeys(raw, "a.io/app", []string{long("K1")}) }

// TestEdit shows the style that new parts take on. A "~" stands for a tab, and
// a "^" for a carriage return.
func TestEdit(t *testing.T) {
	t.Parallel()
	plain := strings.NewReplacer("~", "\t", "^", "\r")
	for name, test := range map[string]struct{ before, after string }{
		"one line": {
			`{"content-trust": {"mode": "enforced"}}`,
			`{"content-trust": {"mode": "enforced", "trust-pinning": {"root-keys": {"a.io/app": ["K1"]}}}}`,
		},
		"no white space": {
			`{"content-trust":{"mode":"enforced"}}`,
			`{"content-trust":{"mode":"enforced","trust-pinning":{"root-keys":{"a.io/app":["K1"]}}}}`,
		},
		"lines": {
			"{\n  // who\n  \"content-trust\": {\n    \"mode\": \"enforced\" // for now\n  }\n}\n",
			"{\n  // who\n  \"content-trust\": {\n    \"mode\": \"enforced\", // for now\n    \"trust-pinning\": {\n      \"root-keys\": {\n        \"a.io/app\": [\"K1\"]\n      }\n    }\n  }\n}\n",
		},
		"tabs, CRLF and trailing commas": {
			"{^\n~\"content-trust\": {^\n~~\"mode\": \"enforced\",   ^\n~},^\n}^\n",
			"{^\n~\"content-trust\": {^\n~~\"mode\": \"enforced\",   ^\n~~\"trust-pinning\": {^\n~~~\"root-keys\": {^\n~~~~\"a.io/app\": [\"K1\"],^\n~~~},^\n~~},^\n~},^\n}^\n",
		},
		"one-line object among lines": {
			"{\n  \"content-trust\": {\"mode\": \"enforced\"},\n}\n",
			"{\n  \"content-trust\": {\"mode\": \"enforced\", \"trust-pinning\": {\"root-keys\": {\"a.io/app\": [\"K1\"]}}},\n}\n",
		},
		"empty object in its line": {
			"{\"content-trust\": {\n    \"mode\": \"enforced\",\n    \"trust-pinning\": { }\n}}",
			"{\"content-trust\": {\n    \"mode\": \"enforced\",\n    \"trust-pinning\": {\n        \"root-keys\": {\n            \"a.io/app\": [\"K1\"]\n        }\n    }\n}}",
		},
		"empty object within a line": {
			`{"content-trust": {"mode": "enforced", "trust-pinning": { }}}`,
			`{"content-trust": {"mode": "enforced", "trust-pinning": {"root-keys": {"a.io/app": ["K1"]}}}}`,
		},
		"nothing but a comment": {
			"{\"content-trust\": {\"mode\": \"enforced\", \"trust-pinning\": {\n  // none yet\n}}}",
			"{\"content-trust\": {\"mode\": \"enforced\", \"trust-pinning\": {\n  // none yet\n  \"root-keys\": {\n    \"a.io/app\": [\"K1\"]\n  }\n}}}",
		},
		"another repository": {
			`{"content-trust": {"mode": "enforced", "trust-pinning": {"root-keys": {"a.io/*": ["K0"] /* all */ , }}}}`,
			`{"content-trust": {"mode": "enforced", "trust-pinning": {"root-keys": {"a.io/*": ["K0"] /* all */ , "a.io/app": ["K1"], }}}}`,
		},
		"another key": {
			`{"content-trust": {"mode": "enforced", "trust-pinning": {"root-keys": {"a.io/app": [ "K0" ]}}}}`,
			`{"content-trust": {"mode": "enforced", "trust-pinning": {"root-keys": {"a.io/app": [ "K0", "K1" ]}}}}`,
		},
		"another key, in lines, behind comments": {
			"{\"content-trust\": {\"mode\": \"enforced\", \"trust-pinning\": {\"root-keys\": {\"a.io/app\": [\n\t\"K0\" // old\n\t// \"K2\"   \n]}}}}",
			"{\"content-trust\": {\"mode\": \"enforced\", \"trust-pinning\": {\"root-keys\": {\"a.io/app\": [\n\t\"K0\", // old\n\t// \"K2\"   \n\t\"K1\"\n]}}}}",
		},
		"comment at the end of the only line": {
			"{\"content-trust\": {\"mode\": \"enforced\", \"trust-pinning\": {\"root-keys\": {\"a.io/app\": [\"K0\" // old\n]}}}}",
			"{\"content-trust\": {\"mode\": \"enforced\", \"trust-pinning\": {\"root-keys\": {\"a.io/app\": [\"K0\", // old\n  \"K1\"\n]}}}}",
		},
		"key with escapes": {
			`{"content-trust": {"mode": "enforced", "trust\u002dpinning": {"root-keys": {"a.io\/app": ["K0"]}}}}`,
			`{"content-trust": {"mode": "enforced", "trust\u002dpinning": {"root-keys": {"a.io\/app": ["K0", "K1"]}}}}`,
		},
		"there already": {
			"{\"content-trust\": {\"mode\": \"enforced\", \"trust-pinning\": {\"root-keys\": {\"a.io/app\": [ \"K1\" , ]}}}} // x\n",
			"{\"content-trust\": {\"mode\": \"enforced\", \"trust-pinning\": {\"root-keys\": {\"a.io/app\": [ \"K1\" , ]}}}} // x\n",
		},
		"more specific than a pattern": {
			`{"content-trust": {"mode": "enforced", "trust-pinning": {"root-keys": {"a.io/**": ["K0"]}, "cert-ids": {"a.io/other": ["K0"]}}}}`,
			`{"content-trust": {"mode": "enforced", "trust-pinning": {"root-keys": {"a.io/**": ["K0"], "a.io/app": ["K1"]}, "cert-ids": {"a.io/other": ["K0"]}}}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := plain.Replace(long(test.before))
			raw := []byte(before)
			got, err := pin(raw)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(plain.Replace(long(test.after)), string(got)); diff != "" {
				t.Error(diff)
			}
			if string(raw) != before {
				t.Error("the input was written to")
			}
			again, err := pin(got)
			if err != nil || !bytes.Equal(got, again) {
				t.Errorf("a second time: %v, %s", err, cmp.Diff(string(got), string(again)))
			}
		})
	}
}

func TestAddSeveral(t *testing.T) {
	t.Parallel()
	one, two := digest.FromString("one"), digest.FromString("two")
	got, err := AddDigests([]byte("{\n  \"content-trust\": {\"mode\": \"enforced\"}\n}\n"), "docker.io/vendor/*", []digest.Digest{one, two, one})
	if err != nil {
		t.Fatal(err)
	}
	want := "{\n  \"content-trust\": {\"mode\": \"enforced\"},\n  \"digests\": {\n    \"docker.io/vendor/*\": [\n      \"" + string(one) + "\",\n      \"" + string(two) + "\"\n    ]\n  }\n}\n"
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	got, err = AddCertIDs([]byte(long(`{"content-trust": {"mode": "enforced", "trust-pinning": {"cert-ids": {"a.io/app": ["K0"]}}}}`)), "a.io/app", []string{long("K0"), long("K1"), long("K2")})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(long(`{"content-trust": {"mode": "enforced", "trust-pinning": {"cert-ids": {"a.io/app": ["K0", "K1", "K2"]}}}}`), string(got)); diff != "" {
		t.Error(diff)
	}
}

func TestEditErrors(t *testing.T) {
	t.Parallel()
	pinned := `{"content-trust": {"mode": "enforced", "trust-pinning": {"root-keys": {"a.io/x*": ["K0"], "b.io/**": ["K0"]}, "cert-ids": {"a.io/app": ["K0"]}}}, ` +
		`"digests": {"c.io/*/x": []}, "revoked": {"keys": ["K3"], "digests": ["sha256:K3"]}}`
	rootKeys := func(pattern, id string) func([]byte) ([]byte, error) {
		return func(raw []byte) ([]byte, error) { return AddRootKeys(raw, pattern, []string{long(id)}) }
	}
	certIDs := func(repository, id string) func([]byte) ([]byte, error) {
		return func(raw []byte) ([]byte, error) { return AddCertIDs(raw, repository, []string{long(id)}) }
	}
	digests := func(pattern string, list ...digest.Digest) func([]byte) ([]byte, error) {
		return func(raw []byte) ([]byte, error) { return AddDigests(raw, pattern, list) }
	}
	for name, test := range map[string]struct {
		raw  string
		edit func([]byte) ([]byte, error)
		want string
	}{
		"no policy before":             {`{"content-trust": {}}`, pin, "policy:1:19: content-trust/mode is missing"},
		"empty file":                   {``, pin, "want JSON"},
		"short name":                   {pinned, rootKeys("alpine", "K1"), `write "docker.io/library/alpine"`},
		"tag":                          {pinned, rootKeys("a.io/x:1", "K1"), "without tag or digest"},
		"no key ID":                    {pinned, rootKeys("a.io/web", "K"), `adding to a.io/web: content-trust/trust-pinning/root-keys/a.io/web: "K" is no key ID`},
		"nothing":                      {pinned, func(raw []byte) ([]byte, error) { return AddRootKeys(raw, "a.io/web", nil) }, "nothing to add"},
		"certificate wins":             {pinned, rootKeys("a.io/app", "K1"), "a root key does not count"},
		"equally specific":             {pinned, rootKeys("a.io/*y", "K1"), `"a.io/x*", which the policy has, are equally specific`},
		"a longer pattern decides":     {pinned, rootKeys("b.io/*", "K1"), `"b.io/*" would never decide: the policy's "b.io/**" is longer`},
		"revoked key":                  {pinned, rootKeys("a.io/web", "K3"), "is revoked by the policy"},
		"certificate for a pattern":    {pinned, certIDs("a.io/*", "K1"), "made for one repository"},
		"certificate for a short name": {pinned, certIDs("alpine", "K1"), `write "docker.io/library/alpine"`},
		"revoked certificate":          {pinned, certIDs("a.io/web", "K3"), "is revoked by the policy"},
		"no digest":                    {pinned, digests("c.io/x", "sha256:1"), `"sha256:1" is no digest`},
		"revoked digest":               {pinned, digests("c.io/x", digest.Digest("sha256:"+long("K3"))), "is revoked by the policy"},
		"digests, equally specific":    {pinned, digests("c.io/y/*", digest.FromString("x")), "are equally specific"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw := []byte(long(test.raw))
			got, err := test.edit(raw)
			if err == nil || !strings.Contains(err.Error(), test.want) || got != nil {
				t.Errorf("got  %v, %s\nwant %s", err, got, test.want)
			}
			if string(raw) != long(test.raw) {
				t.Error("the input was written to")
			}
		})
	}
}

func TestCovers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		wide, narrow string
		want         bool
	}{
		{"a/**", "a/*", true},
		{"a/*", "a/**", false},
		{"a/**", "a/b/*", true},
		{"a/*/c", "a/**", false},
		{"a/*/c", "a/*b/c", true},
		{"a/*b/c", "a/*/c", false},
		{"**", "a/**/c", true},
		{"a/*/*", "a/**b", false},
	} {
		if got := covers(test.wide, test.narrow); got != test.want {
			t.Errorf("%s over %s: got %v", test.wide, test.narrow, got)
		}
	}
}

func TestSave(t *testing.T) {
	t.Parallel()
	before, after := []byte("old"), []byte("new")
	for name, test := range map[string]struct {
		arrange func(t *testing.T, path string)
		before  []byte
		want    string // of the error
	}{
		"there":           {func(t *testing.T, path string) { t.Helper(); write(t, path, "old") }, before, ""},
		"new":             {func(*testing.T, string) {}, nil, ""},
		"changed":         {func(t *testing.T, path string) { t.Helper(); write(t, path, "other") }, before, "was changed since it was read"},
		"not there":       {func(*testing.T, string) {}, before, "no such file"},
		"come to be":      {func(t *testing.T, path string) { t.Helper(); write(t, path, "old") }, nil, "was changed since it was read"},
		"a folder":        {func(t *testing.T, path string) { t.Helper(); mkdir(t, path) }, before, "no regular file"},
		"symlink to none": {func(t *testing.T, path string) { t.Helper(); link(t, "elsewhere", path) }, nil, "is a symlink to elsewhere, which is not there"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, "policy.json")
			test.arrange(t, path)
			was, _ := os.ReadFile(path)
			err := Save(path, test.before, after)
			now, _ := os.ReadFile(path)
			switch {
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v, want %s", err, test.want)
			case test.want != "" && !bytes.Equal(was, now):
				t.Errorf("refused, and yet it now holds %q", now)
			case test.want == "" && (err != nil || !bytes.Equal(now, after)):
				t.Errorf("got %v, %q", err, now)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, ".policy*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestSaveKeepsOwnerModeAndSymlink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target, path := filepath.Join(dir, "site", "policy.json"), filepath.Join(dir, "policy.json")
	mkdir(t, filepath.Dir(target))
	write(t, target, "old")
	link(t, "site/policy.json", path)
	if err := os.Chmod(target, 0o640); err != nil {
		t.Fatal(err)
	}
	owner := os.Getuid()
	if owner == 0 { // only root can give files away
		owner = 4711
		if err := os.Chown(target, owner, owner); err != nil {
			t.Fatal(err)
		}
	}
	if err := Save(path, []byte("old"), []byte("new")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(target)
	if err != nil {
		t.Fatal(err)
	}
	if uid := int(info.Sys().(*syscall.Stat_t).Uid); info.Mode() != 0o640 || uid != owner {
		t.Errorf("got mode %v and owner %d", info.Mode(), uid)
	}
	if to, err := os.Readlink(path); err != nil || to != "site/policy.json" {
		t.Errorf("the symlink became %q, %v", to, err)
	}
	if fresh := filepath.Join(dir, "fresh.json"); Save(fresh, nil, []byte("new")) != nil || mode(t, fresh) != 0o644 {
		t.Errorf("a new file has mode %v", mode(t, fresh))
	}
}

// TestSaveLosesNoEdit lets several edit at a time, each trying again when
// refused: every edit that was saved is there in the end, and nothing else.
func TestSaveLosesNoEdit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "site", "policy.json")
	mkdir(t, filepath.Dir(path))
	write(t, path, `{"content-trust": {"mode": "enforced"}}`)
	link(t, "site", filepath.Join(dir, "folder"))
	link(t, "site/policy.json", filepath.Join(dir, "file"))
	names := []string{path, filepath.Join(dir, "folder", "policy.json"), filepath.Join(dir, "file")}
	const editors, edits = 6, 15
	var all sync.WaitGroup
	for editor := range editors {
		all.Go(func() {
			for edit := range edits {
				repository := fmt.Sprintf("a.io/x%d-%d", editor, edit)
				if err := editUntilSaved(names[editor%len(names)], repository); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	p, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(p.Digests); got != editors*edits {
		t.Errorf("%d edits were saved, and %d are there", editors*edits, got)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func editUntilSaved(path, repository string) error {
	for {
		before, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		after, err := AddDigests(before, repository, []digest.Digest{digest.FromString("x")})
		if err != nil {
			return err
		}
		err = Save(path, before, after)
		if err == nil || !strings.Contains(err.Error(), "was changed since it was read") {
			return err
		}
	}
}

// TestLock: who is kept out is told of it, and gets in when the other is done.
func TestLock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	unlock, err := lock(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(dir, 0); err == nil || !strings.Contains(err.Error(), "another program has locked "+dir) {
		t.Errorf("got %v", err)
	}
	second := make(chan error)
	go func() {
		unlock, err := lock(dir, time.Minute)
		if err == nil {
			unlock()
		}
		second <- err
	}()
	unlock()
	if err := <-second; err != nil {
		t.Error(err)
	}
	if _, err := lock(filepath.Join(dir, "none"), 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

func mode(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode()
}

// FuzzEdit: an edit of any policy gives a policy that says the same and the
// pin besides, and takes no byte out but white space.
func FuzzEdit(f *testing.F) {
	for _, seed := range []string{
		`{"content-trust": {"mode": "enforced"}}`,
		"{\n  \"content-trust\": {\n    \"mode\": \"enforced\" // for now\n  }, \n}\n",
		"{\r\n\t\"content-trust\":{\"mode\":\"enforced\",\"trust-pinning\": { /* x */ }},}",
		`{"content-trust": {"mode": "enforced", "trust-pinning": {"root-keys": {"a.io/app": ["` + long("K0") + "\" // x\n /* y */ , /* z */]}}}}",
		`{"content-trust": {"mode": "enforced", "trust-pinning": {"root-keys": {"a.io/**": ["` + long("K0") + `",],}}}, "digests": {}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		before, err := parseCopy(raw)
		if err != nil {
			return
		}
		edited, err := pin(raw)
		if err != nil {
			return // a policy in which the pin would not count
		}
		after, err := parseCopy(edited)
		if err != nil {
			t.Fatalf("%v\n%s", err, edited)
		}
		if !slices.Contains(after.ContentTrust.TrustPinning.RootKeys["a.io/app"], long("K1")) {
			t.Fatalf("no pin in %s", edited)
		}
		unpin(before)
		unpin(after)
		if !reflect.DeepEqual(before, after) {
			t.Fatalf("something else changed\n%s\n%s", raw, edited)
		}
		if !within(bytes.Join(bytes.Fields(raw), nil), bytes.Join(bytes.Fields(edited), nil)) {
			t.Fatalf("something is gone\n%s\n%s", raw, edited)
		}
		if again, err := pin(edited); err != nil || !bytes.Equal(again, edited) {
			t.Fatalf("a second edit: %v\n%s\n%s", err, edited, again)
		}
	})
}

// unpin takes the pin of FuzzEdit out of a policy.
func unpin(p *Policy) {
	pins := &p.ContentTrust.TrustPinning
	rest := slices.DeleteFunc(pins.RootKeys["a.io/app"], func(id string) bool { return id == long("K1") })
	delete(pins.RootKeys, "a.io/app")
	if len(rest) > 0 {
		pins.RootKeys["a.io/app"] = rest
	}
	if len(pins.RootKeys) == 0 {
		pins.RootKeys = nil
	}
}

// within reports whether one text is left when bytes are taken out of another.
func within(short, long []byte) bool {
	for _, b := range short {
		at := bytes.IndexByte(long, b)
		if at < 0 {
			return false
		}
		long = long[at+1:]
	}
	return true
}
