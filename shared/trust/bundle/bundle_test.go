package bundle_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust/bundle"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// blobs are configurations and layers in memory.
type blobs map[digest.Digest][]byte

func (b blobs) Open(_ context.Context, _ string, d ocispec.Descriptor) (io.ReadCloser, error) {
	raw, ok := b[d.Digest]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(raw)), nil
}

func (b blobs) add(mediaType string, raw []byte) ocispec.Descriptor {
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	b[d.Digest] = raw
	return d
}

// image makes a manifest with a configuration and a layer.
func (b blobs) image(tb testing.TB, name string) []byte {
	tb.Helper()
	return marshal(tb, ocispec.Manifest{
		Versioned: versioned, MediaType: ocispec.MediaTypeImageManifest,
		Config: b.add(ocispec.MediaTypeImageConfig, []byte(`{"name":"`+name+`"}`)),
		Layers: []ocispec.Descriptor{b.add(ocispec.MediaTypeImageLayer, []byte("layer of "+name))},
	})
}

var versioned = ocispec.Index{}.Versioned

func init() { versioned.SchemaVersion = 2 }

func list(tb testing.TB, documents ...[]byte) []byte {
	tb.Helper()
	x := ocispec.Index{Versioned: versioned, MediaType: ocispec.MediaTypeImageIndex}
	for _, raw := range documents {
		x.Manifests = append(x.Manifests, ocispec.Descriptor{
			MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(raw), Size: int64(len(raw)),
		})
	}
	return marshal(tb, x)
}

