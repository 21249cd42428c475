package enforce

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A Published is what docker-stig-authz says of the policy that it goes by, in
// STATE/in-force.json. The daemon writes it; both spell it out, and share no
// more than the file.
type Published struct {
	Path   string
	SHA256 string // of the file's bytes; empty: the file had changed while it was read
	Mode   string
	Since  time.Time
	PID    int
	Start  uint64 // of the process, in clock ticks since the machine's: proc_pid_stat(5), field 22
}

// maxInForce bounds what the daemon says.
const maxInForce = 64 << 10 // bytes; most of it is a path

// errNotSaid says that no daemon that lives has said what is in force.
var errNotSaid = errors.New("docker-stig-authz does not say which policy is in force")

// readInForce reads what the daemon that answers has said. serving is its
// process, 0 if that is not known.
func readInForce(state string, serving int) (*Published, error) {
	path := filepath.Join(state, "in-force.json")
	raw, err := readBounded(path, maxInForce)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w in %s", errNotSaid, state)
	}
	if err != nil {
		return nil, fmt.Errorf("reading which policy is in force: %w", err)
	}
	said := new(Published)
	if err := json.Unmarshal(raw, said); err != nil {
		return nil, fmt.Errorf("reading which policy is in force, from %s: %w", path, err)
	}
	if start, err := startOf(said.PID); err != nil || start != said.Start {
		return nil, fmt.Errorf("%w: who wrote %s has ended", errNotSaid, path)
	}
	if serving != 0 && serving != said.PID {
		return nil, fmt.Errorf("%w: process %d wrote %s, and process %d answers the engine", errNotSaid, said.PID, path, serving)
	}
	return said, nil
}

// startOf is when a process began.
func startOf(pid int) (uint64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	return parseStart(string(raw))
}

// parseStart reads field 22 of a process's stat. Its second, the program's
// name, may hold anything but ends at the last parenthesis.
func parseStart(stat string) (uint64, error) {
	const third, start = 3, 22
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) <= start-third {
		return 0, errors.New("a process's stat is too short")
	}
	return strconv.ParseUint(fields[start-third], 10, 64)
}

// serving is the daemon that answers on the plugin's socket, 0 if that cannot
// be told.
func serving(ctx context.Context, init *Systemd, socket string) int {
	pid, err := peerOf(ctx, socket)
	if err != nil {
		return 0
	}
	if runs(pid, PluginName) {
		return pid
	}
	if init == nil {
		return 0
	}
	pid, _ = init.MainPID(ctx, pluginService) // 0: it is not that unit's
	return pid
}

// inForce compares the policy that was looked at with the one that is in force.
func (l Look) inForce(f *Finding) {
	if l.PolicyErr != nil || l.PluginErr != nil {
		return // told already
	}
	if l.InForceErr != nil {
		f.unknown(l.InForceErr, "run it as root, with the STIG_STATE of docker-stig-authz; one older than this program has to be restarted: systemctl restart docker-stig-authz")
		return
	}
	if l.InForce == nil {
		return // it could not be asked
	}
	said := l.InForce
	since := said.Since.UTC().Format(time.RFC3339)
	elsewhere := !sameFile(said.Path, l.PolicyPath)
	switch {
	case said.SHA256 == l.PolicySum && elsewhere:
		f.note(fmt.Sprintf("docker-stig-authz goes by %s, which says the same as %s", said.Path, l.PolicyPath), "give --policy "+said.Path)
	case said.SHA256 == l.PolicySum:
	case elsewhere:
		f.gap(fmt.Sprintf("docker-stig-authz goes by another policy than %s: by %s", l.PolicyPath, said.Path), "give --policy "+said.Path+", or start docker-stig-authz with --policy "+l.PolicyPath)
	default:
		f.Gaps = append(f.Gaps, Gap{
			What:   fmt.Sprintf("reload pending: docker-stig-authz does not go by what %s says now", l.PolicyPath),
			Detail: fmt.Sprintf("what it read is in force since %s, and is %s", since, said.Mode),
			Next:   "systemctl reload docker-stig-authz",
		})
	}
}
