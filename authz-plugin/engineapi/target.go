package engineapi

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/docker-stig/docker-stig/shared/engine"
)

// A Target is what a request is aimed at.
type Target struct {
	Route Route
	Name  string // what the pattern's first variable matched
	query string // as it was sent
}

// Parse finds the route that a request takes through the engine. The engine
// reports the URI as the client sent it: percent-encoded, and perhaps in
// absolute form. An error means that the URI does not parse; a route that is
// not in the table is Unknown.
func Parse(method, uri string) (Target, error) {
	u, err := url.ParseRequestURI(uri) // as net/http reads a request line
	if err != nil {
		return Target{}, engine.Refuse("malformed-request", "the request's address %q does not parse", engine.Clip(uri))
	}
	path := unversioned(u.Path)
	for _, route := range compiled[method] {
		if name, ok := route.match(path); ok {
			return Target{Route: route.Route, Name: name, query: u.RawQuery}, nil
		}
	}
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return Target{Route: Route{Method: method, Use: Pass}}, nil
	}
	return Target{Route: Route{Method: method, Pattern: engine.Clip(path)}}, nil
}

// unversioned cuts the optional "/v1.41" that moby's router puts in front of
// every pattern as "/v{version:[0-9.]+}".
func unversioned(path string) string {
	rest, ok := strings.CutPrefix(path, "/v")
	if !ok {
		return path
	}
	end := strings.IndexByte(rest, '/')
	if end < 1 || strings.Trim(rest[:end], "0123456789.") != "" {
		return path
	}
	return rest[end:]
}

type compiledRoute struct {
	Route
	prefix string         // the literal before the first variable
	suffix string         // the literal after the last: most paths end elsewhere
	expr   *regexp.Regexp // nil: the prefix is all
}

var compiled = compileRoutes(routes)

// compileRoutes gives the rows of each method, in their order.
func compileRoutes(table []Route) map[string][]*compiledRoute {
	rows := map[string][]*compiledRoute{}
	for _, route := range table {
		prefix, _, variable := strings.Cut(route.Pattern, "{")
		row := &compiledRoute{Route: route, prefix: prefix}
		if variable {
			row.expr = patternRegexp(route.Pattern)
			row.suffix = route.Pattern[strings.LastIndexByte(route.Pattern, '}')+1:]
		}
		rows[route.Method] = append(rows[route.Method], row)
	}
	return rows
}

var variable = regexp.MustCompile(`\{[a-z]+(?::([^}]+))?\}`)

// patternRegexp reads a pattern as gorilla/mux does: {name:expr} matches
// expr, {name} one path segment.
func patternRegexp(pattern string) *regexp.Regexp {
	var expr strings.Builder
	expr.WriteString("^")
	end := 0
	for _, m := range variable.FindAllStringSubmatchIndex(pattern, -1) {
		expr.WriteString(regexp.QuoteMeta(pattern[end:m[0]]))
		class := `[^/]+`
		if m[2] >= 0 {
			class = pattern[m[2]:m[3]]
		}
		fmt.Fprintf(&expr, "(%s)", class)
		end = m[1]
	}
	expr.WriteString(regexp.QuoteMeta(pattern[end:]))
	expr.WriteString("$")
	return regexp.MustCompile(expr.String())
}

func (r *compiledRoute) match(path string) (name string, ok bool) {
	if !strings.HasPrefix(path, r.prefix) {
		return "", false
	}
	if r.expr == nil {
		return "", path == r.prefix
	}
	if !strings.HasSuffix(path, r.suffix) {
		return "", false
	}
	m := r.expr.FindStringSubmatch(path)
	if m == nil {
		return "", false
	}
	return m[1], true
}

// param gives a query parameter that stands there at most once. The engine
// takes the first of several, other readers the last: such a request is not
// to be guessed at.
func (t Target) param(key string) (string, error) {
	values, err := url.ParseQuery(t.query)
	if err != nil {
		return "", engine.Refuse("malformed-request", "the request's parameters do not parse: %v", err)
	}
	if len(values[key]) > 1 {
		return "", engine.Refuse("malformed-request", "the parameter %q is given %d times", key, len(values[key]))
	}
	return values.Get(key), nil
}

// objectName is what moby allows as a name or ID of a container or service.
// An alias "container/alias" made by --link would do for moby, too; but what
// it means changes when its parents are renamed, so here it does not.
var objectName = regexp.MustCompile(`^/?[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)

// object gives the container or service a path names.
func (t Target) object(kind string) (string, error) {
	if !objectName.MatchString(t.Name) {
		return "", engine.Refuse("malformed-request", "%q cannot be the name of a %s", engine.Clip(t.Name), kind)
	}
	return strings.TrimPrefix(t.Name, "/"), nil
}

// CreateName is the name that a create asks for, "" if none.
func (t Target) CreateName() (string, error) {
	name, err := t.param("name")
	if err != nil || name == "" {
		return "", err
	}
	if !objectName.MatchString(name) {
		return "", engine.Refuse("malformed-request", "%q cannot be the name of a container", engine.Clip(name))
	}
	return strings.TrimPrefix(name, "/"), nil
}
