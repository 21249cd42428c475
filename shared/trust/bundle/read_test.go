package bundle_test

import (
	"archive/tar"
	"bytes"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust/bundle"
	"github.com/opencontainers/go-digest"
)

// An entry is a file of a tar to be spoiled.
type entry struct {
	header  tar.Header
	content []byte
}

// entries takes a bundle apart.
func entries(tb testing.TB, raw []byte) []entry {
	tb.Helper()
	names, files := untar(tb, raw)
	var all []entry
	for _, name := range names {
		all = append(all, entry{
			tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, ModTime: time.Unix(0, 0)}, files[name],
		})
	}
	return all
}

// pack makes a tar of entries.
func pack(tb testing.TB, all []entry) []byte {
	tb.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range all {
		e.header.Size = int64(len(e.content))
		if err := w.WriteHeader(&e.header); err != nil {
			tb.Fatal(err)
		}
		if _, err := w.Write(e.content); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

// in replaces text in the index.
func in(old, text string) func([]entry) []entry {
	return func(all []entry) []entry {
		all[0].content = bytes.Replace(all[0].content, []byte(old), []byte(text), 1)
		return all
	}
}

// TestReadRefuses spoils a bundle with images: of its entries, 0 is the index,
// 3 a snapshot, 15 the OCI index (as TestLayout lists them, with four manifests
// before it), and the last one a layer or configuration.
func TestReadRefuses(t *testing.T) {
	t.Parallel()
	b, content := sample(t)
	good := entries(t, write(t, b, content))
	if _, err := bundle.Read(bytes.NewReader(pack(t, good))); err != nil {
		t.Fatalf("taken apart and packed by the same rules: %v", err)
	}
	last := len(good) - 1
	cases := map[string]struct {
		change func([]entry) []entry
		err    string
	}{
		"other bytes in metadata": {func(e []entry) []entry { e[3].content = []byte("X"); return e }, "snapshot.json does not have the sha256"},
		"other bytes in a layer":  {func(e []entry) []entry { e[last].content = bytes.ToUpper(e[last].content); return e }, "does not have the sha256"},
		"other bytes in the OCI index": {func(e []entry) []entry {
			e[15].content = bytes.Replace(e[15].content, []byte(":v1"), []byte(":v9"), 1)
			return e
		}, "index.json does not have the sha256"},
		"longer":                    {func(e []entry) []entry { e[3].content = []byte("SS"); return e }, "snapshot.json has 2 bytes"},
		"entry missing":             {func(e []entry) []entry { return append(e[:3:3], e[4:]...) }, "targets.json\" stands where"},
		"entries at the end":        {func(e []entry) []entry { return e[:last] }, "is missing"},
		"entry twice":               {func(e []entry) []entry { return append(e[:4:4], e[3:]...) }, "snapshot.json\" stands where"},
		"entry not in index":        {func(e []entry) []entry { return append(e, entry{header: e[3].header}) }, "is not named in docker-stig.json"},
		"entries in disorder":       {func(e []entry) []entry { e[3], e[4] = e[4], e[3]; return e }, "stands where"},
		"path trick":                {func(e []entry) []entry { e[3].header.Name = "../../etc/passwd"; return e }, `"../../etc/passwd" stands where`},
		"symlink":                   {func(e []entry) []entry { return link(e, tar.TypeSymlink) }, "no regular file"},
		"hard link":                 {func(e []entry) []entry { return link(e, tar.TypeLink) }, "no regular file"},
		"folder":                    {func(e []entry) []entry { return link(e, tar.TypeDir) }, "no regular file"},
		"other owner":               {func(e []entry) []entry { e[3].header.Uid = 1000; return e }, "packed again"},
		"other time":                {func(e []entry) []entry { e[3].header.ModTime = time.Unix(1, 0); return e }, "packed again"},
		"executable":                {func(e []entry) []entry { e[3].header.Mode = 0o755; return e }, "packed again"},
		"PAX records":               {func(e []entry) []entry { e[3].header.PAXRecords = map[string]string{"A.b": "c"}; return e }, "packed again"},
		"other owner, at first":     {func(e []entry) []entry { e[0].header.Uid = 1000; return e }, "packed again"},
		"an archive of docker save": {func(e []entry) []entry { return e[15:] }, "it is a tar archive, but no bundle"},
		"no entry":                  {func([]entry) []entry { return nil }, "no bundle"},
		"index of a later layout":   {in(`"schemaVersion": 1`, `"schemaVersion": 2`), "layout 2, and this docker-stig reads layout 1: use docker-stig 0.1.0 or newer"},
		"index of a strange layout": {func(e []entry) []entry {
			return in(`"minVersion": "0.1.0"`, `"minVersion": "\u001b[2J"`)(in(`"schemaVersion": 1`, `"schemaVersion": 0`)(e))
		}, "use the docker-stig that wrote it"},
		"index without JSON":          {in("{", "["), "docker-stig.json"},
		"index with another member":   {in(`"minVersion"`, `"more": 1, "minVersion"`), `no member "more"`},
		"index with a member twice":   {in(`"minVersion"`, `"minVersion": "", "minVersion"`), "line 3"},
		"index in other case":         {in(`"minVersion"`, `"MinVersion"`), `no member "MinVersion"`},
		"index with null for a list":  {in(`"repositories": [`, `"repositories": null, "images": [`), "no [ begins before byte"},
		"index with null in a list":   {in(`"repositories": [`, `"repositories": [null,`), "no { begins before byte"},
		"index with a file of null":   {in(`"roots": [`, `"roots": [null,`), "no path of a bundle"},
		"index with another gun":      {in(`"gun"`, `"GUN"`), `no member "GUN"`},
		"index with a long line":      {in(`"minVersion": "`, `"minVersion": "`+strings.Repeat("a", 1<<11)), "line 3 is longer"},
		"index cut off in the middle": {func(e []entry) []entry { e[0].content = e[0].content[:900]; return e }, "unexpected end of JSON"},
		"index with data behind":      {func(e []entry) []entry { e[0].content = append(e[0].content, "{}"...); return e }, "docker-stig.json"},
		"index with other blanks":     {in("\n  ", "\n "), "does not describe the bundle, from line 2"},
		"index with negative size":    {in(`"size": 1,`, `"size": -1,`), "most that are read"},
		"index with great size":       {in(`"size": 1,`, `"size": 9999999999,`), "most that are read"},
		"index with a control path":   {in(`9.root.json`, `\u001b[2J`), "no path of a bundle"},
		"index with another path":     {in(`9.root.json`, `8.root.json`), `9.root.json" stands where`},
		"index without the blobs":     {func(e []entry) []entry { return noBlobs(e) }, "is not named"},
		"index with another image":    {in(`library/app:v1"`, `library/app:v0"`), "index.json does not have"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw := pack(t, c.change(append([]entry{}, good...)))
			got, err := bundle.Read(bytes.NewReader(raw))
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Fatalf("Read gives the error %v, want one with %q", err, c.err)
			}
			if len(got.Repositories)+len(got.Manifests)+len(got.Images) > 0 {
				t.Error("Read gives a bundle beside the error")
			}
			if strings.ContainsRune(err.Error(), '\x1b') {
				t.Errorf("the error controls the terminal: %q", err)
			}
		})
	}
}

