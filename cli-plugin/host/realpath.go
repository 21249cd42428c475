package host

import (
	"path"
	"slices"
	"strings"
)

// maxLinks is where following links ends, as the kernel's own limit is 40.
const maxLinks = 40

// RealPath is where symbolic links of the host lead, and the path itself where
// they cannot be seen.
func (h *Host) RealPath(name string) string {
	if h.Files == nil {
		return path.Clean(name)
	}
	found, rest := "/", strings.Split(name, "/")
	for links := 0; len(rest) > 0; rest = rest[1:] {
		switch rest[0] {
		case "", ".":
			continue
		case "..":
			found = path.Dir(found)
			continue
		}
		next := path.Join(found, rest[0])
		target, err := h.Files.Link(next)
		if err != nil || links == maxLinks {
			found = next
			continue
		}
		links++
		if path.IsAbs(target) {
			found = "/"
		}
		rest = slices.Concat([]string{""}, strings.Split(target, "/"), rest[1:])
	}
	return found
}
