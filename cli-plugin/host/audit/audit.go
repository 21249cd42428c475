// Package audit reads what the audit daemon of Linux was told to record and
// what it recorded: the rules of `auditctl -l` and of the files it loads them
// from, and the programs that `ausearch` shows to have been run. Rules are
// compared by what they record, not by how they are written: a watch (-w) and
// the rule on a path or folder that it stands for are the same.
//
// It runs no program and opens no file; package host does. Which paths have to
// be watched is for rules to say. It follows auditctl(8) and audit.rules(7) of
// audit 3.0, and the records of Linux' kernel/auditsc.c.
package audit

import (
	"fmt"
	"strconv"
	"strings"
)

// A Status is what `auditctl -s` says of the kernel's audit system.
type Status struct {
	Enabled bool // it records; a locked one, too
	Locked  bool // its rules cannot be changed until the host starts again
	Daemon  int  // process ID of auditd, 0 if none runs
}

// ParseStatus reads `auditctl -s`, in the form of audit 2.3 and up ("pid 7")
// and the older one ("pid=7").
func ParseStatus(raw []byte) (Status, error) {
	values := map[string]string{}
	fields := strings.Fields(strings.ReplaceAll(string(raw), "=", " "))
	for i := 1; i < len(fields); i++ {
		if _, known := values[fields[i-1]]; !known {
			values[fields[i-1]] = fields[i]
		}
	}
	pid, err := strconv.Atoi(values["pid"])
	if err != nil || values["enabled"] == "" {
		return Status{}, fmt.Errorf("auditctl -s says neither whether it is enabled nor who listens: %.100q", raw)
	}
	return Status{Enabled: values["enabled"] != "0", Locked: values["enabled"] == "2", Daemon: pid}, nil
}
