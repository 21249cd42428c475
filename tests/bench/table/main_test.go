package main

import (
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	t.Parallel()
	const output = `goos: linux
BenchmarkQuestion/PassRequest-2         	       4	 301211147 ns/op	       134.9 µs-p50	         1.3 ×p50	         0.9959 ×p99
BenchmarkQuestion/PassRequest-2         	       4	 301211147 ns/op	       134.9 µs-p50	         0.9 ×p50	         1.6 ×p99
BenchmarkQuestion/PassRequest-2         	       4	 301211147 ns/op	       134.9 µs-p50	         1.0 ×p50	         1.6 ×p99
BenchmarkMany           	       1	 301211147 ns/op	         9.5 x-faster
BenchmarkEngine/moby/Create-16 	       1	5340378757 ns/op	        -0.5 ms-added-p50	        13.45 ms-p50
PASS
`
	var out strings.Builder
	if err := run(strings.NewReader(output), &out); err != nil {
		t.Fatal(err)
	}
	rest, ok := strings.CutPrefix(out.String(), output)
	if !ok {
		t.Fatalf("the output is not passed on:\n%s", out.String())
	}
	for _, want := range [][]string{
		{"pass-through", "≤ 1.1", "1", "×p50", "reached"},
		{"pass-through", "≤ 1.5", "1.6", "×p99", "missed"},
		{"docker trust inspect", "≥ 8", "9.5", "x-faster", "reached"},
		{"docker create: moby", "≤ 2.5", "-0.5", "ms-added-p50", "reached"},
		{"docker create: docker", "≤ 2.5", "-", "ms-added-p50", "not measured"},
	} {
		if !strings.Contains(squeezed(rest), strings.Join(want, " ")) {
			t.Errorf("no row %q in\n%s", want, rest)
		}
	}
	if lines := strings.Count(rest, "\n"); lines != len(rows)+2 {
		t.Errorf("%d lines, want one of each of %d rows, a heading and an empty one", lines, len(rows))
	}
}

func squeezed(text string) string { return strings.Join(strings.Fields(text), " ") }
