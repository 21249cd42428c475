package protect

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

const maxMounts = 8 << 20 // bytes of mountinfo; a container has a few lines of 200 bytes

// A mounted is a line of proc_pid_mountinfo(5): what is mounted where.
type mounted struct {
	place onDisk
	point string
}

// An onDisk is a path as its file system knows it, which is the same by
// whatever name it is mounted.
type onDisk struct {
	device string // the file system's major:minor
	path   string // in that file system
}

// holds reports whether what lies at o belongs to what lies at h.
func (h onDisk) holds(o onDisk) bool {
	return h.device != "" && h.device == o.device && under(o.path, h.path)
}

// mounts gives what is mounted, which is read once for a judgement.
func (t *tree) mounts() ([]mounted, error) {
	if t.table == nil {
		table, err := readMounts(filepath.Join(t.root, "proc/self/mountinfo"))
		if err != nil {
			return nil, fmt.Errorf("reading what is mounted: %w", err)
		}
		t.table = table
	}
	return t.table, nil
}

func readMounts(name string) ([]mounted, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	lines := bufio.NewScanner(io.LimitReader(file, maxMounts))
	lines.Buffer(nil, 1<<20) // bytes; an overlay's line lists all its layers
	var table []mounted
	read := 0
	for lines.Scan() {
		read += len(lines.Bytes()) + 1
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 {
			return nil, fmt.Errorf("%s: cannot read the line %s", name, quote(lines.Text()))
		}
		table = append(table, mounted{onDisk{fields[2], unescape.Replace(fields[3])}, unescape.Replace(fields[4])})
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if read == 0 || read >= maxMounts {
		return nil, fmt.Errorf("%s: %d bytes, which cannot be all", name, read)
	}
	return table, nil
}

// unescape undoes how mountinfo writes what would end a field.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// onDisk tells what a path without links is to its file system: the mount
// nearest above it counts, and of those at one point the last.
func (t *tree) onDisk(name string) (onDisk, error) {
	table, err := t.mounts()
	if err != nil {
		return onDisk{}, err
	}
	nearest := mounted{point: ""}
	for _, m := range table {
		if under(name, m.point) && len(m.point) >= len(nearest.point) {
			nearest = m
		}
	}
	if nearest.point == "" {
		return onDisk{}, nil
	}
	rest := strings.TrimPrefix(name, strings.TrimSuffix(nearest.point, "/"))
	return onDisk{nearest.place.device, path.Join(nearest.place.path, rest)}, nil
}

// below gives what is mounted below a path. A bind takes it along, and one
// that is read-only leaves it writable on engines before 25 and on kernels
// before 5.12.
func (t *tree) below(name string) ([]onDisk, error) {
	table, err := t.mounts()
	if err != nil {
		return nil, err
	}
	var list []onDisk
	for _, m := range table {
		if m.point != name && under(m.point, name) {
			list = append(list, m.place)
		}
	}
	return list, nil
}
