package bench

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/tests/testbed"
)

// BenchmarkCheck compares a check of all requirements about an engine with one
// docker inspect of its containers, process against process, and tells how the
// check grows with them.
func BenchmarkCheck(b *testing.B) {
	for _, engine := range []testbed.Engine{testbed.Docker, testbed.Moby} {
		b.Run(string(engine), func(b *testing.B) {
			const few, many, rounds = 20, 200, 9
			bed := testbed.Start(b, engine)
			image, err := bed.Sign(b.Context(), "prod/app:1")
			if err != nil {
				b.Fatal(err)
			}
			program, err := cliPlugin()
			if err != nil {
				b.Fatal(err)
			}
			check := func() time.Duration { return timedRun(b, bed, program, "stig", "check", "--component", "engine") }
			var made []string
			grow := func(to int) {
				for i := len(made); i < to; i++ {
					made = append(made, fmt.Sprintf("box%d", i))
					if _, err := bed.Docker(b.Context(), "create", "--name", made[i], "--network", "none", image.Ref, "true"); err != nil {
						b.Fatal(err)
					}
				}
			}
			for b.Loop() {
				var small, large, inspected []time.Duration
				grow(few)
				for range rounds {
					small = append(small, check())
				}
				grow(many)
				for range rounds {
					large = append(large, check())
					inspected = append(inspected, timedRun(b, bed, "docker", append([]string{"inspect"}, made...)...))
				}
				b.ReportMetric(float64(median(large))/float64(median(inspected)), "×inspect")
				b.ReportMetric(float64(median(large))/float64(median(small)), "×growth")
				b.ReportMetric(milliseconds(median(large)), "ms-p50")
			}
		})
	}
}

// timedRun runs a program against the engine. A check that finds something
// ends with 2 or 3.
func timedRun(b *testing.B, bed *testbed.Testbed, program string, args ...string) time.Duration {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), program, args...)
	cmd.Env = append(os.Environ(), bed.Env()...)
	var said strings.Builder
	cmd.Stderr = &said
	start := time.Now()
	err := cmd.Run()
	took := time.Since(start)
	if code := cmd.ProcessState.ExitCode(); code < 0 || code == 1 || code > 3 {
		b.Fatalf("%s %s: %v\n%s", program, args[0], err, said.String())
	}
	return took
}
