package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/google/renameio/v2"
)

// An InForce is what the plugin says of the policy that it goes by, in a file
// of its state folder, for `docker stig authz status` to compare the policy
// file with.
type InForce struct {
	Path   string
	SHA256 string // of the file's bytes; empty: they say something else by now
	Mode   string
	Since  time.Time
	PID    int    // of who says it
	Start  uint64 // of that process, so that it is not believed after its end: see startOf
}

// maxInForce bounds what is read of it.
const maxInForce = 64 << 10 // bytes; most of it is a path

// ErrNotSaid says that no daemon that lives has said what is in force.
var ErrNotSaid = errors.New("docker-stig-authz does not say which policy is in force")

func inForcePath(state string) string { return filepath.Join(state, "in-force.json") }

// Say writes down in a state folder what is in force, as said by this process.
func (f InForce) Say(state string) error {
	f.PID = os.Getpid()
	start, err := startOf(f.PID)
	if err != nil {
		return err
	}
	f.Start = start
	raw, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return renameio.WriteFile(inForcePath(state), append(raw, '\n'), 0o600, renameio.WithTempDir(state), renameio.WithStaticPermissions(0o600))
}

// Unsay takes away what was said before.
func Unsay(state string) error {
	if err := os.Remove(inForcePath(state)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// ReadInForce reads what a daemon that lives has said in a state folder.
func ReadInForce(state string) (InForce, error) {
	path := inForcePath(state)
	raw, err := readInForce(path)
	if errors.Is(err, fs.ErrNotExist) {
		return InForce{}, fmt.Errorf("%w in %s", ErrNotSaid, state)
	}
	var said InForce
	if err == nil {
		err = json.Unmarshal(raw, &said)
	}
	if err != nil {
		return InForce{}, fmt.Errorf("reading which policy is in force, from %s: %w", path, err)
	}
	if start, err := startOf(said.PID); err != nil || start != said.Start {
		return InForce{}, fmt.Errorf("%w: who wrote %s has ended", ErrNotSaid, path)
	}
	return said, nil
}

func readInForce(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxInForce+1))
	if err == nil && len(raw) > maxInForce {
		return nil, fmt.Errorf("it has more than %d KiB", maxInForce>>10)
	}
	return raw, err
}

// startOf is when a process began, in clock ticks since the machine's start.
func startOf(pid int) (uint64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	return parseStart(string(raw))
}

// parseStart reads field 22 of proc_pid_stat(5). Its second, the program's
// name, may hold anything but ends at the last parenthesis.
func parseStart(stat string) (uint64, error) {
	const third, start = 3, 22
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) <= start-third {
		return 0, errors.New("a process's stat is too short")
	}
	return strconv.ParseUint(fields[start-third], 10, 64)
}
