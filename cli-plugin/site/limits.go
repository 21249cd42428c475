package site

import (
	"fmt"
	"regexp"
	"strconv"

	"github.com/docker/go-units"
)

// A Limit is the plan's value of a limit of a container. The zero Limit is
// none.
type Limit struct {
	Text  string // as the site writes it
	Value int64  // bytes, shares or processes
}

// MemoryOf is the most memory that a container may use. names are its own and
// that of its service, "" for none.
func (c Containers) MemoryOf(names ...string) Limit { return memoryLimits.of(c, names) }

// CPUSharesOf is a container's weight.
func (c Containers) CPUSharesOf(names ...string) Limit { return cpuShares.of(c, names) }

// PidsLimitOf is how many processes and threads a container may have.
func (c Containers) PidsLimitOf(names ...string) Limit { return pidsLimits.of(c, names) }

// What limits can be.
const (
	minMemory = 6 << 20 // bytes; the engine refuses less (20.10 to 29)
	maxMemory = 1 << 52 // bytes; what x86-64 can address
	minShares = 2       // the kernel's bounds, of cpu.shares
	maxShares = 1 << 18
	noShares  = 1024    // what a container has that was given none
	maxPids   = 1 << 22 // PID_MAX_LIMIT of a 64-bit kernel
)

// A limitList is a list of site.yaml with one limit. An entry is for all
// containers, "512m", or for the container or swarm service that is named
// before it, "web:1g", which wins.
type limitList struct {
	key   string
	from  func(Containers) []string
	parse func(text string) (int64, bool)
	want  string
}

var (
	memoryLimits = limitList{
		"memory", func(c Containers) []string { return c.Memory }, parseMemory,
		`want a size of 6m at least, such as "512m"`,
	}
	cpuShares = limitList{
		"cpu-shares", func(c Containers) []string { return c.CPUShares }, parseShares,
		fmt.Sprintf(`want a weight from %d to %d, such as "512"; %d counts as none`, minShares, maxShares, noShares),
	}
	pidsLimits = limitList{
		"pids-limit", func(c Containers) []string { return c.PidsLimit }, parsePids,
		fmt.Sprintf(`want a number of processes from 1 to %d, such as "100"`, maxPids),
	}
)

func parseMemory(text string) (int64, bool) {
	size, err := units.RAMInBytes(text)
	return size, err == nil && size >= minMemory && size <= maxMemory
}

func parseShares(text string) (int64, bool) {
	shares, err := strconv.ParseInt(text, 10, 64)
	return shares, err == nil && shares >= minShares && shares <= maxShares && shares != noShares
}

func parsePids(text string) (int64, bool) {
	pids, err := strconv.ParseInt(text, 10, 64)
	return pids, err == nil && pids >= 1 && pids <= maxPids
}

// limitEntry is a value and, before it, whose it is. Names have at least two
// characters, as the engine wants them.
var limitEntry = regexp.MustCompile(`^(?:([a-zA-Z0-9][a-zA-Z0-9_.-]+):)?([^:]+)$`)

// split gives whom an entry is for, "" for all, and the limit.
func (l limitList) split(entry string) (name string, limit Limit, ok bool) {
	parts := limitEntry.FindStringSubmatch(entry)
	if parts == nil {
		return "", Limit{}, false
	}
	value, ok := l.parse(parts[2])
	return parts[1], Limit{parts[2], value}, ok
}

// of is the limit of the first name that has one, else that of all.
func (l limitList) of(c Containers, names []string) Limit {
	for _, name := range append(names[:len(names):len(names)], "") {
		for _, entry := range l.from(c) {
			if whose, limit, ok := l.split(entry); ok && whose == name {
				return limit
			}
		}
	}
	return Limit{}
}

// complaints are about entries that are no limit, and about those that say two
// things of one container.
func (l limitList) complaints(c Containers) []complaint {
	var found []complaint
	said := map[string]Limit{}
	for i, entry := range l.from(c) {
		at := fmt.Sprintf("$.containers.%s[%d]", l.key, i)
		name, limit, ok := l.split(entry)
		if !ok {
			found = append(found, complaint{at, fmt.Sprintf("%q is no limit: %s, or the same behind the name of a container, as in %q", entry, l.want, "web:…")})
			continue
		}
		if other, twice := said[name]; twice && other.Value != limit.Value {
			found = append(found, complaint{at, fmt.Sprintf("%q and %q are for the same: keep one of them", entry, entryOf(name, other))})
		}
		said[name] = limit
	}
	return found
}

func entryOf(name string, limit Limit) string {
	if name == "" {
		return limit.Text
	}
	return name + ":" + limit.Text
}