func link(e []entry, kind byte) []entry {
	e[3].header.Typeflag, e[3].content = kind, nil
	if kind != tar.TypeDir {
		e[3].header.Linkname = "/etc/passwd"
	}
	return e
}

// noBlobs makes the index one of a bundle without images.
func noBlobs(e []entry) []entry {
	at := bytes.Index(e[0].content, []byte(",\n  \"blobs\""))
	e[0].content = append(bytes.Clone(e[0].content[:at]), "\n}\n"...)
	return e
}

// TestReadBytes spoils the file below what a tar library sees.
func TestReadBytes(t *testing.T) {
	t.Parallel()
	b, content := sample(t)
	raw := write(t, b, content)
	cases := map[string]struct {
		raw []byte
		err string
	}{
		"empty":            {nil, "no bundle"},
		"text":             {[]byte(strings.Repeat("hello ", 200)), "nor any other tar"},
		"gzip":             {gzipped(t, raw), "gunzip"},
		"zstd":             {[]byte("\x28\xb5\x2f\xfd rest"), "unzstd"},
		"trailing garbage": {append(bytes.Clone(raw), 'x'), "behind its end"},
		"trailing zeros":   {append(bytes.Clone(raw), make([]byte, 8192)...), "behind its end"},
		"two bundles":      {append(bytes.Clone(raw), raw...), "behind its end"},
		"no end":           {raw[:len(raw)-1024], "before its last block"},
		"half an end":      {raw[:len(raw)-512], "before its last block"},
	}
	for name, c := range cases {
		if _, err := bundle.Read(bytes.NewReader(c.raw)); err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: Read gives the error %v, want one with %q", name, err, c.err)
		}
	}
	raw = small(t)
	const step = 7 // meets every place of a block in turn
	for n := 0; n < len(raw); n += step {
		if _, err := bundle.Read(bytes.NewReader(raw[:n])); err == nil {
			t.Fatalf("Read takes the first %d of %d bytes", n, len(raw))
		}
	}
	for at := 0; at < len(raw); at += step {
		spoilt := bytes.Clone(raw)
		spoilt[at] ^= 0x01
		if _, err := bundle.Read(bytes.NewReader(spoilt)); err == nil {
			t.Fatalf("Read takes a bundle with a bit changed in byte %d", at)
		}
	}
	broken := iotest.TimeoutReader(iotest.OneByteReader(bytes.NewReader(raw)))
	if _, err := bundle.Read(broken); err == nil || !strings.Contains(err.Error(), "timeout") {
		t.Errorf("a disk that fails gives the error %v", err)
	}
}

// small is a bundle of one repository and one image.
func small(tb testing.TB) []byte {
	tb.Helper()
	content := blobs{}
	one := content.image(tb, "one")
	return write(tb, bundle.Bundle{
		Repositories: []bundle.Repository{{GUN: "docker.io/library/app", Roots: [][]byte{root(1)}}},
		Manifests:    [][]byte{one},
		Images:       []bundle.Image{{Name: "docker.io/library/app:v1", Digest: digest.FromBytes(one)}},
	}, content)
}

// FuzzRead holds that what is read is what would be written, by a blob store
// that another reader of tar fills.
func FuzzRead(f *testing.F) {
	b, content := sample(f)
	f.Add(write(f, b, nil))
	f.Add(write(f, b, content))
	f.Add(write(f, bundle.Bundle{Manifests: b.Manifests[1:2]}, nil))
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := bundle.Read(bytes.NewReader(raw))
		if err != nil {
			return
		}
		var from bundle.Blobs
		if len(got.Blobs) > 0 {
			store := blobs{}
			_, files := untar(t, raw)
			for _, content := range files {
				store.add("", content)
			}
			from = store
		}
		if again := write(t, got, from); !bytes.Equal(again, raw) {
			t.Error("written again it has other bytes")
		}
	})
}
