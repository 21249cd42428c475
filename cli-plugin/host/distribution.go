package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// A Distribution is the operating system of the engine's host, by the words of
// os-release(5).
type Distribution struct {
	ID      string   // "ubuntu", "rhel"
	Like    []string // what it descends from: "debian"
	Name    string   // for people: "Ubuntu 24.04.1 LTS"
	Version string   // "24.04"
}

// Is reports whether the host runs a distribution or one made from it.
func (d Distribution) Is(id string) bool { return d.ID == id || slices.Contains(d.Like, id) }

// releases are where os-release(5) looks, the first that exists counts.
var releases = []string{"/etc/os-release", "/usr/lib/os-release"}

// Distribution reads which distribution the host runs, once. A remote host's
// is ErrRemote: see EngineDistribution.
func (h *Host) Distribution() (Distribution, error) {
	return h.distribution.get(func() (Distribution, error) {
		for _, name := range releases {
			raw, err := h.Read(name)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return Distribution{}, fmt.Errorf("reading which distribution the host runs: %w", err)
			}
			d := parseRelease(string(raw))
			if d.ID == "" {
				return Distribution{}, fmt.Errorf("%s does not say which distribution the host runs: it has no line ID=NAME", name)
			}
			return d, nil
		}
		return Distribution{}, fmt.Errorf("which distribution the host runs is unknown: it has neither %s", strings.Join(releases, " nor "))
	})
}

// oracle is made from Red Hat's, and says no more of it than ID_LIKE="fedora".
const oracle = "ol"

// parseRelease reads os-release(5): assignments as a shell would read them.
func parseRelease(text string) Distribution {
	var d Distribution
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(key, "#") {
			continue
		}
		value = unquote(value)
		switch key {
		case "ID":
			d.ID = strings.ToLower(value)
		case "ID_LIKE":
			d.Like = strings.Fields(strings.ToLower(value))
		case "PRETTY_NAME":
			d.Name = value
		case "VERSION_ID":
			d.Version = value
		}
	}
	if d.Name == "" {
		d.Name = strings.TrimSpace(d.ID + " " + d.Version)
	}
	if d.ID == oracle && !d.Is("rhel") {
		d.Like = append(d.Like, "rhel")
	}
	return d
}

// unquote takes a shell's quotes off a value, and what they escape.
func unquote(value string) string {
	if len(value) < 2 || value[0] != value[len(value)-1] {
		return value
	}
	switch value[0] {
	case '\'':
		return value[1 : len(value)-1]
	case '"':
		return strings.NewReplacer(`\"`, `"`, `\\`, `\`, `\$`, `$`, "\\`", "`").Replace(value[1 : len(value)-1])
	default:
		return value
	}
}

// called are the first words of the names that distributions give themselves
// in PRETTY_NAME, which is all an engine tells of its host.
var called = []struct {
	name string
	is   Distribution
}{
	{"Ubuntu", Distribution{ID: "ubuntu", Like: []string{"debian"}}},
	{"Debian", Distribution{ID: "debian"}},
	{"Red Hat Enterprise Linux", Distribution{ID: "rhel", Like: []string{"fedora"}}},
	{"CentOS", Distribution{ID: "centos", Like: []string{"rhel", "fedora"}}},
	{"Rocky Linux", Distribution{ID: "rocky", Like: []string{"rhel", "centos", "fedora"}}},
	{"AlmaLinux", Distribution{ID: "almalinux", Like: []string{"rhel", "centos", "fedora"}}},
	{"Oracle Linux", Distribution{ID: oracle, Like: []string{"rhel", "fedora"}}},
	{"Fedora", Distribution{ID: "fedora"}},
	{"SUSE Linux Enterprise", Distribution{ID: "sles", Like: []string{"suse"}}},
	{"openSUSE", Distribution{ID: "opensuse", Like: []string{"suse"}}},
	{"Alpine Linux", Distribution{ID: "alpine"}},
}

// EngineDistribution is what the engine's own word tells of its host, for one
// whose files cannot be seen.
func (h *Host) EngineDistribution(ctx context.Context) (Distribution, error) {
	info, err := h.Info(ctx)
	if err != nil {
		return Distribution{}, err
	}
	for _, known := range called {
		if strings.HasPrefix(info.OperatingSystem, known.name) {
			d := known.is
			d.Name = info.OperatingSystem
			return d, nil
		}
	}
	return Distribution{}, fmt.Errorf("the engine calls its host's system %q, which does not tell the distribution: run docker stig check on the engine's own host", info.OperatingSystem)
}
