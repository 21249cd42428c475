// Package dockerfile tells which images a Dockerfile's build starts from: the
// ones named by FROM, COPY --from, RUN --mount=from and the "# syntax" line,
// whose image runs as the build's frontend.
//
// Two builders read a Dockerfile, and not alike: BuildKit, and the classic
// builder, which knows no here-documents in Docker 20.10 (nor does the BuildKit
// within that). Bases gives what either would use. It reads with the parser of
// BuildKit 0.33, and what BuildKit 0.8 splits otherwise once more. With a target
// the stages up to it count, which the classic builder runs in order; without
// one all of them.
//
// It leaves to others whether an image is trusted, and does not see what the
// file does not say: the ONBUILD triggers of the images themselves, images that
// a frontend of somebody else's fetches, and --build-context, which can put
// another image in the place of one named here.
package dockerfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// maxSize bounds a Dockerfile: the largest in use are generated, and have some
// ten thousand lines.
const maxSize = 1 << 20 // bytes

// maxVariables bounds the "$" in a Dockerfile. BuildKit's lexer calls itself
// for each "${" within another: 1 MiB of them fills the stack to its limit,
// and a program does not survive that.
const maxVariables = 20000

// syntaxArg names the build argument that overrules the "# syntax" line.
const syntaxArg = "BUILDKIT_SYNTAX"

// A Base is an image that a build starts from.
type Base struct {
	Ref  reference.Named // with tag or digest, as docker pull completes it; nil with Err
	Line int             // from 1; 0 for an image that a build argument brings in
	How  string          // "FROM", "COPY --from", "RUN --mount=from", "# syntax"; ONBUILD before it; behind it which builder, if not all
	Text string          // as it is written, with its variables
	Err  error           // why it cannot be told which image that is
}

// Bases lists the images that building target may start from, in the order of
// the file; without a target those of all stages. Args are the build arguments,
// the platform's among them (TARGETARCH and its like), which are the machine's
// by default. The error is about the file: one that no builder would build.
func Bases(r io.Reader, args map[string]string, target string) ([]Base, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading the Dockerfile: %w", err)
	}
	if len(raw) > maxSize {
		return nil, fmt.Errorf("reading the Dockerfile: it has more than %d MiB", maxSize>>20)
	}
	if n := bytes.Count(raw, []byte("$")); n > maxVariables {
		return nil, fmt.Errorf("reading the Dockerfile: it has %d variables, more than %d", n, maxVariables)
	}
	file, err := read(raw)
	if err != nil {
		return nil, err
	}
	bases, err := file.bases(args, target)
	if err != nil {
		return nil, err
	}
	bases = merge(bases, older(raw, file, args, target))
	return append(frontend(raw, args), bases...), nil
}

// A reading is a Dockerfile as a parser has understood it.
type reading struct {
	tree     *parser.Result
	stages   []instructions.Stage
	declared []instructions.ArgCommand // before the first FROM
}

// read understands a Dockerfile as BuildKit does today.
func read(raw []byte) (reading, error) {
	tree, err := parser.Parse(bytes.NewReader(raw))
	if err != nil {
		return reading{}, located(err)
	}
	return newReading(tree)
}

func newReading(tree *parser.Result) (reading, error) {
	stages, declared, err := instructions.Parse(tree.AST, nil)
	if err != nil {
		return reading{}, located(err)
	}
	if len(stages) == 0 {
		return reading{}, errors.New("reading the Dockerfile: it has no FROM")
	}
	return reading{tree, stages, declared}, nil
}

// bases are those of the stages up to the target, for BuildKit and for the
// classic builder.
func (r reading) bases(args map[string]string, target string) ([]Base, error) {
	bases, err := r.with(newVariables(r.tree.EscapeToken, args, r.stageName(target)), target)
	if err != nil {
		return nil, err
	}
	classic, err := r.with(newClassicVariables(r.tree.EscapeToken, args), target)
	if err != nil {
		return bases, nil // an ARG that only BuildKit can expand: the classic builder begins no stage
	}
	return merge(bases, classic), nil
}

func (r reading) with(vars *variables, target string) ([]Base, error) {
	if err := vars.declare(r.declared); err != nil {
		return nil, err
	}
	all, err := readStages(r.stages, vars)
	if err != nil {
		return nil, err
	}
	last, err := all.target(target)
	if err != nil {
		return nil, err
	}
	var bases []Base
	for _, stage := range all.list[:last+1] {
		bases = append(bases, stage.bases...)
	}
	return bases, nil
}

// stageName is the value of TARGETSTAGE.
func (r reading) stageName(target string) string {
	if target == "" {
		target = r.stages[len(r.stages)-1].Name
	}
	if target == "" {
		return "default"
	}
	return target
}

// frontend is the image that BuildKit runs to read the Dockerfile, if one is
// asked for.
func frontend(raw []byte, args map[string]string) []Base {
	if asked, ok := args[syntaxArg]; ok {
		image, _, _ := strings.Cut(strings.TrimSpace(asked), " ")
		return []Base{named(image, 0, "--build-arg "+syntaxArg)}
	}
	image, _, at, ok := parser.DetectSyntax(raw)
	if !ok {
		return nil
	}
	return []Base{named(image, line(at), "# syntax")}
}

// errNoName is a text that no builder can take an image by.
var errNoName = errors.New("no image's name")

// named is the base that a name without variables gives.
func named(text string, line int, how string) Base {
	b := Base{Line: line, How: how, Text: text}
	ref, err := reference.ParseDockerRef(text)
	if err == nil {
		b.Ref = ref
		return b
	}
	if _, other := reference.ParseAnyReference(text); other == nil {
		b.Err = fmt.Errorf("%q is the ID of an image, which says nothing of where it is from: name the image: %w", text, err)
		return b
	}
	b.Err = fmt.Errorf("%q is %w: %w", text, errNoName, err)
	return b
}

// located gives an error of the parser the line that it is about.
func located(err error) error {
	if place := new(parser.LocationError); errors.As(err, &place) && len(place.Locations) > 0 {
		return fmt.Errorf("reading the Dockerfile: line %d: %w", line(place.Locations[0]), place)
	}
	return fmt.Errorf("reading the Dockerfile: %w", err)
}

// line is where an instruction begins, from 1.
func line(at []parser.Range) int {
	if len(at) == 0 {
		return 1
	}
	return max(at[0].Start.Line, 1)
}
