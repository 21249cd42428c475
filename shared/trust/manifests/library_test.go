package manifests_test

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust/manifests"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

// A clock stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func add(tb testing.TB, l *manifests.Library, documents ...[]byte) {
	tb.Helper()
	for _, raw := range documents {
		if d, err := l.Add(raw); err != nil || d != digest.FromBytes(raw) {
			tb.Fatalf("Add gives %s, %v", d, err)
		}
	}
}

func of(documents ...[]byte) []digest.Digest {
	var all []digest.Digest
	for _, raw := range documents {
		all = append(all, digest.FromBytes(raw))
	}
	return all
}

func TestParents(t *testing.T) {
	t.Parallel()
	a, b := image("a"), image("b")
	ab, lonely := list(a, b), list(b)
	nested := list(ab)
	attested := listOf(
		`{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"`+digest.FromBytes(a).String()+`","size":7,"annotations":{"vnd.docker.reference.type":"attestation-manifest"}}`,
		`{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"`+digest.FromBytes(a).String()+`","size":7,"platform":{"os":"unknown","architecture":"unknown"}}`)
	artifact := manifest(descriptor("application/vnd.oci.empty.v1+json", config("a")), "")
	disguised := manifest(descriptor(ociConfig, digest.FromBytes(a)), "")
	listsConfig := listOf(descriptor(ociConfig, config("a")))
	deep := [][]byte{list(nested)}
	for range 5 {
		deep = append(deep, list(deep[len(deep)-1]))
	}
	cases := map[string]struct {
		known [][]byte
		of    digest.Digest
		want  []digest.Digest
	}{
		"configuration":                 {[][]byte{a, b}, config("a"), of(a)},
		"configuration, by its list":    {[][]byte{ab, a}, config("a"), of(a, ab)},
		"manifest in two lists":         {[][]byte{ab, lonely}, digest.FromBytes(b), of(ab, lonely)},
		"a list of lists":               {[][]byte{nested, ab, a}, config("a"), of(a, ab, nested)},
		"nested deeper than engines do": {append(deep, a, ab, nested), config("a"), of(a, ab, nested, deep[0])},
		"not downwards":                 {[][]byte{a, ab, nested}, digest.FromBytes(nested), nil},
		"the manifest is not known":     {[][]byte{ab}, config("a"), nil},
		"a layer":                       {[][]byte{a, ab}, layer("a"), nil},
		"an attestation":                {[][]byte{attested}, digest.FromBytes(a), nil},
		"an artifact's config":          {[][]byte{artifact}, config("a"), nil},
		"a manifest called a config":    {[][]byte{a, disguised}, digest.FromBytes(a), nil},
		"a config in a list":            {[][]byte{listsConfig}, config("a"), nil},
		"no digest":                     {[][]byte{a}, "sha256:../..", nil},
		"upper case":                    {[][]byte{a}, digest.Digest("sha256:" + strings.ToUpper(config("a").Encoded())), nil},
		"other algorithm":               {[][]byte{a}, digest.SHA512.FromString(""), nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for where, l := range map[string]*manifests.Library{"memory": manifests.Open(""), "disk": manifests.Open(dir)} {
				add(t, l, c.known...)
				if diff := cmp.Diff(c.want, l.Parents(c.of)); diff != "" {
					t.Errorf("in %s (-want +got):\n%s", where, diff)
				}
			}
			if got := manifests.Open(dir).Parents(c.of); len(got) != len(c.want) {
				t.Errorf("another process reads %v, want %v", got, c.want)
			}
		})
	}
}

func TestGet(t *testing.T) {
	t.Parallel()
	raw, dir := image("a"), t.TempDir()
	d := digest.FromBytes(raw)
	for where, l := range map[string]*manifests.Library{"memory": manifests.Open(""), "disk": manifests.Open(dir)} {
		if _, err := l.Get(d); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: before Add: %v", where, err)
		}
		add(t, l, raw)
		got, err := l.Get(d)
		if err != nil || !bytes.Equal(got, raw) {
			t.Errorf("%s: %s, %v", where, got, err)
		}
		if _, err := l.Get("sha256:../sha256/" + digest.Digest(d.Encoded())); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: a path for a digest: %v", where, err)
		}
	}
	write(t, dir, d.Encoded(), image("b"))
	if _, err := manifests.Open(dir).Get(d); err == nil || !strings.Contains(err.Error(), "hash") {
		t.Errorf("other bytes under the name: %v", err)
	}
}

