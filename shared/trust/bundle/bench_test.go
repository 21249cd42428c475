package bundle_test

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"testing"

	"github.com/docker-stig/docker-stig/shared/trust/bundle"
	"github.com/opencontainers/go-digest"
)

// layerSize is enough that hashing is what takes the time.
const layerSize = 8 << 20 // bytes

// heavy is a bundle of four images, each with a large layer and configuration.
func heavy(tb testing.TB) (bundle.Bundle, blobs) {
	tb.Helper()
	content := blobs{}
	var b bundle.Bundle
	for i := range 4 {
		raw := content.image(tb, string(bytes.Repeat([]byte{byte('a' + i)}, layerSize)))
		b.Manifests = append(b.Manifests, raw)
		b.Images = append(b.Images, bundle.Image{Name: fmt.Sprintf("example.com/app:v%d", i), Digest: digest.FromBytes(raw)})
	}
	return b, content
}

// BenchmarkImages is the speed of layers passing through.
func BenchmarkImages(b *testing.B) {
	images, content := heavy(b)
	raw := write(b, images, content)
	b.Run("write", func(b *testing.B) {
		b.SetBytes(int64(len(raw)))
		for b.Loop() {
			if err := bundle.Write(b.Context(), io.Discard, images, content); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read", func(b *testing.B) {
		b.SetBytes(int64(len(raw)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := bundle.Read(bytes.NewReader(raw)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestLayersAreNotKept reads 64 MiB of layers and configurations in less than
// 4 MiB.
func TestLayersAreNotKept(t *testing.T) {
	images, content := heavy(t)
	raw := write(t, images, content)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := bundle.Read(bytes.NewReader(raw)); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 4<<20 {
		t.Errorf("reading %d MiB allocates %d MiB", len(raw)>>20, got>>20)
	}
}
