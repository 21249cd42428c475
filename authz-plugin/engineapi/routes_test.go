package engineapi

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// mobyRouters is where the routes of the newest engine are written down.
const mobyRouters = "github.com/moby/moby/v2@v2.0.0-beta.24/daemon/server/router"

// registrars are the functions of moby's package router that take a route's
// path first, by method.
var registrars = map[string]string{
	"NewPostRoute": http.MethodPost, "NewPutRoute": http.MethodPut, "NewDeleteRoute": http.MethodDelete,
	"NewGetRoute": http.MethodGet, "NewHeadRoute": http.MethodHead, "NewOptionsRoute": http.MethodOptions,
}

// A route that moby has and our table lacks fails here, rather than at a site.
func TestTableHasEveryRouteOfMoby(t *testing.T) {
	t.Parallel()
	root := filepath.Join(moduleCache(t), filepath.FromSlash(mobyRouters))
	if _, err := os.Stat(root); err != nil {
		why := fmt.Sprintf("moby's sources are not in the module cache (go mod download github.com/moby/moby/v2@v2.0.0-beta.24): %v", err)
		if os.Getenv("STIG_REQUIRE_ENGINE") == "1" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	have := map[string]bool{}
	for _, route := range Routes() {
		have[route.Method+" "+route.Pattern] = true
	}
	reading, changing := 0, 0
	for _, route := range mobyRoutes(t, root) {
		switch method, _, _ := strings.Cut(route, " "); method {
		case http.MethodGet, http.MethodHead, http.MethodOptions:
			reading++
		default:
			changing++
			if !have[route] {
				t.Errorf("moby has %s, and the table does not", route)
			}
		}
	}
	if reading < 50 || changing < 60 {
		t.Fatalf("only %d reading and %d changing routes were found: moby writes them in another way now", reading, changing)
	}
}

func moduleCache(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("GOMODCACHE"); dir != "" {
		return dir
	}
	gopath := os.Getenv("GOPATH")
	if gopath == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			t.Skipf("no module cache: %v", err)
		}
		gopath = filepath.Join(home, "go")
	}
	return filepath.Join(gopath, "pkg", "mod")
}

// mobyRoutes finds the calls that register routes.
func mobyRoutes(t *testing.T, root string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			function, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if function.Sel.Name == "NewRoute" {
				t.Errorf("%s registers a route by NewRoute, which this test does not read", path)
			}
			if method, ok := registrars[function.Sel.Name]; ok {
				found = append(found, method+" "+literal(t, path, call.Args[0]))
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func literal(t *testing.T, path string, arg ast.Expr) string {
	t.Helper()
	lit, ok := arg.(*ast.BasicLit)
	if !ok {
		t.Errorf("%s registers a route whose path is not written out", path)
		return ""
	}
	text, err := strconv.Unquote(lit.Value)
	if err != nil {
		t.Errorf("%s: %v", path, err)
	}
	return text
}

// Two rows that match one path must agree, for moby takes the one that was
// registered first; or the one that we take first must be the stricter one.
func TestRoutesDoNotContradictEachOther(t *testing.T) {
	t.Parallel()
	fill := strings.NewReplacer("{name:.*}", "a", "{id:.*}", "a", "{name}", "a", "{id}", "a", "{checkpoint}", "a")
	seen := map[string]bool{}
	for _, route := range Routes() {
		if key := route.Method + " " + route.Pattern; seen[key] {
			t.Errorf("%s stands twice", key)
		} else {
			seen[key] = true
		}
		if route.Use == Unknown {
			t.Errorf("%s %s has no use", route.Method, route.Pattern)
		}
		path := fill.Replace(route.Pattern)
		first, err := Parse(route.Method, path)
		if err != nil || (first.Route.Use != route.Use && route.Use != Pass) {
			t.Errorf("%s %s is taken for %s, with another use (%v)", route.Method, path, first.Route.Pattern, err)
		}
	}
}
