package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// maxPolicy bounds a policy, as policy.Load does.
const maxPolicy = 32 << 20 // bytes

// A published policy is what docker stig authz status compares the policy file
// with, in STATE/in-force.json. It reads the names that stand here.
type published struct {
	Path   string
	SHA256 string // of the file's bytes; empty: they say something else by now
	Mode   string
	Since  time.Time
	PID    int
	Start  uint64 // so that a file is not believed after its daemon
}

// publish says which policy is in force. A daemon that cannot say it serves on,
// and says nothing rather than what was so before.
func (l *loader) publish(f *force) {
	path := filepath.Join(l.state, "in-force.json")
	err := l.writePublished(path, f.Policy)
	if err == nil {
		return
	}
	l.log.Warn("which policy is in force could not be written down: docker stig authz status does not know it", "error", err)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.log.Warn("what was in force before is still written down", "error", err)
	}
}

func (l *loader) writePublished(path string, inForce *policy.Policy) error {
	source, err := filepath.Abs(l.path)
	if err != nil {
		return err
	}
	start, err := ownStart()
	if err != nil {
		return err
	}
	raw, err := json.MarshalIndent(published{
		Path: source, SHA256: sumOf(source, inForce), Mode: string(inForce.ContentTrust.Mode),
		Since: time.Now().UTC(), PID: os.Getpid(), Start: start,
	}, "", "  ")
	if err != nil {
		return err
	}
	return renameio.WriteFile(path, append(raw, '\n'), 0o600, renameio.WithTempDir(l.state), renameio.WithStaticPermissions(0o600))
}

// sumOf is the SHA-256 of the policy's file if its bytes say what is in force:
// it may have been changed since it was loaded.
func sumOf(path string, inForce *policy.Policy) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxPolicy+1))
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(raw) // before Parse, which may write into the bytes
	if now, err := policy.Parse(path, raw); err != nil || !reflect.DeepEqual(now, inForce) {
		return ""
	}
	return hex.EncodeToString(sum[:])
}

// ownStart is when this process began: field 22 of proc_pid_stat(5), in clock
// ticks since the machine's start. The second is the program's name, which is
// ours and has no parenthesis.
func ownStart() (uint64, error) {
	raw, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0, err
	}
	const third, start = 3, 22
	_, behind, _ := strings.Cut(string(raw), ") ")
	fields := strings.Fields(behind)
	if len(fields) <= start-third {
		return 0, fmt.Errorf("/proc/self/stat is too short: %q", raw)
	}
	return strconv.ParseUint(fields[start-third], 10, 64)
}
