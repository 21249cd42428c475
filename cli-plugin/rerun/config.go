package rerun

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/image"
)

// inherited is what a container has from its image. The zero value is that of
// an image that says nothing, or that could not be asked.
type inherited struct {
	known                  bool
	env, command, entry    []string
	user, dir, stopSignal  string
	ports, volumes, labels map[string]string // volumes and ports without values
	health                 *container.HealthConfig
}

func newInherited(i *image.InspectResponse) inherited {
	if i == nil {
		return inherited{}
	}
	from := inherited{known: true}
	if i.Config == nil {
		return from
	}
	from.env, from.command, from.entry = i.Config.Env, i.Config.Cmd, i.Config.Entrypoint
	from.user, from.dir, from.stopSignal = i.Config.User, i.Config.WorkingDir, i.Config.StopSignal
	from.ports, from.volumes, from.labels = keysOf(i.Config.ExposedPorts), keysOf(i.Config.Volumes), i.Config.Labels
	from.health = i.Config.Healthcheck
	return from
}

func keysOf(set map[string]struct{}) map[string]string {
	keys := map[string]string{}
	for key := range set {
		if !strings.Contains(key, "/") {
			key += "/tcp" // a port
		}
		keys[key] = ""
	}
	return keys
}

// config writes what the container says of itself.
func (w *writer) config() {
	c := w.c.Config
	if w.ownHostname() {
		w.flag("hostname", c.Hostname)
	}
	w.said("domainname", c.Domainname)
	for _, said := range []struct{ flag, value, inherited string }{
		{"user", c.User, w.image.user}, {"workdir", c.WorkingDir, w.image.dir}, {"stop-signal", c.StopSignal, w.image.stopSignal},
	} {
		if said.value != said.inherited {
			w.said(said.flag, said.value)
		}
	}
	w.on("interactive", c.OpenStdin)
	w.on("tty", c.Tty)
	if c.StopTimeout != nil {
		w.flag("stop-timeout", strconv.Itoa(*c.StopTimeout))
	}
	labels := maps.Clone(c.Labels)
	maps.DeleteFunc(labels, func(key, value string) bool {
		from, said := w.image.labels[key]
		if said && from == value {
			return true
		}
		odd := key == "" || strings.ContainsFunc(key, unicode.IsSpace)
		if odd {
			w.note(fmt.Sprintf("its label %q has a name that docker takes from no command line", key))
		}
		return odd
	})
	w.pairs("label", labels)
	if c.NetworkDisabled {
		w.note("its network is disabled by the API (NetworkDisabled), for which docker has no option: --network none is next to it")
	}
	w.imageNotes()
}

// ownHostname reports whether the host's name was given. The engine makes one
// up from the ID, or takes the host's.
func (w *writer) ownHostname() bool {
	name, h := w.c.Config.Hostname, w.c.HostConfig
	shared := h.NetworkMode.IsHost() || h.NetworkMode.IsContainer() || h.UTSMode.IsHost()
	return name != "" && name != shortID(w.c) && !shared
}

// imageNotes says where the image will not be the same.
func (w *writer) imageNotes() {
	if !w.image.known {
		w.note("its image could not be asked, so what it has from there is written out too")
		return
	}
	name, err := reference.ParseNormalizedNamed(w.c.Config.Image)
	if err != nil || strings.HasPrefix(w.from.Image.ID, "sha256:"+w.c.Config.Image) || w.from.Image.ID == w.c.Config.Image {
		return
	}
	want := reference.FamiliarString(reference.TagNameOnly(name))
	all := slices.Concat(w.from.Image.RepoTags, w.from.Image.RepoDigests)
	same := func(text string) bool {
		held, err := reference.ParseNormalizedNamed(text)
		return err == nil && reference.FamiliarString(held) == want
	}
	if !slices.ContainsFunc(all, same) {
		w.note(fmt.Sprintf("the image %s is not the one that the container was made from any more: that one is %s", w.c.Config.Image, w.c.Image))
	}
}