func marshal(tb testing.TB, v any) []byte {
	tb.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

func root(version int) []byte {
	return fmt.Appendf(nil, `{"signed":{"_type":"Root","version":%d},"signatures":[]}`, version)
}

// longGUN needs PAX.
var longGUN = "registry.example.com:5000/" + strings.Repeat("a", 220)

// sample is a bundle of two repositories, three tags and a list of which one
// platform's manifest is missing.
func sample(tb testing.TB) (bundle.Bundle, blobs) {
	tb.Helper()
	b := blobs{}
	one, two, absent := b.image(tb, "one"), b.image(tb, "two"), b.image(tb, "absent")
	both := list(tb, one, two, absent)
	single := list(tb, two, absent)
	return bundle.Bundle{
		Repositories: []bundle.Repository{
			{GUN: longGUN, Roots: [][]byte{root(1)}, Roles: map[string][]byte{"timestamp": []byte("t"), "targets": {}}},
			{GUN: "docker.io/library/app", Roots: [][]byte{root(9), root(10)}, Roles: map[string][]byte{
				"timestamp": []byte("T"), "snapshot": []byte("S"), "targets": []byte("{}"), "targets/releases": []byte("R"), "targets/a/b": []byte("AB"),
			}},
		},
		Manifests: [][]byte{both, two, one, single, one},
		Images: []bundle.Image{
			{Name: "docker.io/library/app:v2", Digest: digest.FromBytes(both)},
			{Name: "docker.io/library/app:v1", Digest: digest.FromBytes(one)},
			{Name: longGUN + ":v3", Digest: digest.FromBytes(single)},
			{Name: "docker.io/library/app:v1", Digest: digest.FromBytes(one)},
		},
	}, b
}

func write(tb testing.TB, b bundle.Bundle, from bundle.Blobs) []byte {
	tb.Helper()
	var out bytes.Buffer
	if err := bundle.Write(tb.Context(), &out, b, from); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	want, content := sample(t)
	for name, from := range map[string]bundle.Blobs{"metadata": nil, "images": content} {
		raw := write(t, want, from)
		got, err := bundle.Read(bytes.NewReader(raw))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if again := write(t, got, from); !bytes.Equal(again, raw) {
			t.Errorf("%s: written again it has other bytes", name)
		}
		byGUN := cmpopts.SortSlices(func(a, b bundle.Repository) bool { return a.GUN < b.GUN })
		if diff := cmp.Diff(want.Repositories, got.Repositories, byGUN, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if len(got.Manifests) != 4 || len(got.Images) != 3 {
			t.Errorf("%s: %d manifests and %d images, want 4 and 3", name, len(got.Manifests), len(got.Images))
		}
		if wanted := map[string]int{"metadata": 0, "images": 4}[name]; len(got.Blobs) != wanted {
			t.Errorf("%s: %d blobs, want %d", name, len(got.Blobs), wanted)
		}
	}
}

// TestSameBytes holds that layout 1 stays what it is: a bundle that was made
// long ago has to be the one that would be made today.
func TestSameBytes(t *testing.T) {
	t.Parallel()
	b, content := sample(t)
	want := map[string]digest.Digest{
		"metadata": "sha256:1e1248f5f6cc822cf7f28aba16e42264b2ba571653fab0669fe76aadf6160832",
		"images":   "sha256:cfe8afdfa6a96de457e5b80c55974f60f097fb9d9c7da25e35f20d149ad71f59",
	}
	for name, from := range map[string]bundle.Blobs{"metadata": nil, "images": content} {
		if got := digest.FromBytes(write(t, b, from)); got != want[name] {
			t.Errorf("%s: the file is %s, want %s", name, got, want[name])
		}
	}
}

// TestLayout holds the file against what the package comment says, by another
// reader.
func TestLayout(t *testing.T) {
	t.Parallel()
	b, content := sample(t)
	names, files := untar(t, write(t, b, content))
	var meta, rest []string
	for _, name := range names {
		if strings.HasPrefix(name, "blobs/") {
			rest = append(rest, name)
			if want := "blobs/sha256/" + digest.FromBytes(files[name]).Encoded(); name != want {
				t.Errorf("%s has the bytes of %s", name, want)
			}
			continue
		}
		meta = append(meta, name)
	}
	app, long := "trust/docker.io/library/app/_trust/tuf/", "trust/"+longGUN+"/_trust/tuf/"
	want := []string{
		"docker-stig.json",
		app + "9.root.json", app + "10.root.json", app + "snapshot.json", app + "targets.json",
		app + "targets/a/b.json", app + "targets/releases.json", app + "timestamp.json",
		long + "1.root.json", long + "targets.json", long + "timestamp.json",
		"index.json", "manifest.json", "oci-layout",
	}
	if diff := cmp.Diff(want, meta); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if len(rest) != 8 {
		t.Errorf("%d blobs, want 4 manifests, 2 configurations and 2 layers", len(rest))
	}

	// What containerd and docker load read.
	var x ocispec.Index
	if err := json.Unmarshal(files["index.json"], &x); err != nil {
		t.Fatal(err)
	}
	refs := map[string]string{}
	for _, d := range x.Manifests {
		refs[d.Annotations["io.containerd.image.name"]] = d.Annotations["org.opencontainers.image.ref.name"] + " " + d.Digest.Encoded()[:8]
		if raw := files["blobs/sha256/"+d.Digest.Encoded()]; int64(len(raw)) != d.Size {
			t.Errorf("%s has %d bytes, not %d", d.Digest, len(raw), d.Size)
		}
	}
	wantRefs := map[string]string{
		"docker.io/library/app:v1": "v1 " + b.Images[1].Digest.Encoded()[:8],
		"docker.io/library/app:v2": "v2 " + b.Images[0].Digest.Encoded()[:8],
		longGUN + ":v3":            "v3 " + b.Images[2].Digest.Encoded()[:8],
	}
	if diff := cmp.Diff(wantRefs, refs); diff != "" {
		t.Errorf("index.json (-want +got):\n%s", diff)
	}
	var saved []struct {
		Config           string
		RepoTags, Layers []string
	}
	if err := json.Unmarshal(files["manifest.json"], &saved); err != nil {
		t.Fatal(err)
	}
	var tags []string
	for _, s := range saved {
		tags = append(tags, s.RepoTags...)
		for _, name := range append(s.Layers, s.Config) {
			if files[name] == nil {
				t.Errorf("manifest.json names %s, which is not there", name)
			}
		}
	}
	if diff := cmp.Diff([]string{"docker.io/library/app:v1", longGUN + ":v3"}, tags); diff != "" {
		t.Errorf("manifest.json, which leaves out what has several platforms (-want +got):\n%s", diff)
	}
	if got := string(files["oci-layout"]); got != `{"imageLayoutVersion":"1.0.0"}` {
		t.Errorf("oci-layout is %s", got)
	}
}

func untar(tb testing.TB, raw []byte) ([]string, map[string][]byte) {
	tb.Helper()
	var names []string
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(raw)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return names, files
		}
		if err != nil {
			tb.Fatal(err)
		}
		if h.Mode != 0o644 || h.Uid != 0 || h.Gid != 0 || h.Uname != "" || !h.ModTime.Equal(time.Unix(0, 0)) || h.Typeflag != tar.TypeReg {
			tb.Errorf("header %+v", h)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			tb.Fatal(err)
		}
		names, files[h.Name] = append(names, h.Name), content
	}
}

