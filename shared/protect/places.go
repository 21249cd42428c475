package protect

import (
	"path"
	"slices"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// A place is a path of the host that a container does not get. A folder that
// holds it gives it away, and what lies below it is part of it.
type place struct {
	path     string
	why      string
	readable bool // it may be had read-only
	shallow  bool // what lies below it is not meant
	another  bool // another name of the host's system: what is below it goes by its own
}

// meets reports whether what is asked for is, holds or belongs to the place,
// which goes by a name.
func (p *place) meets(name, asked string) bool {
	return under(name, asked) || (!p.shallow && under(asked, name))
}

// is compares a path with the place by what they are on disk, since a folder
// may go by a link or be mounted in two places.
func (p *place) is(own, asked found) bool {
	if own.chain == nil {
		return false
	}
	if p.meets(own.path, asked.path) || p.shares(own, asked) {
		return true
	}
	if own.missing {
		return false
	}
	last := own.chain[len(own.chain)-1]
	if p.shallow {
		return !asked.missing && asked.chain[len(asked.chain)-1].same(last)
	}
	return slices.ContainsFunc(asked.chain, last.same)
}

// shares compares a path with the place as their file systems know them. What
// is mounted below a path is part of it.
func (p *place) shares(own, asked found) bool {
	for _, disk := range append([]onDisk{asked.disk}, asked.below...) {
		if disk.holds(own.disk) || (!p.shallow && !p.another && own.disk.holds(disk)) {
			return true
		}
	}
	return false
}

// layoutFor is how long it is remembered where the places are: only root moves
// them, and to look at them all takes some hundred microseconds.
const layoutFor = 10 * time.Second

// A layout is where the places were found at some time.
type layout struct {
	at     time.Time
	places []found
}

// whereabouts gives where each place is; a place that cannot be followed is
// known by its name alone.
func (r *Rules) whereabouts(t *tree) []found {
	now := r.options.Now()
	if l := r.known.Load(); l != nil && now.Sub(l.at).Abs() < layoutFor {
		return l.places
	}
	l := &layout{at: now, places: make([]found, len(r.places))}
	for i := range r.places {
		f, err := t.resolve(r.places[i].path)
		if err == nil {
			l.places[i] = f
		}
	}
	r.known.Store(l)
	return l.places
}

// places are those built in, the engine's and the site's.
func places(p policy.Protect, o Options) []place {
	list := append([]place(nil), never...)
	if o.DataRoot != "" {
		list = append(list, place{path: path.Clean(o.DataRoot), why: "holds the engine's images, volumes and containers"})
	}
	for _, name := range o.Paths {
		list = append(list, place{path: path.Clean(name), why: "decides what may run on the host"})
	}
	for _, name := range p.Paths {
		list = append(list, place{path: path.Clean(name), why: "is protected by the site (protect.paths)"})
	}
	return append(list, writeProtected...)
}
