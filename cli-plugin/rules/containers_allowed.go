package rules

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/site"
)

// A siteList is a list of site.yaml that says what containers may have. An
// entry is for all containers, or begins with the name of the container, or of
// the swarm service, that it is for: "web:443/tcp".
type siteList struct {
	key  string // "containers.ports"
	from func(site.Containers) []string
	want string // what an entry looks like
	is   func(entry string) bool
}

// entryFor splits the name of a container off an entry. Names have at least two
// characters, as the engine wants them.
var entryFor = regexp.MustCompile(`^([a-zA-Z0-9][a-zA-Z0-9_.-]+):(.+)$`)

// split gives the container that an entry is for, "" for all, and the rest.
func (l *siteList) split(entry string) (container, rest string, ok bool) {
	if l.is(entry) {
		return "", entry, true
	}
	parts := entryFor.FindStringSubmatch(entry)
	if parts == nil || !l.is(parts[2]) {
		return "", "", false
	}
	return parts[1], parts[2], true
}

// validate wants every entry to be one.
func (l *siteList) validate(c site.Containers) error {
	if l == nil {
		return nil
	}
	for i, entry := range l.from(c) {
		if _, _, ok := l.split(entry); !ok {
			return fmt.Errorf("%s[%d] in site.yaml is %q: want %s, or the same behind the name of a container, as in %q", l.key, i, entry, l.want, "web:…")
		}
	}
	return nil
}

// A thing is what a container has and the site may or may not list.
type thing struct {
	text   string
	listed func(entry string) bool // whether an entry allows it
}

// beyond gives the things that the site does not list for a container. Without
// a list nobody can tell.
func (l *siteList) beyond(h *host.Host, c host.Container, has []thing) ([]string, error) {
	if len(has) == 0 {
		return nil, nil
	}
	entries := l.from(h.Site.Containers)
	if entries == nil {
		texts := make([]string, len(has))
		for i, t := range has {
			texts[i] = t.text
		}
		return nil, fmt.Errorf("it has %s, and whether the security plan allows that is for the site to say: give %s in site.yaml", strings.Join(texts, ", "), l.key)
	}
	var missing []string
	for _, t := range has {
		if !l.lists(entries, c, t) {
			missing = append(missing, t.text)
		}
	}
	return missing, nil
}

func (l *siteList) lists(entries []string, c host.Container, t thing) bool {
	for _, entry := range entries {
		container, rest, ok := l.split(entry)
		if ok && (container == "" || container == c.Title() || container == labelOf(c, serviceLabel)) && t.listed(rest) {
			return true
		}
	}
	return false
}