func TestWriteRefuses(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		change func(*bundle.Bundle, blobs)
		err    string
	}{
		"empty":                   {func(b *bundle.Bundle, _ blobs) { *b = bundle.Bundle{} }, "nothing in it"},
		"GUN with a path trick":   {func(b *bundle.Bundle, _ blobs) { b.Repositories[0].GUN = "a/../../etc" }, "no full name"},
		"GUN with our own folder": {func(b *bundle.Bundle, _ blobs) { b.Repositories[0].GUN = "example.com/a/_trust/tuf" }, "no full name"},
		"GUN not normalized":      {func(b *bundle.Bundle, _ blobs) { b.Repositories[0].GUN = "alpine" }, "no full name"},
		"GUN with a tag":          {func(b *bundle.Bundle, _ blobs) { b.Repositories[0].GUN = "example.com/a:v1" }, "no full name"},
		"GUN twice":               {func(b *bundle.Bundle, _ blobs) { b.Repositories[1].GUN = longGUN }, "twice"},
		"GUN too long":            {func(b *bundle.Bundle, _ blobs) { b.Repositories[0].GUN = strings.Repeat("a.", 300) + "com/a" }, "longer"},
		"no root":                 {func(b *bundle.Bundle, _ blobs) { b.Repositories[0].Roots = nil }, "no root"},
		"root that is none":       {func(b *bundle.Bundle, _ blobs) { b.Repositories[0].Roots[0] = []byte("x") }, "version of a root"},
		"root without version":    {func(b *bundle.Bundle, _ blobs) { b.Repositories[0].Roots[0] = []byte("{}") }, "version is 0"},
		"roots in disorder": {func(b *bundle.Bundle, _ blobs) {
			b.Repositories[0].Roots = [][]byte{root(2), root(1)}
		}, "root 1 stands behind root 2"},
		"role with a path trick": {func(b *bundle.Bundle, _ blobs) { b.Repositories[0].Roles["targets/../../x"] = nil }, "no role"},
		"role in upper case":     {func(b *bundle.Bundle, _ blobs) { b.Repositories[0].Roles["Targets"] = nil }, "no role"},
		"role too long":          {func(b *bundle.Bundle, _ blobs) { b.Repositories[0].Roles["targets/"+strings.Repeat("a", 255)] = nil }, "no role"},
		"root among the roles":   {func(b *bundle.Bundle, _ blobs) { b.Repositories[0].Roles["root"] = nil }, "no role"},
		"root too long": {func(b *bundle.Bundle, _ blobs) {
			b.Repositories[0].Roots = [][]byte{append(root(1), bytes.Repeat([]byte(" "), 1<<20)...)}
		}, "most that are read"},
		"no manifest":           {func(b *bundle.Bundle, _ blobs) { b.Manifests = append(b.Manifests, []byte("{}")) }, "schemaVersion"},
		"image without tag":     {func(b *bundle.Bundle, _ blobs) { b.Images[0].Name = "docker.io/library/app" }, "no full name with a tag"},
		"image by short name":   {func(b *bundle.Bundle, _ blobs) { b.Images[0].Name = "app:v1" }, "no full name with a tag"},
		"image without digest":  {func(b *bundle.Bundle, _ blobs) { b.Images[0].Digest = "" }, "no sha256"},
		"image of two digests":  {func(b *bundle.Bundle, _ blobs) { b.Images[0].Name = b.Images[1].Name }, "two digests"},
		"image without content": {func(b *bundle.Bundle, _ blobs) { b.Images[0].Digest = digest.FromString("") }, "is not in it"},
		"list without platform": {func(b *bundle.Bundle, _ blobs) { b.Manifests, b.Images = b.Manifests[:1], b.Images[:1] }, "none of its platforms"},
		"no image":              {func(b *bundle.Bundle, _ blobs) { b.Images = nil }, "no image"},
		"blob not to be had":    {func(_ *bundle.Bundle, c blobs) { clear(c) }, "file does not exist"},
		"blob that breaks off": {func(_ *bundle.Bundle, c blobs) {
			each(c, func(raw []byte) []byte { return raw[:len(raw)-1] })
		}, "ends after"},
		"blob with more": {func(_ *bundle.Bundle, c blobs) {
			each(c, func(raw []byte) []byte { return append(raw, 'x') })
		}, "has more"},
		"blob with other bytes": {func(_ *bundle.Bundle, c blobs) {
			each(c, func(raw []byte) []byte { return bytes.ToUpper(raw) })
		}, "another digest"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, content := sample(t)
			c.change(&b, content)
			var out bytes.Buffer
			err := bundle.Write(t.Context(), &out, b, content)
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Fatalf("Write gives the error %v, want one with %q", err, c.err)
			}
			if _, err := bundle.Read(&out); err == nil {
				t.Error("Read reads what was not written to its end")
			}
		})
	}
}

func each(c blobs, change func([]byte) []byte) {
	for d, raw := range c {
		c[d] = change(bytes.Clone(raw))
	}
}

func TestWriteStops(t *testing.T) {
	t.Parallel()
	b, content := sample(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := bundle.Write(ctx, io.Discard, b, content); !errors.Is(err, context.Canceled) {
		t.Errorf("Write gives the error %v", err)
	}
	raw := write(t, b, content)
	for n := range len(raw) / 100 {
		if err := bundle.Write(t.Context(), &fullDisk{100 * n}, b, content); !errors.Is(err, errFull) {
			t.Fatalf("a disk of %d bytes gives the error %v", 100*n, err)
		}
	}
}

var errFull = errors.New("no space left")

// A fullDisk takes so many bytes.
type fullDisk struct{ room int }

func (d *fullDisk) Write(p []byte) (int, error) {
	if d.room -= len(p); d.room < 0 {
		return 0, errFull
	}
	return len(p), nil
}

// gzipped compresses.
func gzipped(tb testing.TB, raw []byte) []byte {
	tb.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(raw); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}
