package policy

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/distribution/reference"
)

// A scopes finds the entry of a policy map that decides a repository. Its
// patterns are anchored: "*" matches within one path segment, "**" across.
type scopes[T any] struct {
	exact map[string]T
	globs []glob[T] // longest first
}

type glob[T any] struct {
	pattern string
	match   *regexp.Regexp
	value   T
}

// compile turns a policy map, whose patterns checkPatterns has accepted, into
// scopes.
func compile[T any](entries map[string]T) scopes[T] {
	s := scopes[T]{exact: make(map[string]T, len(entries))}
	for pattern, value := range entries {
		if !isGlob(pattern) {
			s.exact[pattern] = value
			continue
		}
		s.globs = append(s.globs, glob[T]{pattern, globRegexp(pattern), value})
	}
	slices.SortFunc(s.globs, func(a, b glob[T]) int {
		return cmp.Or(cmp.Compare(len(b.pattern), len(a.pattern)), cmp.Compare(a.pattern, b.pattern))
	})
	return s
}

// find gives the most specific entry for a repository's full name: the exact
// one, else the longest pattern that matches.
func (s scopes[T]) find(repository string) (pattern string, value T, ok bool) {
	if value, ok = s.exact[repository]; ok {
		return repository, value, true
	}
	for _, g := range s.globs {
		if g.match.MatchString(repository) {
			return g.pattern, g.value, true
		}
	}
	return "", value, false
}

// A Map finds, for other packages, the entry of a policy map that decides a
// repository: of a policy that Parse has accepted, by the most specific pattern.
type Map[T any] struct{ scopes scopes[T] }

// NewMap compiles the entries of a policy map.
func NewMap[T any](entries map[string]T) Map[T] { return Map[T]{compile(entries)} }

// Find gives the entry for a repository's full name.
func (m Map[T]) Find(repository string) (T, bool) {
	_, value, ok := m.scopes.find(repository)
	return value, ok
}

func isGlob(pattern string) bool { return strings.Contains(pattern, "*") }

func globRegexp(pattern string) *regexp.Regexp {
	quoted := regexp.QuoteMeta(pattern)
	quoted = strings.ReplaceAll(quoted, `\*\*`, `.*`)
	quoted = strings.ReplaceAll(quoted, `\*`, `[^/]*`)
	return regexp.MustCompile(`^(?:` + quoted + `)$`)
}

// checkPattern refuses what can match no repository's full name, such as the
// short name "alpine" for "docker.io/library/alpine".
func checkPattern(pattern string) error {
	if pattern == "**" {
		return nil
	}
	if strings.Contains(pattern, "***") {
		return fmt.Errorf("pattern %q: want \"*\" or \"**\"", pattern)
	}
	sample := strings.NewReplacer("**", "x", "*", "x").Replace(pattern)
	named, err := reference.ParseNormalizedNamed(sample)
	if err != nil {
		return fmt.Errorf("pattern %q names no repository: %w", pattern, err)
	}
	if !reference.IsNameOnly(named) {
		return fmt.Errorf("pattern %q: want a repository, without tag or digest", pattern)
	}
	if named.Name() != sample {
		full := strings.TrimSuffix(named.Name(), sample) + pattern
		return fmt.Errorf("pattern %q is not a full repository name: write %q", pattern, full)
	}
	return nil
}

// overlap reports whether some name matches both patterns. Patterns of one
// length that overlap would leave the choice between them to chance.
func overlap(a, b string) bool {
	first, second := tokens(a), tokens(b)
	reached := map[[2]int]bool{{0, 0}: true} // what a name may have matched of both
	for i := range len(first) + 1 {
		for j := range len(second) + 1 {
			if !reached[[2]int{i, j}] {
				continue
			}
			for _, step := range steps(first[i:], second[j:]) {
				reached[[2]int{i + step[0], j + step[1]}] = true
			}
		}
	}
	return reached[[2]int{len(first), len(second)}]
}

// steps are the tokens of each pattern that one more piece of a name can use
// up: a wildcard may match nothing, or what the other pattern has.
func steps(a, b []string) [][2]int {
	var list [][2]int
	if len(a) > 0 && wild(a[0]) {
		list = append(list, [2]int{1, 0})
		if len(b) > 0 && takes(a[0], b[0]) {
			list = append(list, [2]int{0, 1})
		}
	}
	if len(b) > 0 && wild(b[0]) {
		list = append(list, [2]int{0, 1})
		if len(a) > 0 && takes(b[0], a[0]) {
			list = append(list, [2]int{1, 0})
		}
	}
	if len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		list = append(list, [2]int{1, 1})
	}
	return list
}

// tokens splits a pattern into "**", "*" and single bytes.
func tokens(pattern string) []string {
	var list []string
	for pattern != "" {
		width := 1
		if strings.HasPrefix(pattern, "**") {
			width = 2
		}
		list = append(list, pattern[:width])
		pattern = pattern[width:]
	}
	return list
}

func wild(token string) bool { return token[0] == '*' }

func takes(wildcard, token string) bool { return wildcard == "**" || token != "/" }