func TestHas(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b, c := image("a"), image("b"), image("c")
	now := &clock{now: time.Unix(1_800_000_000, 0)}
	onDisk := manifests.New(manifests.Options{Dir: dir, MaxManifests: 2, Now: now.Now})
	inMemory := manifests.New(manifests.Options{MaxManifests: 2})
	for where, l := range map[string]*manifests.Library{"memory": inMemory, "disk": onDisk} {
		if l.Has(digest.FromBytes(a)) {
			t.Errorf("%s: has a document before Add", where)
		}
		add(t, l, a, list(b))
		if _, err := l.Add(c); !errors.Is(err, manifests.ErrFull) {
			t.Errorf("%s: a third: %v", where, err)
		}
		for d, want := range map[digest.Digest]bool{
			digest.FromBytes(a):       true,
			digest.FromBytes(list(b)): true,
			digest.FromBytes(b):       false, // named by a list, and not there
			digest.FromBytes(c):       false, // no room for it
			config("a"):               false,
			"":                        false,
			digest.Digest("sha256:" + strings.ToUpper(digest.FromBytes(a).Encoded())): false,
			digest.SHA512.FromBytes(a): false,
		} {
			if got := l.Has(d); got != want {
				t.Errorf("%s: Has(%s) = %v", where, d, got)
			}
		}
	}

	// It follows the folder, and reads no file again.
	write(t, dir, digest.FromBytes(a).Encoded(), c)
	now.move(2 * time.Second)
	if !onDisk.Has(digest.FromBytes(a)) {
		t.Error("a question read the file")
	}
	if err := os.Remove(filepath.Join(dir, "sha256", digest.FromBytes(a).Encoded())); err != nil {
		t.Fatal(err)
	}
	now.move(2 * time.Second)
	if onDisk.Has(digest.FromBytes(a)) {
		t.Error("has a document whose file was removed")
	}
}

func write(tb testing.TB, dir, name string, raw []byte) {
	tb.Helper()
	if err := os.MkdirAll(filepath.Join(dir, "sha256"), 0o700); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "sha256", name), raw, 0o600); err != nil {
		tb.Fatal(err)
	}
}

// TestNotBelieved puts into the folder what does not belong there.
func TestNotBelieved(t *testing.T) {
	t.Parallel()
	a, b, evil := image("a"), image("b"), image("evil")
	dir := t.TempDir()
	write(t, dir, digest.FromBytes(a).Encoded(), a)
	write(t, dir, digest.FromBytes(b).Encoded(), evil)
	write(t, dir, "README", []byte("hello"))
	write(t, dir, ".temporary", evil)
	write(t, dir, digest.FromString("x").Encoded(), []byte("x"))
	link := image("link")
	outside := filepath.Join(t.TempDir(), "link")
	if err := os.WriteFile(outside, link, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "sha256", digest.FromBytes(link).Encoded())); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "sha256", digest.FromString("folder").Encoded()), 0o700); err != nil {
		t.Fatal(err)
	}

	var log bytes.Buffer
	now := &clock{now: time.Unix(1_800_000_000, 0)}
	l := manifests.New(manifests.Options{Dir: dir, Now: now.Now, Log: slog.New(slog.NewTextHandler(&log, nil))})
	for range 4 {
		if got := l.Parents(config("a")); !cmp.Equal(got, of(a)) {
			t.Errorf("Parents of a good one: %v", got)
		}
		for _, name := range []string{"b", "evil", "link"} {
			if got := l.Parents(config(name)); got != nil {
				t.Errorf("Parents of %s: %v", name, got)
			}
		}
		now.move(2 * time.Second)
		write(t, dir, ".temporary"+now.Now().String(), nil) // the folder changes
	}
	if got := strings.Count(log.String(), "skipping"); got != 5 {
		t.Errorf("%d files are reported, want each of the 5 once:\n%s", got, &log)
	}

	// Put right, it is read again.
	write(t, dir, digest.FromBytes(b).Encoded(), b)
	when := time.Unix(1_700_000_000, 0)
	if err := os.Chtimes(filepath.Join(dir, "sha256", digest.FromBytes(b).Encoded()), when, when); err != nil {
		t.Fatal(err)
	}
	write(t, dir, ".another", nil)
	now.move(2 * time.Second)
	if got := l.Parents(config("b")); !cmp.Equal(got, of(b)) {
		t.Errorf("after the file was put right: %v", got)
	}
}

func TestAnotherProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	now := &clock{now: time.Unix(1_800_000_000, 0)}
	l := manifests.New(manifests.Options{Dir: dir, Now: now.Now})
	if got := l.Parents(config("a")); got != nil {
		t.Fatalf("of an empty library: %v", got)
	}
	a := image("a")
	add(t, manifests.Open(dir), a)
	if got := l.Parents(config("a")); got != nil {
		t.Errorf("within the second the folder was asked: %v", got)
	}
	now.move(time.Second)
	if got := l.Parents(config("a")); !cmp.Equal(got, of(a)) {
		t.Errorf("a second later: %v", got)
	}
	if err := os.Remove(filepath.Join(dir, "sha256", digest.FromBytes(a).Encoded())); err != nil {
		t.Fatal(err)
	}
	now.move(time.Second)
	if got := l.Parents(config("a")); got != nil {
		t.Errorf("after its file was removed: %v", got)
	}
	now.move(-time.Hour)
	add(t, manifests.Open(dir), a)
	if got := l.Parents(config("a")); !cmp.Equal(got, of(a)) {
		t.Errorf("after the clock was set back: %v", got)
	}
}

// TestSameTick adds a file and leaves the folder's time as it was.
func TestSameTick(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	now := &clock{now: time.Unix(1_800_000_000, 0)}
	l := manifests.New(manifests.Options{Dir: dir, Now: now.Now})
	add(t, manifests.Open(dir), image("a"))
	folder := filepath.Join(dir, "sha256")
	info, err := os.Stat(folder)
	if err != nil {
		t.Fatal(err)
	}
	l.Parents(config("a"))
	b := image("b")
	add(t, manifests.Open(dir), b)
	if err := os.Chtimes(folder, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	now.move(time.Second)
	if got := l.Parents(config("b")); !cmp.Equal(got, of(b)) {
		t.Errorf("a file of the same tick: %v", got)
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	a, b, c := image("a"), image("b"), image("c")
	for name, o := range map[string]manifests.Options{
		"number":         {MaxManifests: 2},
		"bytes":          {MaxBytes: int64(len(a) + len(b))},
		"number on disk": {MaxManifests: 2, Dir: t.TempDir()},
	} {
		l := manifests.New(o)
		add(t, l, a, b, a)
		if _, err := l.Add(c); !errors.Is(err, manifests.ErrFull) {
			t.Errorf("%s: a third: %v", name, err)
		}
	}
	dir := t.TempDir()
	add(t, manifests.Open(dir), a, b, c)
	var log bytes.Buffer
	l := manifests.New(manifests.Options{Dir: dir, MaxManifests: 2, Log: slog.New(slog.NewTextHandler(&log, nil))})
	known := 0
	for _, name := range []string{"a", "b", "c"} {
		known += len(l.Parents(config(name)))
	}
	if known != 2 || !strings.Contains(log.String(), "full") {
		t.Errorf("%d of 3 files are known, want 2; log: %s", known, &log)
	}
}

func TestCannotWrite(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l := manifests.Open(file)
	if _, err := l.Add(image("a")); err == nil {
		t.Error("Add says it kept a document under a file")
	}
	if got := l.Parents(config("a")); got != nil {
		t.Errorf("Parents of what was not kept: %v", got)
	}
}

func TestConcurrent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := manifests.Open(dir)
	var wg sync.WaitGroup
	for _, name := range []string{"a", "b", "c", "d"} {
		wg.Go(func() {
			add(t, l, image(name), list(image(name)))
			if got := l.Parents(config(name)); len(got) != 2 {
				t.Errorf("%s: %v", name, got)
			}
		})
	}
	wg.Wait()
}
