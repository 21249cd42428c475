package daemon

import (
	"fmt"
	"slices"
	"strings"
)

// The places that set an option.
const (
	FromFile    = "daemon.json"
	FromDefault = "default"
)

// A Told is all that dockerd is told when it starts.
type Told struct {
	Flags Flags
	File  Config
}

// Value gives what an option is set to, and by whom: "--FLAG", FromFile or
// FromDefault.
func (t Told) Value(spec Spec) (value Value, source string) {
	if set := t.Flags.Value(spec); set != nil {
		return set, "--" + spec.Flag
	}
	if set, ok := t.File[spec.Name]; ok && spec.Name != "" && !emptyText(spec, set) {
		if spec.Name == "hosts" && len(set) == 0 {
			return spec.Default, FromDefault
		}
		return set, FromFile
	}
	return spec.Default, FromDefault
}

// emptyText reports what daemon.json sets to "", which is as good as unset:
// dockerd lays its defaults over empty texts.
func emptyText(spec Spec, value Value) bool {
	return spec.Kind == Text && slices.Equal(value, Value{""})
}

// Refusal says why dockerd would not start, "" if nothing speaks against it:
// an option that is set both by a flag and in daemon.json.
func (t Told) Refusal() string {
	var both []string
	for _, spec := range specs {
		_, inFile := t.File[spec.Name]
		if spec.Name != "" && spec.Name != "runtimes" && inFile && t.Flags.Value(spec) != nil { // dockerd merges runtimes
			both = append(both, spec.Name)
		}
	}
	if len(both) == 0 {
		return ""
	}
	slices.Sort(both)
	return fmt.Sprintf("%s: set both by a flag and in daemon.json, and dockerd does not start with that: take one out", strings.Join(both, ", "))
}

// Hosts are the addresses of a hosts option. One without a scheme is TCP.
func Hosts(value Value) []string {
	var hosts []string
	for _, host := range value {
		host = strings.TrimSpace(host)
		switch {
		case host == "":
			host = DefaultHost
		case !strings.Contains(host, "://"):
			host = "tcp://" + host
		}
		hosts = append(hosts, host)
	}
	return hosts
}
