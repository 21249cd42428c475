package host

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/docker-stig/docker-stig/cli-plugin/host/process"
)

// A file that is changed within these times of the engine's start counts as
// read by it: a deployment writes daemon.json and starts the engine at once.
const (
	uptimeSlack = 100 * time.Millisecond // dockerd needs as long to come to its file
	bootSlack   = time.Second            // btime is cut to whole seconds
)

// startOf is when a process started at the latest.
func startOf(files Files, pid int, now time.Time) (time.Time, error) {
	raw, err := files.Read(inProc(pid, "stat"))
	if err != nil {
		return time.Time{}, err
	}
	after, err := process.SinceBoot(string(raw))
	if err != nil {
		return time.Time{}, err
	}
	if raw, err := files.Read("/proc/uptime"); err == nil {
		first, _, _ := strings.Cut(string(raw), " ")
		if up, err := strconv.ParseFloat(first, 64); err == nil && up >= 0 && up < 1<<32 {
			return now.Add(-time.Duration(up * float64(time.Second))).Add(after + uptimeSlack), nil
		}
	}
	raw, err = files.Read("/proc/stat")
	if err != nil {
		return time.Time{}, err
	}
	for line := range strings.Lines(string(raw)) {
		if text, ok := strings.CutPrefix(line, "btime "); ok {
			boot, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
			return time.Unix(boot, 0).Add(after + bootSlack), err
		}
	}
	return time.Time{}, errors.New("/proc/stat does not tell when the machine started")
}
