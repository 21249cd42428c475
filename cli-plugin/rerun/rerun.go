// Package rerun writes down how a container that exists would be made again:
// as a command line for docker, as keys of its service in a compose file, or as
// options of docker service update. It decides what docker's command line can
// say of a container and what it cannot, and keeps secrets out of what it
// writes. What is wrong with a container, and what it should be instead, it
// leaves to package rules, which changes the engine's answer and has that
// written down.
//
// Run is the inverse of how docker/cli 29.7 reads its options (its
// cli/command/container/opts.go): each field of Config and HostConfig that an
// option sets, and of the endpoints what --network and its like set. What a
// container has from its image, and what every engine gives without being
// asked, is left out. Defaults that daemon.json may move, such as the IPC mode,
// are written out, so that the line means the same on every engine.
//
// Two things the engine does not tell: a MAC address that was asked for is not
// told from one that was made up while the container runs, and neither is what
// was written into the container itself.
package rerun

import (
	"errors"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/system"
)

// An Origin is what a container has that nobody said when it was made. Where a
// field is nil, more has to be written.
type Origin struct {
	Image  *image.InspectResponse
	Engine *system.Info
}

// A Line makes a container: a command, what has to follow it, and what a person
// should know.
type Line struct {
	Argv  []string
	After [][]string
	Notes []string
}

// Run gives the line that would make a container again. Values of its
// environment are never written: --env NAME takes them from the environment
// that docker is called in.
func Run(c container.InspectResponse, from Origin) (Line, error) {
	if c.Config == nil || c.HostConfig == nil {
		return Line{}, errors.New("the engine's answer has no configuration of the container: look at docker inspect")
	}
	if c.Config.Image == "" {
		return Line{}, errors.New("the engine does not say which image the container was made from: look at docker inspect")
	}
	w := &writer{c: c, from: from, image: newInherited(from.Image)}
	if w.name = title(c); w.name != "" {
		w.flag("name", w.name)
	}
	w.config()
	w.environment()
	w.health()
	w.namespaces()
	w.power()
	w.resources()
	w.mounts()
	w.logs()
	w.networks()
	w.ports()
	w.command()
	w.start()
	line := Line{Argv: w.argv, After: w.after, Notes: w.notes}
	for _, words := range append([][]string{line.Argv}, line.After...) {
		if slices.ContainsFunc(words, func(word string) bool { return strings.Contains(word, "\x00") }) {
			return Line{}, errors.New("a value of the container holds a NUL, which no command line can: look at docker inspect")
		}
	}
	return line, nil
}

// title is a container's name, as docker ps has it.
func title(c container.InspectResponse) string {
	return c.Name[strings.LastIndex(c.Name, "/")+1:]
}

// shortID is what a container is called where it was given no name.
func shortID(c container.InspectResponse) string { return c.ID[:min(12, len(c.ID))] }

// Stepwise is a line with the start apart, as its last step, where the container
// has a name: what docker refuses is refused before anything else has to stop.
func (l Line) Stepwise() Line {
	at := slices.Index(l.Argv, "--name")
	if at < 0 || at+1 >= len(l.Argv) || l.Argv[1] != "run" {
		return l
	}
	l.After = append(slices.Clone(l.After), []string{"docker", "start", l.Argv[at+1]})
	l.Argv = append([]string{"docker", "create"}, l.Argv[3:]...) // without --detach
	return l
}

// A writer collects the words of a line.
type writer struct {
	c     container.InspectResponse
	from  Origin
	image inherited
	name  string
	argv  []string
	after [][]string
	later bool // something has to be done before it starts
	notes []string
}

// flag writes an option with its value.
func (w *writer) flag(name, value string) { w.argv = append(w.argv, "--"+name, value) }

// said writes an option unless its value is empty.
func (w *writer) said(name, value string) {
	if value != "" {
		w.flag(name, value)
	}
}

// on writes an option that is on or absent.
func (w *writer) on(name string, is bool) {
	if is {
		w.argv = append(w.argv, "--"+name)
	}
}

// each writes an option once for each value.
func (w *writer) each(name string, values []string) {
	for _, value := range values {
		w.flag(name, value)
	}
}

// pairs writes an option once for each entry of a map, secrets left out.
func (w *writer) pairs(name string, values map[string]string) {
	for _, key := range sortedKeys(values) {
		w.flag(name, key+"="+w.hide("--"+name+" "+key, key, values[key]))
	}
}

func (w *writer) note(text string) {
	if !slices.Contains(w.notes, text) {
		w.notes = append(w.notes, text)
	}
}

// start puts the command in front. A container that runs is started, at once if
// nothing is missing; one that nobody is attached to runs in the background.
func (w *writer) start() {
	config := w.c.Config
	runs := w.c.State != nil && w.c.State.Running
	attached := config.AttachStdin || config.AttachStdout || config.AttachStderr
	if runs && !attached && !w.later {
		w.argv = append([]string{"docker", "run", "--detach"}, w.argv...)
		return
	}
	head := []string{"docker", "create"}
	usual := config.AttachStdout && config.AttachStderr && config.AttachStdin == config.OpenStdin
	if attached && !usual {
		for _, stream := range []struct {
			name string
			is   bool
		}{{"stdin", config.AttachStdin && !config.OpenStdin}, {"stdout", config.AttachStdout}, {"stderr", config.AttachStderr}} {
			if stream.is {
				head = append(head, "--attach", stream.name)
			}
		}
	}
	w.argv = append(head, w.argv...)
	if !runs {
		return
	}
	if w.name == "" {
		w.note("start it then, with docker start and the ID that docker create prints")
		return
	}
	w.after = append(w.after, []string{"docker", "start", w.name})
}
