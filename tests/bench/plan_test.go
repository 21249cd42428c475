package bench

import (
	"fmt"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/tests/testbed"
)

// BenchmarkPlan compares a plan for a whole host and its 50 containers, which
// all are to be made anew, with a check of the same, process against process
// and in turn.
func BenchmarkPlan(b *testing.B) {
	for _, engine := range []testbed.Engine{testbed.Docker, testbed.Moby} {
		b.Run(string(engine), func(b *testing.B) {
			const containers, rounds = 50, 9
			bed := testbed.Start(b, engine)
			image, err := bed.UnsignedImage(b.Context(), "prod/app:1")
			if err != nil {
				b.Fatal(err)
			}
			program, err := cliPlugin()
			if err != nil {
				b.Fatal(err)
			}
			for i := range containers {
				if _, err := bed.Docker(b.Context(), "create", "--name", fmt.Sprintf("box%d", i), "--network", "none", image.Ref, "true"); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				var checks, plans []time.Duration
				for range rounds {
					checks = append(checks, timedRun(b, bed, program, "stig", "check"))
					plans = append(plans, timedRun(b, bed, program, "stig", "fix", "--dry-run", "--allow-restart", "--restart-command", "true"))
				}
				b.ReportMetric(float64(median(plans))/float64(median(checks)), "×check")
				b.ReportMetric(milliseconds(median(plans)), "ms-p50")
				b.ReportMetric(milliseconds(median(checks)), "ms-check-p50")
			}
		})
	}
}
