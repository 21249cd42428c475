package process

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// clockTick is the unit of times in /proc: USER_HZ is 100 on every
// architecture that Docker is built for. See proc_pid_stat(5).
const clockTick = 10 * time.Millisecond

// maxTicks is a hundred years.
const maxTicks = 100 * 365 * 24 * int64(time.Hour/clockTick)

// Started is when a process of this machine started, to 10 ms.
func Started(pid int, now time.Time) (time.Time, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return time.Time{}, err
	}
	after, err := SinceBoot(string(raw))
	if err != nil {
		return time.Time{}, err
	}
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		return time.Time{}, fmt.Errorf("asking how long the machine is up: %w", err)
	}
	return now.Add(after - time.Duration(up.Nano())), nil
}

// SinceBoot reads field 22 of /proc/PID/stat: how long after the machine a
// process started. The second is the program's name in parentheses, which may
// hold any character.
func SinceBoot(line string) (time.Duration, error) {
	const field = 22 - 3 // the fields behind the name begin with the third
	fields := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	if len(fields) <= field {
		return 0, fmt.Errorf("it has no start time in %.60q", line)
	}
	ticks, err := strconv.ParseInt(fields[field], 10, 64)
	if err != nil || ticks < 0 || ticks > maxTicks {
		return 0, fmt.Errorf("it has no start time in %.60q", line)
	}
	return time.Duration(ticks) * clockTick, nil
}
