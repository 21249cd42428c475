package engineapi

import (
	"context"
	"errors"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/swarm"

	"github.com/docker-stig/docker-stig/shared/engine"
)

// A Request is what the engine says of a request beyond its target.
type Request struct {
	Body   []byte            // only of JSON, and on some engines not even that
	Header map[string]string // flattened: the last of several values
}

// A Demand is what a request asks of the engine, as far as it has to be
// judged. All of it has to be allowed; the zero Demand asks nothing.
type Demand struct {
	Images    []engine.Image        // that it names
	Container *engine.Container     // that exists, and would run or be changed
	Host      *container.HostConfig // of a container to be made, or of its change
	Task      *swarm.TaskSpec       // of a service
	Fallback  *Demand               // what a service returns to by itself, should its update fail
	Volume    *engine.Volume        // to be made
	Exec      *engine.Exec          // privileged, in Container
	Reach     bool                  // no more of Container than what it reaches
	Drivers   []string              // that the engine would ask, whoever they are
}

// A Finder finds what requests ask.
type Finder struct{ Engine engine.Engine }

// finders say how each use asks. A use that is not here asks nothing that
// could be judged.
var finders = map[Use]func(Finder, context.Context, Target, Request) (Demand, error){
	Create:        Finder.create,
	Start:         Finder.start,
	Revive:        Finder.revive,
	Alter:         Finder.alter,
	Pull:          Finder.pull,
	Exec:          Finder.exec,
	ExecStart:     Finder.execStart,
	Read:          Finder.reach,
	Copy:          Finder.reach,
	Volume:        Finder.volume,
	Network:       Finder.network,
	ServiceCreate: Finder.serviceCreate,
	ServiceUpdate: Finder.serviceUpdate,
}

// Demand finds what a request asks. An error denies the request; an
// *engine.Refusal says that it would be denied whoever signed its images.
func (f Finder) Demand(ctx context.Context, t Target, r Request) (Demand, error) {
	find, ok := finders[t.Route.Use]
	if !ok {
		return Demand{}, engine.Refuse("unknown-route", "%s %s names no image that could be judged", t.Route.Method, t.Route.Pattern)
	}
	return find(f, ctx, t, r)
}

// CheckBody refuses a request without the body that its route needs. Engines
// have left bodies out on the way to authorization and read them afterwards
// (CVE-2024-41110, CVE-2026-34040).
func CheckBody(t Target, r Request) error {
	if t.Route.Body && len(r.Body) == 0 {
		return engine.Refuse("hidden-body", "%s needs a body, and the engine showed none to authorization: send Content-Type application/json and a Content-Length, at most 1 MiB on older engines", t.Route.Pattern)
	}
	return nil
}

// noHiddenBody refuses a body that the engine has not shown and may read
// after it asked: form parameters would override those of the address, and a
// body that arrives slowly would put time between question and act. A header
// that is given twice shows its last value and works by its first, so any
// Content-Type at all counts.
func noHiddenBody(r Request) error {
	_, typed := r.Header["Content-Type"]
	if !typed || len(r.Body) > 0 || r.Header["Content-Length"] == "0" {
		return nil
	}
	return engine.Refuse("hidden-body", "the request has a body that the engine did not show to authorization: send none")
}

func (f Finder) create(ctx context.Context, _ Target, r Request) (Demand, error) {
	body, err := decodeCreate(r.Body)
	if err != nil {
		return Demand{}, err
	}
	demand := Demand{Host: &body.HostConfig}
	image, err := engine.ByName(ctx, f.Engine, body.Image)
	if errors.Is(err, engine.ErrNotFound) {
		return demand, nil // the engine will say so itself
	}
	if err != nil {
		return Demand{}, err
	}
	mounts, err := engine.Mounted(ctx, f.Engine, engine.ImageMounts(body.HostConfig.Mounts))
	demand.Images = append([]engine.Image{image}, mounts...)
	return demand, err
}
