package dockerfile

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// scratch is the name of no image.
const scratch = "scratch"

// A stage is what runs from one FROM to the next.
type stage struct {
	name  string // in lower case, as parsed; "" without AS
	bases []Base
}

// stages are those read so far; the last one of a name has it.
type stages struct {
	list  []stage
	named map[string]int
}

// readStages reads the stages in order. A name can only mean a stage further
// up: where one below has it, BuildKit does not build, and the classic builder
// takes it for an image.
func readStages(parsed []instructions.Stage, vars *variables) (stages, error) {
	all := stages{named: map[string]int{}}
	for i, p := range parsed {
		s := stage{name: p.Name}
		all.from(&s, p, vars)
		for _, cmd := range p.Commands {
			if err := all.command(&s, cmd, line(cmd.Location()), vars.classic); err != nil {
				return stages{}, err
			}
		}
		all.list = append(all.list, s)
		if s.name != "" {
			all.named[s.name] = i
		}
	}
	return all, nil
}

// from reads FROM. The name of a stage is matched to the letter here, and
// without regard to case elsewhere.
func (all stages) from(s *stage, p instructions.Stage, vars *variables) {
	name, err := vars.expand(p.BaseName)
	if err != nil {
		s.bases = append(s.bases, Base{Line: line(p.Location), How: "FROM", Text: p.BaseName, Err: err})
		return
	}
	if _, ok := all.named[name]; ok || name == scratch {
		return
	}
	base := named(name, line(p.Location), "FROM")
	base.Text = p.BaseName
	s.bases = append(s.bases, base)
}

// command reads what an instruction takes from images and other stages.
func (all stages) command(s *stage, cmd instructions.Command, line int, classic bool) error {
	switch c := cmd.(type) {
	case *instructions.CopyCommand:
		return all.copyFrom(s, c.From, line, classic)
	case *instructions.RunCommand:
		for _, mount := range instructions.GetMounts(c) {
			if mount.From != scratch {
				all.use(s, mount.From, line, "RUN --mount=from")
			}
		}
	case *instructions.OnbuildCommand:
		return all.onbuild(s, c.Expression, line, classic)
	}
	return nil
}

// onbuild reads a trigger. It is bound when it fires, below or in another file:
// a stage's number means nothing before.
func (all stages) onbuild(s *stage, expression string, line int, classic bool) error {
	trigger, err := parseTrigger(expression)
	if err != nil {
		return fmt.Errorf("reading the Dockerfile: line %d: ONBUILD: %w", line, err)
	}
	if c, ok := trigger.(*instructions.CopyCommand); ok {
		if _, err := strconv.Atoi(c.From); err == nil {
			return nil
		}
	}
	first := len(s.bases)
	if err := all.command(s, trigger, line, classic); err != nil {
		return err
	}
	for i := range s.bases[first:] {
		s.bases[first+i].How = "ONBUILD " + s.bases[first+i].How
	}
	return nil
}

// copyFrom reads the source of COPY: a stage by number or name, or an image.
// The classic builder has no scratch here, and takes an image of that name.
func (all stages) copyFrom(s *stage, from string, line int, classic bool) error {
	const how = "COPY --from"
	if strings.Contains(from, "$") {
		s.bases = append(s.bases, Base{Line: line, How: how, Text: from, Err: fmt.Errorf("%s takes no variables: give the image a stage of its own, FROM %s AS NAME, and copy from that", how, from)})
		return nil
	}
	if from == scratch && !classic {
		return nil
	}
	number, err := strconv.Atoi(from)
	if err != nil {
		all.use(s, from, line, how)
		return nil
	}
	if number < 0 || number >= len(all.list) {
		return fmt.Errorf("reading the Dockerfile: line %d: %s=%s: no stage above has that number", line, how, from)
	}
	return nil
}

// use takes a name for a stage if one has it, else for an image.
func (all stages) use(s *stage, name string, line int, how string) {
	if name == "" {
		return
	}
	if _, ok := all.named[strings.ToLower(name)]; !ok {
		s.bases = append(s.bases, named(name, line, how))
	}
}

// parseTrigger reads the instruction that ONBUILD keeps for later builds.
func parseTrigger(expression string) (instructions.Command, error) {
	file, err := parser.Parse(strings.NewReader(expression))
	if err != nil {
		return nil, err
	}
	if len(file.AST.Children) != 1 {
		return nil, fmt.Errorf("%q is not one instruction", expression)
	}
	return instructions.ParseCommand(file.AST.Children[0])
}

// target is the last stage that is built. Of several with the name BuildKit
// builds the last one, and the classic builder stops before that.
func (all stages) target(name string) (int, error) {
	if name == "" {
		return len(all.list) - 1, nil
	}
	last, ok := all.named[strings.ToLower(name)]
	if !ok {
		return 0, fmt.Errorf("the Dockerfile has no stage %q: its stages are %s", name, all.names())
	}
	return last, nil
}

func (all stages) names() string {
	var names []string
	for _, s := range all.list {
		if s.name != "" {
			names = append(names, s.name)
		}
	}
	if len(names) == 0 {
		return "without names"
	}
	return strings.Join(names, ", ")
}
