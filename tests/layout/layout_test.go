// Package layout holds the imports of the module against its plan: the folders
// stand on a page, the two programs beside each other above what they share,
// and an import points down that page. It decides nothing about what a package
// does; it reads `go list` and knows no Go syntax.
package layout

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const module = "github.com/docker-stig/docker-stig/"

// page is the plan, from top to bottom. A package may import those that stand
// in a line below its own.
var page = [][]string{
	{"cli-plugin/cmd/docker-stig", "authz-plugin/cmd/docker-stig-authz", "packaging/man"},
	{"cli-plugin/command", "authz-plugin/authz"},
	{"cli-plugin/remedy"},
	{"cli-plugin/report", "cli-plugin/enforce", "authz-plugin/engineapi", "authz-plugin/guard"},
	{"cli-plugin/scan", "authz-plugin/audit", "authz-plugin/metrics"},
	{"cli-plugin/benchmark"},
	{"cli-plugin/rules"},
	{"cli-plugin/rerun"},
	{"cli-plugin/remedy/documents"},
	{"cli-plugin/remedy/transaction"},
	{"cli-plugin/remedy/engine"},
	{"cli-plugin/host", "cli-plugin/change", "cli-plugin/dockerfile"},
	{"cli-plugin/host/ucp", "cli-plugin/host/dtr", "cli-plugin/host/audit", "cli-plugin/host/packages", "cli-plugin/host/daemon"},
	{"cli-plugin/host/mgmt", "cli-plugin/host/process", "cli-plugin/signing"},
	{"cli-plugin/site"},
	{"cli-plugin/change/systemd"},
	{"cli-plugin/change/disk", "cli-plugin/change/jsonedit", "cli-plugin/change/program"},
	{"shared/admission"},
	{"shared/protect"},
	{"shared/trust/policy"},
	{"shared/trust/bundle"},
	{"shared/trust/notary", "shared/trust/cosign"},
	{"shared/trust/access", "shared/trust/manifests"},
	{"shared/engine"},
	{"shared/trust"},
	{"shared/record"},
	{"shared/stig"},
}

// never lists what would point down the page and is wrong all the same. Each
// entry holds for the folder and what lies below it.
var never = []struct{ from, to, why string }{
	{"cli-plugin", "authz-plugin", "the two programs meet in shared"},
	{"authz-plugin", "cli-plugin", "the two programs meet in shared"},
	{"shared/trust", "shared/stig", "a verifier knows no STIG"},
	{"cli-plugin/rules", "shared/trust/notary", "a rule knows no signature scheme: it is handed a trust.Verifier"},
	{"cli-plugin/rules", "shared/trust/cosign", "a rule knows no signature scheme: it is handed a trust.Verifier"},
	{"cli-plugin/rules", "shared/trust/policy", "the command reads the policy and hands a trust.Verifier down"},
}

// A pkg is what `go list -json` says of a package.
type pkg struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

func TestImportsPointDownThePage(t *testing.T) {
	t.Parallel()
	pkgs, err := list(t)
	if err != nil {
		t.Fatalf("reading the module's imports: %v", err)
	}
	if len(pkgs) < len(page)/2 {
		t.Fatalf("go list names %d packages only: the rest of this test would prove little", len(pkgs))
	}
	for _, fault := range faults(pkgs) {
		t.Error(fault)
	}
}

// list asks the go command for every package of the module.
func list(t *testing.T) ([]pkg, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = "../.."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, stderr.String())
	}
	var pkgs []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs, nil
		} else if err != nil {
			return nil, err
		}
		pkgs = append(pkgs, p)
	}
}

