package change

import (
	"bytes"
	"errors"
	"fmt"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/change/disk"
	"github.com/docker-stig/docker-stig/cli-plugin/change/jsonedit"
	"github.com/docker-stig/docker-stig/cli-plugin/host/daemon"
)

// newMode is that of a file that a change begins.
const newMode = 0o644

// ApplyTo is the state of a file after a change of it.
func (c Change) ApplyTo(s disk.State) (disk.State, error) {
	switch {
	case c.Option != nil:
		return c.Option.applyTo(s)
	case c.Owner != nil:
		return c.Owner.applyTo(s)
	case c.File != nil && c.File.sum != "":
		return s, errors.New("its content is not known, as it was written down without: make the plan anew")
	case c.File != nil && c.File.Remove:
		return disk.State{}, nil
	case c.File != nil:
		return withBytes(s, []byte(c.File.Content)), nil
	case c.Lines != nil:
		return withBytes(s, c.Lines.addTo(s.Bytes)), nil
	}
	return s, errors.New("it is no change of a file: please report this")
}

// withBytes keeps owner and mode of what is there.
func withBytes(s disk.State, raw []byte) disk.State {
	if s.Exists && bytes.Equal(s.Bytes, raw) {
		return s
	}
	if !s.Exists {
		s.Mode = newMode
	}
	return s.With(raw)
}

// applyTo edits a daemon.json. The result has to be one that dockerd reads.
func (o Option) applyTo(s disk.State) (disk.State, error) {
	if _, err := daemon.ParseConfig(s.Bytes); err != nil {
		return s, err
	}
	key, _, _ := strings.Cut(strings.TrimPrefix(o.Pointer, "/"), "/")
	if spec, known := daemon.Lookup(key); !known || spec.Name != key {
		return s, fmt.Errorf("daemon.json knows no key %q: please report this", key)
	}
	edited, err := jsonedit.Remove(s.Bytes, o.Pointer)
	if o.Value != nil {
		edited, err = jsonedit.Set(s.Bytes, o.Pointer, o.Value)
	}
	if err != nil {
		return s, err
	}
	if _, err := daemon.ParseConfig(edited); err != nil {
		return s, fmt.Errorf("after the change: %w", err)
	}
	if o.Value == nil && bytes.Equal(edited, s.Bytes) {
		return s, nil
	}
	return withBytes(s, edited), nil
}

// applyTo sets owner and mode of what is there.
func (o Owner) applyTo(s disk.State) (disk.State, error) {
	if !s.Exists {
		return s, errors.New("it is not there, so it can have no owner and no mode: check again")
	}
	var err error
	if o.User != "" {
		if s.UID, err = idOf(o.User, func(name string) (string, error) {
			found, err := user.Lookup(name)
			if err != nil {
				return "", err
			}
			return found.Uid, nil
		}); err != nil {
			return s, err
		}
	}
	if o.Group != "" {
		if s.GID, err = idOf(o.Group, func(name string) (string, error) {
			found, err := user.LookupGroup(name)
			if err != nil {
				return "", err
			}
			return found.Gid, nil
		}); err != nil {
			return s, err
		}
	}
	if o.Mode != "" {
		mode, err := strconv.ParseUint(o.Mode, 8, 12)
		if err != nil {
			return s, fmt.Errorf("%q is no mode: please report this", o.Mode)
		}
		s.Mode = uint32(mode)
	}
	return s, nil
}

// idOf reads a number, or has a name looked up.
func idOf(name string, lookup func(string) (string, error)) (int, error) {
	if id, err := strconv.Atoi(name); err == nil {
		return id, nil
	}
	text, err := lookup(name)
	if err != nil {
		return 0, fmt.Errorf("this host knows no %s: %w", name, err)
	}
	return strconv.Atoi(text)
}

// addTo adds the lines that are not there yet.
func (l Lines) addTo(raw []byte) []byte {
	have := strings.Split(string(raw), "\n")
	for i := range have {
		have[i] = strings.TrimSpace(have[i])
	}
	out := slices.Clone(raw)
	for _, line := range l.Add {
		if slices.Contains(have, strings.TrimSpace(line)) {
			continue
		}
		if len(out) > 0 && out[len(out)-1] != '\n' {
			out = append(out, '\n')
		}
		out = append(out, line+"\n"...)
		have = append(have, strings.TrimSpace(line))
	}
	return out
}

// Path is the file that a change is of, "" if it is of none.
func (c Change) Path() string {
	switch {
	case c.Option != nil:
		return c.Option.File
	case c.Owner != nil:
		return c.Owner.Path
	case c.File != nil:
		return c.File.Path
	case c.Lines != nil:
		return c.Lines.Path
	}
	return ""
}

// Then is what makes the change of a file count, "" if nothing has to.
func (c Change) Then() Then {
	switch {
	case c.File != nil:
		return c.File.Then
	case c.Lines != nil:
		return c.Lines.Then
	}
	return ""
}
