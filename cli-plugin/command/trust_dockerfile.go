package command

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/dockerfile"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/pflag"
)

// buildOptions say which images to verify: those that a Dockerfile starts from.
type buildOptions struct {
	path   string   // "-" is standard input
	args   []string // NAME=VALUE, or NAME for the environment's value
	target string
}

func (b *buildOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&b.path, "dockerfile", "", "Verify the images that building this file starts from, - for standard input")
	flags.StringArrayVar(&b.args, "build-arg", nil, "NAME=VALUE for the build, or NAME for the environment's value; may be repeated")
	flags.StringVar(&b.target, "target", "", "Stage that is built: it and all stages before it count; without it all stages do")
}

// check refuses options that belong to a Dockerfile where none is named.
func (b *buildOptions) check() error {
	if b.path == "" && (len(b.args) > 0 || b.target != "") {
		return fmt.Errorf("--build-arg and --target belong to --dockerfile: name the file too")
	}
	return nil
}

// bases are the images that the build starts from, to be judged. None is an
// answer: a build from scratch starts from nothing.
func (b *buildOptions) bases(dockerCLI command.Cli) ([]verdict, error) {
	args, err := buildArgs(b.args)
	if err != nil {
		return nil, err
	}
	var source io.Reader = dockerCLI.In()
	if b.path != "-" {
		file, err := os.Open(b.path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		source = file
	}
	bases, err := dockerfile.Bases(source, args, b.target)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.name(), err)
	}
	var list []verdict
	for _, base := range bases {
		v := verdict{name: base.Text, ref: base.Ref, err: base.Err, base: &basis{Base: base, file: b.path}}
		if base.Ref != nil {
			v.name = base.Ref.String()
		}
		list = append(list, v)
	}
	return list, nil
}

func (b *buildOptions) name() string { return fileName(b.path) }

// fileName is a file's name for a person.
func fileName(path string) string {
	if path == "-" {
		return "standard input"
	}
	return path
}

// buildArgs reads arguments as docker build does: a name alone has the
// environment's value, or none.
func buildArgs(texts []string) (map[string]string, error) {
	args := map[string]string{}
	for _, text := range texts {
		name, value, given := strings.Cut(text, "=")
		if name == "" {
			return nil, fmt.Errorf("--build-arg %q: want NAME=VALUE or NAME", text)
		}
		if !given {
			if value, given = os.LookupEnv(name); !given {
				continue
			}
		}
		args[name] = value
	}
	return args, nil
}

// A basis is a base image with the file that names it.
type basis struct {
	dockerfile.Base

	file string
}

// String says where the image is named, and how.
func (b *basis) String() string {
	if b.Line == 0 {
		return b.How + "=" + b.Text
	}
	return fmt.Sprintf("line %d of %s: %s %s", b.Line, fileName(b.file), b.How, b.Text)
}

// A jsonBase says where a build names an image.
type jsonBase struct {
	Dockerfile string // "-" for standard input
	Line       int    `json:",omitempty"` // absent for an image that a build argument brings in
	How        string // "FROM", "COPY --from", "RUN --mount=from", "# syntax", …
	Text       string // as it is written, with its variables
}

func (b *basis) json() *jsonBase {
	if b == nil {
		return nil
	}
	return &jsonBase{Dockerfile: b.file, Line: b.Line, How: b.How, Text: b.Text}
}
