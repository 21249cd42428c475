package dockerfile

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// maxWord bounds a word that is to become an image's name, and each value in
// it: name, tag and digest together have at most 456 bytes.
const maxWord = 512 // bytes

// variables are those that a FROM may use: the platform's, and what ARG
// declares before the first FROM.
type variables struct {
	lex      *shell.Lex
	args     map[string]string // --build-arg
	values   env
	declared map[string]bool
	unknown  map[string]bool // declared, with a value that is not in values
	classic  bool
}

type env map[string]string

// Get makes env a shell.EnvGetter.
func (e env) Get(name string) (string, bool) {
	value, ok := e[name]
	return value, ok
}

// Keys makes env a shell.EnvGetter.
func (e env) Keys() []string { return slices.Sorted(maps.Keys(e)) }

// newVariables knows the platform's variables, with the values that BuildKit
// gives them when it builds for the machine that it runs on.
func newVariables(escape rune, args map[string]string, target string) *variables {
	variant := ""
	if runtime.GOARCH == "arm" {
		variant = "v7"
	}
	platform := strings.TrimSuffix("linux/"+runtime.GOARCH+"/"+variant, "/")
	values := env{targetStage: target}
	for _, of := range []string{"BUILD", "TARGET"} {
		values[of+"PLATFORM"] = platform
		values[of+"OS"] = "linux"
		values[of+"OSVERSION"] = ""
		values[of+"ARCH"] = runtime.GOARCH
		values[of+"VARIANT"] = variant
	}
	for name := range values {
		if value, ok := args[name]; ok {
			values[name] = value
		}
	}
	return &variables{lex: shell.NewLex(escape), args: args, values: values, declared: map[string]bool{}, unknown: map[string]bool{}}
}

// proxies are the arguments that the classic builder takes undeclared.
var proxies = []string{
	"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "FTP_PROXY", "ftp_proxy",
	"NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy",
}

// newClassicVariables knows those of the classic builder, which gives the
// platform's no value.
func newClassicVariables(escape rune, args map[string]string) *variables {
	values := env{}
	for _, name := range proxies {
		if value, ok := args[name]; ok && len(value) <= maxWord {
			values[name] = value
		}
	}
	return &variables{lex: shell.NewLex(escape), args: args, values: values, declared: map[string]bool{}, unknown: map[string]bool{}, classic: true}
}

// targetStage is a variable that BuildKit has beside the platform's.
const targetStage = "TARGETSTAGE"

// platformName matches the names of the platform's variables.
var platformName = regexp.MustCompile(`^(?:BUILD|TARGET)(?:PLATFORM|OS|OSVERSION|ARCH|VARIANT)$|^` + targetStage + `$`)

// mayHave reports whether a variable that is without a value here may have one
// in a build. The classic builder leaves those out that nothing declares.
func (v *variables) mayHave(name string) bool {
	return !v.classic || v.declared[name] && !platformName.MatchString(name)
}

// declare takes in the ARGs before the first FROM. One whose default rests on
// a value that is not known has no value either. In a line with several the
// classic builder expands all before it takes in any.
func (v *variables) declare(commands []instructions.ArgCommand) error {
	for _, cmd := range commands {
		together := 1
		if v.classic {
			together = max(1, len(cmd.Args))
		}
		for args := range slices.Chunk(cmd.Args, together) {
			if err := v.take(args); err != nil {
				return fmt.Errorf("reading the Dockerfile: line %d: %w", line(cmd.Location()), err)
			}
		}
	}
	return nil
}

// take expands the defaults of ARGs, and then sets all of them.
func (v *variables) take(args []instructions.KeyValuePairOptional) error {
	type result struct {
		value      string
		known, any bool
	}
	results := make([]result, len(args))
	for i, arg := range args {
		given, ok := v.args[arg.Key]
		if !ok && arg.Value == nil {
			continue
		}
		if !ok {
			var err error
			if given, ok, err = v.byDefault(*arg.Value); err != nil {
				return fmt.Errorf("ARG %s: %w", arg.Key, err)
			}
		}
		results[i] = result{given, ok && len(given) <= maxWord, true}
	}
	for i, arg := range args {
		v.declared[arg.Key] = true
		if results[i].any {
			v.set(arg.Key, results[i].value, results[i].known)
		}
	}
	return nil
}

// set notes a value, or that there is one which is not known.
func (v *variables) set(name, value string, known bool) {
	v.unknown[name] = !known
	if known {
		v.values[name] = value
		return
	}
	delete(v.values, name)
}

// byDefault is the value of an ARG that is not given, if it can be told.
func (v *variables) byDefault(word string) (string, bool, error) {
	if involved(word) {
		return "", false, nil
	}
	value, missing, err := v.process(word)
	return value, len(missing) == 0, err
}

// expand puts in the values of variables. One without a value is an error: the
// builder would take it for nothing, but who builds may give another.
func (v *variables) expand(word string) (string, error) {
	if involved(word) {
		return "", errors.New("too long or involved for an image's name")
	}
	value, missing, err := v.process(word)
	if err != nil {
		return "", fmt.Errorf("%w: see whether --build-arg NAME=VALUE is missing", err)
	}
	if len(missing) == 0 {
		return value, nil
	}
	name := missing[0]
	if !v.declared[name] {
		return "", fmt.Errorf("no ARG before the first FROM declares %s: add one", name)
	}
	return "", fmt.Errorf("the value of ARG %s cannot be told: give it with --build-arg %s=VALUE", name, name)
}

// process puts in values, and names the variables whose lack of one matters.
func (v *variables) process(word string) (value string, missing []string, err error) {
	got, err := v.lex.ProcessWordWithMatches(word, v.values)
	if err != nil {
		return "", nil, err
	}
	value = got.Result
	for _, name := range slices.Sorted(maps.Keys(got.Unmatched)) {
		if v.unknown[name] { // it has a value, so no "-" in the word helps
			return value, []string{name}, nil
		}
	}
	guess := maps.Clone(v.values)
	for _, name := range bare(word) {
		if _, unset := got.Unmatched[name]; unset && v.mayHave(name) {
			missing = append(missing, name)
			guess[name] = "x"
		}
	}
	// In "${A:-$B}" it does not matter what B is if A has a value.
	if got, err := v.lex.ProcessWordWithMatches(word, guess); err == nil && got.Result == value {
		missing = nil
	}
	return value, missing, nil
}

// replacement begins "${NAME/PATTERN/TEXT}". One within another makes a text
// that grows with every level.
var replacement = regexp.MustCompile(`\$\{(?:[\pL\p{Nd}_]*|[-@*#?$!])/`)

// involved reports whether a word is more than an image's name has reason for.
func involved(word string) bool {
	return len(word) > maxWord || len(replacement.FindAllString(word, 2)) > 1
}

// use finds the uses of variables, and whether "-" or "+" tells what holds for
// one without a value.
var use = regexp.MustCompile(`\$(?:\{([\pL\p{Nd}_]+)(:?[-+])?|([\pL\p{Nd}_]+))`)

// bare lists the variables that stand in a word without such a provision.
func bare(word string) []string {
	var names []string
	for _, found := range use.FindAllStringSubmatch(word, -1) {
		if name := found[1] + found[3]; found[2] == "" {
			names = append(names, name)
		}
	}
	return names
}
