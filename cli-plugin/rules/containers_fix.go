package rules

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/image"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/rerun"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// fixContainers is the fix of a rule about containers, which somebody names:
// what docker update changes of each that its check finds open, and what a
// person does with the others. A container is not made anew for them: what it
// holds and who talks to it only they know.
func fixContainers(id stig.ID, check func(context.Context, *host.Host) ([]stig.Finding, error)) Fix {
	return func(ctx context.Context, h *host.Host) (change.Wanted, error) {
		findings, err := check(ctx, h)
		if err != nil {
			return change.Wanted{}, err
		}
		wanted, _, err := correctContainers(ctx, h, faultsOf(id, findings, nil), true)
		return wanted, err
	}
}

// FixContainers is what a person does about several rules at once, where nobody
// names them: a container that several find fault with is made anew once.
func FixContainers(ctx context.Context, h *host.Host, ids ...stig.ID) (change.Wanted, error) {
	faults, err := faultsOfAll(ctx, h, ids)
	if err != nil {
		return change.Wanted{}, err
	}
	wanted, _, err := correctContainers(ctx, h, faults, false)
	return wanted, err
}

// UpdateContainers is fixContainers for several rules at once. left are those
// that leave something to a person.
func UpdateContainers(ctx context.Context, h *host.Host, ids ...stig.ID) (wanted change.Wanted, left []stig.ID, err error) {
	faults, err := faultsOfAll(ctx, h, ids)
	if err != nil {
		return change.Wanted{}, nil, err
	}
	wanted, rest, err := correctContainers(ctx, h, faults, true)
	for _, id := range ids {
		rule, _ := For(id)
		if slices.ContainsFunc(rest, func(f containerFault) bool { return f.id == rule.IDs[0] }) {
			left = append(left, id)
		}
	}
	return wanted, left, err
}

func faultsOfAll(ctx context.Context, h *host.Host, ids []stig.ID) ([]containerFault, error) {
	var faults []containerFault
	for _, id := range ids {
		rule, ok := For(id)
		if !ok {
			return nil, fmt.Errorf("there is no rule for %s", id)
		}
		findings, err := rule.Judge(ctx, h)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", id, err)
		}
		faults = faultsOf(rule.IDs[0], findings, faults)
	}
	return faults, nil
}

// A containerFault is what a rule has to say of a container.
type containerFault struct {
	id      stig.ID
	object  string
	details string
	open    bool // else it is unknown
	updates bool // docker stig fix mends it by its rule's name
}

func faultsOf(id stig.ID, findings []stig.Finding, faults []containerFault) []containerFault {
	for _, f := range findings {
		said := containerFault{id: id, object: f.Object, details: f.Details, open: f.Status == stig.Open}
		if (said.open || f.Status == stig.NotReviewed) && !slices.Contains(faults, said) {
			faults = append(faults, said)
		}
	}
	return faults
}

// correctContainers writes a block for each container with faults that are left
// to a person. By the rules' name, what docker update mends is a change.
func correctContainers(ctx context.Context, h *host.Host, faults []containerFault, named bool) (wanted change.Wanted, left []containerFault, err error) {
	containers, err := h.Containers(ctx)
	if err != nil {
		return change.Wanted{}, nil, err
	}
	images := map[string]*image.InspectResponse{}
	for _, c := range containers {
		var open, mended []containerFault
		for _, f := range faults {
			if f.object != objectOf(c) {
				continue
			}
			update, err := f.update(h, c)
			switch {
			case err != nil:
				return change.Wanted{}, nil, err
			case !f.open:
				wanted.Person = append(wanted.Person, f.object+": "+f.details)
			case c.System != "":
				wanted.Notes = append(wanted.Notes, fmt.Sprintf("%s is a part of %s, which makes it and would not know another: it is left alone (%s)", f.object, c.System, f.id))
			case update != nil && named:
				wanted.Changes, mended = append(wanted.Changes, *update), append(mended, f)
				continue
			default:
				f.updates = update != nil
				open = append(open, f)
			}
			left = append(left, f)
		}
		if len(open) == 0 {
			continue
		}
		block, err := correctContainer(ctx, h, c, open, mended, images)
		if err != nil {
			return change.Wanted{}, nil, fmt.Errorf("%s: %w", open[0].object, err)
		}
		wanted.Person = append(wanted.Person, block)
	}
	wanted.Notes = append(wanted.Notes, updateNotes(wanted.Changes)...)
	return wanted, left, nil
}

// correctContainer writes what is wrong with a container, and the lines that
// mend it. All of it can be given to a shell: what is said is a comment. What
// is mended as the container runs is mended in one that is made anew, too.
func correctContainer(ctx context.Context, h *host.Host, c host.Container, open, mended []containerFault, images map[string]*image.InspectResponse) (string, error) {
	r, err := newRepair(h, c)
	if err != nil {
		return "", err
	}
	var b block
	b.correct(ctx, r, open)
	anew := r.anew(c)
	if anew {
		b.correct(ctx, r, mended)
	}
	switch pod, service, project := labelOf(c, podLabel), labelOf(c, serviceLabel), labelOf(c, projectLabel); {
	case pod != "":
		b.say("Kubernetes makes it: change pod %s, or what makes that pod, in the same way", pod)
	case service != "":
		r.service(&b, c)
	case project != "":
		r.compose(&b, c)
	case !anew:
		if len(r.update) > 0 {
			b.run(slices.Concat([]string{"docker", "update"}, r.update, []string{c.Title()}))
		}
	default:
		err = r.rerun(ctx, &b, c, images)
	}
	for _, hint := range r.hints {
		b.say("%s", hint)
	}
	return strings.Join(b.lines, "\n"), err
}