// faults says what is wrong with the imports of pkgs. A test is held to its
// package's place, and may import support besides.
func faults(pkgs []pkg) []string {
	var found []string
	for _, p := range pkgs {
		from := strings.TrimPrefix(p.ImportPath, module)
		if !isSupport(from) && place(from) < 0 {
			found = append(found, from+" has no place: add it to page in tests/layout/layout_test.go, above what it imports and below what imports it")
			continue
		}
		tests := slices.Concat(p.TestImports, p.XTestImports)
		tests = slices.DeleteFunc(tests, func(path string) bool {
			return path == p.ImportPath || isSupport(strings.TrimPrefix(path, module))
		})
		imports := slices.Concat(p.Imports, tests)
		slices.Sort(imports)
		for _, path := range slices.Compact(imports) {
			to, ours := strings.CutPrefix(path, module)
			if !ours {
				continue
			}
			if fault := judge(from, to); fault != "" {
				found = append(found, fmt.Sprintf("%s imports %s: %s", from, to, fault))
			}
		}
	}
	return found
}

// judge says what is wrong with an import, or nothing.
func judge(from, to string) string {
	if isSupport(from) {
		return ""
	}
	if isSupport(to) {
		return "only tests may"
	}
	for _, n := range never {
		if within(from, n.from) && within(to, n.to) {
			return n.why
		}
	}
	if there := place(to); there >= 0 && there <= place(from) {
		return "imports point down the page, and it does not stand below"
	}
	return ""
}

// place is the line of the page on which a package stands, or -1.
func place(path string) int {
	return slices.IndexFunc(page, func(line []string) bool { return slices.Contains(line, path) })
}

// isSupport reports whether a package serves tests: it lies in tests/, or its
// name ends in test, as httptest's does. Such a package may import everything,
// and nothing but tests and its like may import it.
func isSupport(path string) bool {
	return within(path, "tests") || strings.HasSuffix(path, "test")
}

func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

func TestFaults(t *testing.T) {
	t.Parallel()
	ours := func(paths ...string) []string {
		for i := range paths {
			paths[i] = module + paths[i]
		}
		return paths
	}
	cases := map[string]struct {
		pkg  pkg
		want []string
	}{
		"down": {
			pkg: pkg{ImportPath: module + "cli-plugin/rules", Imports: append(ours("cli-plugin/host", "shared/trust", "shared/stig"), "fmt")},
		},
		"up": {
			pkg:  pkg{ImportPath: module + "cli-plugin/host", Imports: ours("cli-plugin/rules")},
			want: []string{"cli-plugin/host imports cli-plugin/rules: imports point down the page, and it does not stand below"},
		},
		"sideways": {
			pkg:  pkg{ImportPath: module + "shared/trust/notary", Imports: ours("shared/trust/cosign")},
			want: []string{"shared/trust/notary imports shared/trust/cosign: imports point down the page, and it does not stand below"},
		},
		"the other program, lower on the page": {
			pkg:  pkg{ImportPath: module + "authz-plugin/authz", Imports: ours("cli-plugin/host")},
			want: []string{"authz-plugin/authz imports cli-plugin/host: the two programs meet in shared"},
		},
		"a verifier that knows STIGs": {
			pkg:  pkg{ImportPath: module + "shared/trust/policy", Imports: ours("shared/stig")},
			want: []string{"shared/trust/policy imports shared/stig: a verifier knows no STIG"},
		},
		"a rule that knows a scheme": {
			pkg:  pkg{ImportPath: module + "cli-plugin/rules", Imports: ours("shared/trust/notary")},
			want: []string{"cli-plugin/rules imports shared/trust/notary: a rule knows no signature scheme: it is handed a trust.Verifier"},
		},
		"test support in a program": {
			pkg:  pkg{ImportPath: module + "cli-plugin/command", Imports: ours("tests/testbed")},
			want: []string{"cli-plugin/command imports tests/testbed: only tests may"},
		},
		"test support in a test": {
			pkg: pkg{ImportPath: module + "shared/trust/notary", TestImports: ours("shared/trust/trusttest"), XTestImports: ours("shared/trust/notary")},
		},
		"a test that points up": {
			pkg:  pkg{ImportPath: module + "shared/trust", XTestImports: ours("shared/trust/notary")},
			want: []string{"shared/trust imports shared/trust/notary: imports point down the page, and it does not stand below"},
		},
		"a package without a place": {
			pkg:  pkg{ImportPath: module + "shared/misc"},
			want: []string{"shared/misc has no place: add it to page in tests/layout/layout_test.go, above what it imports and below what imports it"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, faults([]pkg{c.pkg})); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
