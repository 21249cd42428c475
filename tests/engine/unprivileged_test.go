package engine

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/docker-stig/docker-stig/shared/stig"
	"github.com/docker-stig/docker-stig/tests/testbed"
)

// nobody is the user of that name everywhere.
const nobody = "65534"

// asNobody drops what root has.
func asNobody() []string {
	return []string{"setpriv", "--reuid", nobody, "--regid", nobody, "--clear-groups", "--inh-caps=-all", "--"}
}

// adds is the line about root on standard error.
var adds = regexp.MustCompile(`(?m)^docker stig: run as root to decide (\d+) more: (.+)$`)

// TestUnprivileged checks as somebody who may ask the engine, and look at no
// more of the host than anybody.
func TestUnprivileged(t *testing.T) {
	for _, engine := range []testbed.Engine{testbed.Docker, testbed.Moby} {
		t.Run(string(engine), func(t *testing.T) {
			b := newBed(t, engine)
			image := b.must(t)(b.UnsignedImage(t.Context(), "shop:1")).Ref
			b.tell(t, "create", "--name", "plain", "--network", "none", image, "true")
			socket := strings.TrimPrefix(b.variable("DOCKER_HOST"), "unix://")
			for name, mode := range map[string]os.FileMode{programs: 0o755, b.Dir(): 0o755, b.variable("DOCKER_CONFIG"): 0o755, socket: 0o666} {
				if err := os.Chmod(name, mode); err != nil {
					t.Fatal(err)
				}
			}
			root, home := b.check(t, nil, nil), []string{"HOME=/nonexistent"}
			if adds.MatchString(root.stderr) {
				t.Errorf("root is told to be root: %s", root.stderr)
			}
			t.Run("may ask the engine", func(t *testing.T) {
				got := b.check(t, home, asNobody())
				named := got.addsAsRoot(t)
				for _, id := range slices.Sorted(maps.Keys(root.rows)) {
					r, want := got.rows[id], root.rows[id].Status
					switch {
					case r.Status == want:
					case r.Status != stig.NotReviewed:
						t.Errorf("%s is %v, and %v for root: %s", id, r.Status, want, r.Details)
					case !slices.Contains(named, id):
						t.Errorf("%s is %v for root, and the line does not name it: %s", id, want, r.Details)
					}
				}
				if got.rows["V-235806"].Status != stig.Open { // limits of a container
					t.Errorf("containers are not judged: %+v", got.rows["V-235806"])
				}
			})
			t.Run("may not ask it", func(t *testing.T) {
				if err := os.Chmod(socket, 0o600); err != nil {
					t.Fatal(err)
				}
				got := b.check(t, home, asNobody())
				for id, r := range got.rows {
					if r.Status == stig.Open || r.Status == stig.NotAFinding && !r.fromHost() {
						t.Errorf("%s is %v, and the engine did not answer: %s", id, r.Status, r.Details)
					}
				}
			})
		})
	}
}

// addsAsRoot reads which rows root could decide: they are named once, on one
// line.
func (l list) addsAsRoot(t *testing.T) []string {
	t.Helper()
	lines := adds.FindAllStringSubmatch(l.stderr, -1)
	if len(lines) != 1 {
		t.Fatalf("%d lines say what root adds:\n%s", len(lines), l.stderr)
	}
	named := strings.Split(lines[0][2], ", ")
	for _, id := range named {
		if l.rows[id].Status != stig.NotReviewed {
			t.Errorf("%s is named, and it is %v", id, l.rows[id].Status)
		}
	}
	return named
}