// shellName is a variable's name that shells hand on.
var shellName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// environment writes the names of the variables that are the container's own.
func (w *writer) environment() {
	var seen, odd, words []string
	for _, entry := range slices.Backward(w.c.Config.Env) {
		name, value, valued := strings.Cut(entry, "=")
		if name == "" || slices.Contains(w.image.env, entry) || slices.Contains(seen, name) {
			continue // of several with one name the last one counts
		}
		seen = append(seen, name)
		if valued && value == "" {
			name += "="
		}
		if valued && value != "" && !shellName.MatchString(name) {
			odd = append(odd, regexp.QuoteMeta(name))
			continue
		}
		words = append(words, name)
	}
	slices.Reverse(words)
	w.oddNames(odd)
	w.each("env", words)
	names := slices.DeleteFunc(words, func(word string) bool { return strings.HasSuffix(word, "=") })
	if len(names) == 0 {
		return
	}
	slices.Sort(names)
	w.note(fmt.Sprintf("values of its environment are not shown: --env takes %s from the environment that docker is called in, so set them there first; docker inspect --format '{{json .Config.Env}}' %s has them", strings.Join(names, ", "), w.reference()))
}

// oddNames takes variables whose names no shell hands on from a file.
func (w *writer) oddNames(patterns []string) {
	if len(patterns) == 0 {
		return
	}
	slices.Sort(patterns)
	file := w.reference() + ".env"
	w.flag("env-file", file)
	w.note(fmt.Sprintf("shells do not hand on some names of its environment: write these to a file first, with docker inspect --format '{{range .Config.Env}}{{println .}}{{end}}' %s | grep -E %s >%s", w.reference(), quote("^("+strings.Join(patterns, "|")+")="), file))
}

// reference is how to ask the engine about the container.
func (w *writer) reference() string {
	if w.name != "" {
		return w.name
	}
	return shortID(w.c)
}

// health writes the check of the container's health, where it is not the
// image's.
func (w *writer) health() {
	own, from := w.c.Config.Healthcheck, w.image.health
	if own == nil {
		return
	}
	if from == nil {
		from = &container.HealthConfig{}
	}
	if !slices.Equal(own.Test, from.Test) && w.healthCommand(own.Test) {
		return
	}
	for _, d := range []struct {
		flag      string
		own, from time.Duration
	}{
		{"health-interval", own.Interval, from.Interval},
		{"health-timeout", own.Timeout, from.Timeout},
		{"health-start-period", own.StartPeriod, from.StartPeriod},
		{"health-start-interval", own.StartInterval, from.StartInterval},
	} {
		if d.own > 0 && d.own != d.from {
			w.flag(d.flag, d.own.String())
		}
	}
	if own.Retries > 0 && own.Retries != from.Retries {
		w.flag("health-retries", strconv.Itoa(own.Retries))
	}
}

// healthCommand writes a test, and reports whether that is all there is to say.
func (w *writer) healthCommand(test []string) (none bool) {
	switch {
	case len(test) == 0:
	case test[0] == "NONE":
		w.on("no-healthcheck", true)
		return true
	case test[0] == "CMD-SHELL" && len(test) == 2:
		w.flag("health-cmd", w.hide("--health-cmd", "", test[1]))
	default:
		w.flag("health-cmd", Quote(w.hideWords(test[1:])))
		w.note("its health is checked without a shell, for which docker has no option: --health-cmd has a shell run the same command")
	}
	return false
}

// command writes the image and what runs in it. An entrypoint takes one word:
// the others go before the command, which makes the same process.
func (w *writer) command() {
	c := w.c.Config
	entry, words := c.Entrypoint, c.Cmd
	inherits := slices.Equal(entry, w.image.entry)
	switch {
	case inherits && slices.Equal(words, w.image.command):
		words = nil
	case inherits && len(words) > 0:
	case len(entry) == 0 && len(w.image.entry) > 0:
		w.flag("entrypoint", "")
	case len(entry) > 0:
		w.flag("entrypoint", w.hide("the entrypoint", "", entry[0]))
		words = slices.Concat(entry[1:], words)
		if len(entry) > 1 {
			w.note("--entrypoint takes one word: the others of its entrypoint stand before the command, which runs the same")
		}
	}
	w.argv = append(w.argv, c.Image)
	w.argv = append(w.argv, w.hideWords(words)...)
}
