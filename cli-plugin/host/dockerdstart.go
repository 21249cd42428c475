package host

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of times in /proc: USER_HZ is 100 on every
// architecture that Docker is built for. See proc_pid_stat(5).
const clockTick = 10 * time.Millisecond

// maxTicks is a hundred years.
const maxTicks = 100 * 365 * 24 * int64(time.Hour/clockTick)

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
	ticks, err := startTicks(string(raw))
	if err != nil {
		return time.Time{}, err
	}
	after := time.Duration(ticks) * clockTick
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

// startTicks reads field 22 of /proc/PID/stat. The second is the program's
// name in parentheses, which may hold any character.
func startTicks(line string) (int64, error) {
	const field = 22 - 3 // the fields behind the name begin with the third
	fields := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	if len(fields) <= field {
		return 0, fmt.Errorf("it has no start time in %.60q", line)
	}
	ticks, err := strconv.ParseInt(fields[field], 10, 64)
	if err != nil || ticks < 0 || ticks > maxTicks {
		return 0, fmt.Errorf("it has no start time in %.60q", line)
	}
	return ticks, nil
}
