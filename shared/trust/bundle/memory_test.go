package bundle_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust/bundle"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// heapNow is what is on the heap, garbage too. Unlike runtime.ReadMemStats it
// does not stop who is measured.
func heapNow() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// peak is how many bytes of heap f adds at most, as seen every few
// milliseconds.
func peak(f func()) uint64 {
	runtime.GC()
	before := heapNow()
	most := before
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			return most - before
		case <-ticker.C:
			most = max(most, heapNow())
		}
	}
}

// TestMemory holds that a bundle, whatever stands in it, is read in four times
// its size and 64 MiB, the garbage included.
func TestMemory(t *testing.T) {
	const head = `{"schemaVersion":1,"minVersion":"0.1.0",` + "\n"
	cases := map[string]struct {
		raw func(testing.TB) []byte
		err string // in it; "": none
	}{
		"empty manifests":          {index(head+`"manifests":[`, "{},\n", `{}]}`), "more than the 65536 files"},
		"null manifests":           {index(head+`"manifests":[`, "null,\n", `null]}`), "more than the 65536 files"},
		"empty repositories":       {index(head+`"repositories":[`, "{},\n", `{}]}`), "more than the 65536 files"},
		"repositories' files":      {index(head+`"repositories":[`, `{"roots":[{},{},{}],"roles":[{},{},{}]},`+"\n", `{}]}`), "more than the 65536 files"},
		"empty images":             {index(head+`"images":[`, "{},\n", `{}]}`), "more than the 65536 files"},
		"a member that is none":    {index(head+`"more":[`, "{},\n", `{}]}`), "no member"},
		"one line":                 {index(head+`"manifests":[`, "{},", `{}]}`), "line 2 is longer"},
		"one long path":            {index(head+`"manifests":[{"path":"`, "a", `"}]}`), "line 2 is longer"},
		"files that are not there": {index(head+`"manifests":[`, `{"path":"`+strings.Repeat("a", 300)+`","size":1,"sha256":"`+strings.Repeat("0", 64)+`"},`+"\n", `{"path":"a"}]}`), "is missing"},
		"annotations":              {annotated, ""},
		"small manifests":          {tiny, ""},
		"many roles":               {roles(5_000, 10), ""},
		"large roles":              {roles(2, 20<<20), ""},
		"lists":                    {crowd(true), ""},
		"layers":                   {crowd(false), ""},
	}
	for name, c := range cases {
		path := filepath.Join(t.TempDir(), "bundle")
		if err := os.WriteFile(path, c.raw(t), 0o600); err != nil { // held in memory, it would hide as much garbage
			t.Fatal(err)
		}
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		got := peak(func() { _, err = bundle.Read(file) }) >> 20
		info, _ := file.Stat()
		size := uint64(info.Size() >> 20)
		_ = file.Close()
		t.Logf("%s: %d MiB for %d MiB", name, got, size)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: Read gives the error %v, want one with %q", name, err, c.err)
		}
		if got > 4*size+64 {
			t.Errorf("%s: %d MiB of memory for %d MiB, and %d are allowed", name, got, size, 4*size+64)
		}
	}
}

// index is a tar of nothing but a long index: head and tail, and in between
// always the same. What makes it is small, because garbage may grow with it.
func index(head, element, tail string) func(testing.TB) []byte {
	return func(tb testing.TB) []byte {
		tb.Helper()
		const size = 4 << 20 // bytes; a sixth of the longest that is read
		raw := head + strings.Repeat(element, (size-len(head)-len(tail))/len(element)) + tail
		return pack(tb, []entry{{tar.Header{Typeflag: tar.TypeReg, Name: "docker-stig.json", Mode: 0o644, ModTime: time.Unix(0, 0)}, []byte(raw)}})
	}
}

// annotated has lists that consist of annotations, each with about as many as are read.
func annotated(tb testing.TB) []byte {
	tb.Helper()
	var b bundle.Bundle
	for i := range 3 {
		var text strings.Builder
		fmt.Fprintf(&text, `{"schemaVersion":2,"manifests":[{"mediaType":"a%d","digest":"%s","size":1,"annotations":{`, i, digest.FromString("x"))
		for k := range 60_000 {
			fmt.Fprintf(&text, `"%060x":"",`, k)
		}
		text.WriteString(`"z":""}}]}`)
		b.Manifests = append(b.Manifests, []byte(text.String()))
	}
	return write(tb, b, nil)
}

// tiny has many small manifests.
func tiny(tb testing.TB) []byte {
	tb.Helper()
	var b bundle.Bundle
	for i := range 5_000 {
		b.Manifests = append(b.Manifests, fmt.Appendf(nil, `{"schemaVersion":2,"manifests":[],"annotations":{"":"%d"}}`, i))
	}
	return write(tb, b, nil)
}

func roles(n, size int) func(testing.TB) []byte {
	return func(tb testing.TB) []byte {
		tb.Helper()
		r := bundle.Repository{GUN: "a.io/b", Roots: [][]byte{root(1)}, Roles: map[string][]byte{}}
		for i := range n {
			r.Roles[fmt.Sprintf("targets/%d", i)] = bytes.Repeat([]byte{'a'}, size)
		}
		return write(tb, bundle.Bundle{Repositories: []bundle.Repository{r}}, nil)
	}
}

// crowd has images of which each is a list of the same thousand manifests, or
// a manifest of the same thousand layers.
func crowd(ofLists bool) func(testing.TB) []byte {
	return func(tb testing.TB) []byte {
		tb.Helper()
		content := blobs{}
		var b bundle.Bundle
		var entries []string
		for i := range 1000 {
			raw := content.image(tb, fmt.Sprint(i))
			if !ofLists {
				d := content.add("", fmt.Appendf(nil, "layer %d", i))
				entries = append(entries, fmt.Sprintf(`{"mediaType":"a","digest":%q,"size":%d}`, d.Digest, d.Size))
				continue
			}
			b.Manifests = append(b.Manifests, raw)
			entries = append(entries, fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":1}`, ocispec.MediaTypeImageManifest, digest.FromBytes(raw)))
		}
		form := `{"schemaVersion":2,"manifests":[%s],"annotations":{"":"%d"}}`
		if !ofLists {
			form = `{"schemaVersion":2,"config":` + entries[0] + `,"layers":[%s],"annotations":{"":"%d"}}`
		}
		for i := range 20 {
			raw := fmt.Appendf(nil, form, strings.Join(entries, ","), i)
			b.Manifests = append(b.Manifests, raw)
			b.Images = append(b.Images, bundle.Image{Name: fmt.Sprintf("a.io/b:%d", i), Digest: digest.FromBytes(raw)})
		}
		return write(tb, b, content)
	}
}
