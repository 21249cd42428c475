package manifests_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/docker-stig/docker-stig/shared/trust/manifests"
)

// known is how many images the library of a benchmark holds, each in a list.
const known = 5000

// BenchmarkParents asks for a configuration that a list covers. It is to
// take less than 2 µs.
func BenchmarkParents(b *testing.B) {
	dir := b.TempDir()
	fill(b, dir)
	l := manifests.Open(dir)
	d, stranger := config("17"), config("stranger")
	if got := l.Parents(d); len(got) != 2 {
		b.Fatal(got)
	}
	b.Run("known", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			l.Parents(d)
		}
	})
	b.Run("has", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			l.Has(d)
		}
	})
	b.Run("unknown", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			l.Parents(stranger)
		}
	})
}

// BenchmarkFirst is the first question after a start, and what the library
// costs in memory.
func BenchmarkFirst(b *testing.B) {
	dir := b.TempDir()
	fill(b, dir)
	for b.Loop() {
		before := heap()
		l := manifests.Open(dir)
		if got := l.Parents(config("17")); len(got) != 2 {
			b.Fatal(got)
		}
		b.ReportMetric(float64(heap()-before)/(2*known), "B/document")
		runtime.KeepAlive(l)
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func fill(b *testing.B, dir string) {
	b.Helper()
	for i := range known {
		raw := image(fmt.Sprint(i))
		for _, raw := range [][]byte{raw, list(raw)} {
			write(b, dir, of(raw)[0].Encoded(), raw)
		}
	}
}
