package dockerfile

import (
	"fmt"
	"slices"
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
	needs []int // stages further up
}

type stages []stage

// readStages reads the stages in order. A name can only mean a stage further
// up: where one below has it, BuildKit does not build, and the classic builder
// takes it for an image.
func readStages(parsed []instructions.Stage, vars *variables) (stages, error) {
	var list stages
	for _, p := range parsed {
		s := stage{name: p.Name}
		list.from(&s, p, vars)
		for _, cmd := range p.Commands {
			if err := list.command(&s, cmd, line(cmd.Location()), ""); err != nil {
				return nil, err
			}
		}
		list = append(list, s)
	}
	return list, nil
}

// from reads FROM. The name of a stage is matched to the letter here, and
// without regard to case elsewhere.
func (list stages) from(s *stage, p instructions.Stage, vars *variables) {
	name, err := vars.expand(p.BaseName)
	if err != nil {
		s.bases = append(s.bases, Base{Line: line(p.Location), How: "FROM", Text: p.BaseName, Err: err})
		return
	}
	if i, ok := list.find(name); ok && name != "" {
		s.needs = append(s.needs, i)
		return
	}
	if name == scratch {
		return
	}
	base := named(name, line(p.Location), "FROM")
	base.Text = p.BaseName
	s.bases = append(s.bases, base)
}

// command reads what an instruction takes from images and other stages.
func (list stages) command(s *stage, cmd instructions.Command, line int, onbuild string) error {
	switch c := cmd.(type) {
	case *instructions.CopyCommand:
		return list.copyFrom(s, c.From, line, onbuild+"COPY --from")
	case *instructions.RunCommand:
		for _, mount := range instructions.GetMounts(c) {
			list.use(s, mount.From, line, onbuild+"RUN --mount=from")
		}
	case *instructions.OnbuildCommand:
		trigger, err := parseTrigger(c.Expression)
		if err != nil {
			return fmt.Errorf("reading the Dockerfile: line %d: ONBUILD: %w", line, err)
		}
		return list.command(s, trigger, line, "ONBUILD ")
	}
	return nil
}

// copyFrom reads the source of COPY: a stage by number or name, or an image.
func (list stages) copyFrom(s *stage, from string, line int, how string) error {
	if strings.Contains(from, "$") {
		s.bases = append(s.bases, Base{Line: line, How: how, Text: from, Err: fmt.Errorf("%s takes no variables: give the image a stage of its own, FROM %s AS NAME, and copy from that", how, from)})
		return nil
	}
	number, err := strconv.Atoi(from)
	if err != nil {
		list.use(s, from, line, how)
		return nil
	}
	if number < 0 || number >= len(list) {
		return fmt.Errorf("reading the Dockerfile: line %d: %s=%s: no stage above has that number", line, how, from)
	}
	s.needs = append(s.needs, number)
	return nil
}

// use takes a name for a stage if one has it, else for an image.
func (list stages) use(s *stage, name string, line int, how string) {
	if name == "" {
		return
	}
	if i, ok := list.find(strings.ToLower(name)); ok {
		s.needs = append(s.needs, i)
		return
	}
	if name != scratch {
		s.bases = append(s.bases, named(name, line, how))
	}
}

// find gives the stage of a name; of several, the last one.
func (list stages) find(name string) (int, bool) {
	for i, s := range slices.Backward(list) {
		if s.name == name {
			return i, true
		}
	}
	return 0, false
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

// reach tells which stages are wanted: those that the target needs, itself
// among them, or all without a target.
func (list stages) reach(target string) ([]bool, error) {
	wanted := make([]bool, len(list))
	if target == "" {
		for i := range wanted {
			wanted[i] = true
		}
		return wanted, nil
	}
	last, ok := list.find(strings.ToLower(target))
	if !ok {
		return nil, fmt.Errorf("the Dockerfile has no stage %q: its stages are %s", target, list.names())
	}
	wanted[last] = true
	for i := last; i >= 0; i-- { // what a stage needs is further up
		for _, need := range list[i].needs {
			wanted[need] = wanted[need] || wanted[i]
		}
	}
	return wanted, nil
}

func (list stages) names() string {
	var names []string
	for _, s := range list {
		if s.name != "" {
			names = append(names, s.name)
		}
	}
	if len(names) == 0 {
		return "without names"
	}
	return strings.Join(names, ", ")
}
