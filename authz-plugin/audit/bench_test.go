package audit

import (
	"log/slog"
	"testing"
	"time"
)

// BenchmarkPass is what counting adds to a request without a question: 100 ns
// at the most, from all processors at once too.
func BenchmarkPass(b *testing.B) {
	sink := &lines{}
	log := open(Options{Now: time.Now, Log: slog.New(slog.DiscardHandler)}, slog.NewJSONHandler(sink, nil), sink)
	b.Run("alone", func(b *testing.B) {
		for b.Loop() {
			log.LetPass(b.Context(), full)
		}
	})
	b.Run("together", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				log.LetPass(b.Context(), full)
			}
		})
	})
}

// BenchmarkWrite is one record, from the decision to the file.
func BenchmarkWrite(b *testing.B) {
	kept := newFile(b.TempDir() + "/log/authz.log")
	log := open(Options{Now: time.Now, Log: slog.New(slog.DiscardHandler)}, slog.NewJSONHandler(kept, nil), kept)
	r := full
	r.Outcome = Allowed
	b.ReportAllocs()
	for b.Loop() {
		log.Write(b.Context(), r)
	}
	b.StopTimer()
	if err := log.Close(b.Context()); err != nil || log.Lost() > 0 {
		b.Fatalf("lost %d, %v", log.Lost(), err)
	}
}
