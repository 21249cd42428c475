package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// A Unit is where systemd has a unit from.
type Unit struct {
	Path   string // of its file; "" if there is none
	Masked bool   // a link to /dev/null stands in its place: it never starts
	Source string // who said so
}

// unitFolders are where systemd looks for an administrator's and packages'
// units, the first that has one counts: systemd.unit(5), table 1.
var unitFolders = []string{"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}

// Unit finds the file of a systemd unit: by systemd's word, where it answers,
// else where systemd would look.
func (h *Host) Unit(ctx context.Context, name string) (Unit, error) {
	if h.Files == nil {
		return Unit{}, ErrRemote
	}
	if said, err := h.Run(ctx, "systemctl", "show", "-p", "FragmentPath", name); err == nil {
		file := strings.TrimPrefix(strings.TrimSpace(string(said)), "FragmentPath=")
		if path.IsAbs(file) {
			return Unit{Path: file, Masked: h.masked(file), Source: "systemctl"}, nil
		}
	}
	for _, dir := range unitFolders {
		file := path.Join(dir, name)
		if h.masked(file) {
			return Unit{Path: file, Masked: true, Source: "host"}, nil
		}
		_, err := h.Files.Stat(file)
		if errors.Is(err, fs.ErrNotExist) && !h.Dangling(file) {
			continue
		}
		if err != nil {
			return Unit{}, fmt.Errorf("looking for the unit %s: %w", name, orDangling(h, file, err))
		}
		return Unit{Path: file, Source: "host"}, nil
	}
	return Unit{Source: "host"}, nil
}

// masked reports whether a unit's file is a link to /dev/null.
func (h *Host) masked(file string) bool {
	target, err := h.Files.Link(file)
	return err == nil && target == "/dev/null"
}

// Dangling reports whether a symbolic link of that name leads nowhere.
func (h *Host) Dangling(name string) bool {
	if h.Files == nil {
		return false
	}
	if _, err := h.Files.Link(name); err != nil {
		return false
	}
	_, err := h.Files.Stat(name)
	return errors.Is(err, fs.ErrNotExist)
}

// orDangling says of a link that leads nowhere that it does.
func orDangling(h *Host, name string, err error) error {
	if h.Dangling(name) {
		return fmt.Errorf("%s is a link that leads nowhere: put it right or remove it", name)
	}
	return err
}