// correct says what is wrong, and corrects it in a repair.
func (b *block) correct(ctx context.Context, r *repair, faults []containerFault) {
	for _, f := range faults {
		b.say("%s: %s (%s)", f.object, f.details, f.id)
		if f.updates {
			r.hint(fmt.Sprintf("docker stig fix %s sets it in the container as it runs", f.id))
		}
		if correct := corrections[f.id]; correct != nil {
			correct(ctx, r)
		}
	}
}

// podLabel is that by which Kubernetes marks containers.
const podLabel = "io.kubernetes.pod.name"

// A block is lines for a person and a shell.
type block struct{ lines []string }

func (b *block) say(format string, args ...any) {
	b.lines = append(b.lines, "# "+rerun.Plain(fmt.Sprintf(format, args...)))
}

func (b *block) run(words []string) { b.lines = append(b.lines, rerun.Quote(words)) }

// runAll runs each step if those before it went well.
func (b *block) runAll(steps [][]string) {
	for i, words := range steps {
		b.run(words)
		if i < len(steps)-1 {
			b.lines[len(b.lines)-1] += " &&"
		}
	}
}

func (b *block) notes(notes []string) {
	for _, note := range notes {
		b.say("%s", note)
	}
}

// A repair is a container on its way to being as it should.
type repair struct {
	h *host.Host
	c host.Container // a copy, which corrections change
	// What docker update does at once, and how the ways of making a container
	// say it: docker create, a compose file, docker service update. A person
	// fills in the values that the site does not give.
	update, create, keys, options []string
	// also are changes that docker update makes, for where the container is
	// made anew all the same; unset those that create stands for.
	also, unset []func(*container.HostConfig)
	hints       []string
}

func newRepair(h *host.Host, c host.Container) (*repair, error) {
	raw, err := json.Marshal(c.InspectResponse)
	if err != nil {
		return nil, fmt.Errorf("copying what the engine says of it: %w", err)
	}
	r := &repair{h: h}
	if err := json.Unmarshal(raw, &r.c.InspectResponse); err != nil {
		return nil, fmt.Errorf("copying what the engine says of it: %w", err)
	}
	return r, nil
}

func (r *repair) hint(text string) {
	if !slices.Contains(r.hints, text) {
		r.hints = append(r.hints, text)
	}
}

// anew reports whether the container has to be made again.
func (r *repair) anew(before host.Container) bool {
	was, err := json.Marshal(before.InspectResponse)
	is, err2 := json.Marshal(r.c.InspectResponse)
	return err != nil || err2 != nil || string(was) != string(is)
}

// updated are the changes of docker update put in as well.
func (r *repair) updated() container.InspectResponse {
	for _, change := range r.also {
		change(r.c.HostConfig)
	}
	return r.c.InspectResponse
}

func (r *repair) service(b *block, before host.Container) {
	line := rerun.Service(before.InspectResponse, r.updated(), r.options...)
	if len(line.Argv) > 0 {
		b.run(line.Argv)
	}
	b.notes(line.Notes)
}

func (r *repair) compose(b *block, before host.Container) {
	lines := rerun.Compose(before.InspectResponse, r.updated(), r.keys...)
	if len(lines) == 0 {
		return
	}
	b.say("change these keys in the compose file of project %s, and run docker compose up --detach:", labelOf(before, projectLabel))
	for _, line := range lines {
		b.lines = append(b.lines, "#   "+line)
	}
}

// rerun writes how the container is made again beside the old one, which stays
// until it has proved itself.
func (r *repair) rerun(ctx context.Context, b *block, before host.Container, images map[string]*image.InspectResponse) error {
	from := rerun.Origin{Image: r.image(ctx, images)}
	if info, err := r.h.Info(ctx); err == nil {
		from.Engine = &info
	}
	after := r.updated()
	for _, unset := range r.unset {
		unset(after.HostConfig)
	}
	line, err := rerun.Run(after, from)
	if err != nil {
		return err
	}
	line = line.Stepwise()
	title, old := before.Title(), before.Title()+"-before"
	steps := slices.Concat([][]string{{"docker", "rename", title, old}, withOptions(line.Argv, r.create)}, line.After)
	if before.Runs() {
		steps = slices.Insert(steps, len(steps)-1, []string{"docker", "stop", old})
	}
	b.runAll(steps)
	b.notes(line.Notes)
	if before.HostConfig.AutoRemove {
		b.say("it is removed when it stops (--rm), so there is no way back to it")
		return nil
	}
	b.say("what it wrote outside of volumes stays in %s; once %s does its work: docker rm %s", old, title, old)
	return nil
}

// withOptions puts options before those that docker create has.
func withOptions(argv, options []string) []string {
	at := slices.Index(argv, "--name")
	if at < 0 {
		at = 2 // docker create
	}
	return slices.Insert(slices.Clone(argv), at, options...)
}

// image is that which the container was made from; nil if the engine does not
// tell.
func (r *repair) image(ctx context.Context, images map[string]*image.InspectResponse) *image.InspectResponse {
	id := r.c.Image
	if _, asked := images[id]; !asked && id != "" && r.h.Engine != nil {
		if got, err := r.h.Engine.ImageInspect(ctx, id); err == nil {
			images[id] = &got.InspectResponse
		}
	}
	return images[id]
}
