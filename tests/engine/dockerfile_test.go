package engine

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docker-stig/docker-stig/cli-plugin/dockerfile"
	"github.com/docker-stig/docker-stig/tests/testbed"
)

// TestClassicBuilder builds files that the classic builder reads otherwise
// than BuildKit: what it ran or copied from is among the bases.
func TestClassicBuilder(t *testing.T) {
	b := newBed(t, testbed.Docker)
	b.env = append(b.env, "DOCKER_BUILDKIT=0")
	good := b.must(t)(b.UnsignedImage(t.Context(), "good:1")).Ref
	evil := b.must(t)(b.UnsignedImage(t.Context(), "evil:1")).Ref
	if out := b.docker(t, "tag", evil, "scratch"); out.code != 0 {
		t.Fatal(out.stderr)
	}
	for name, test := range map[string]struct {
		file, target string
		refused      bool   // by the builder, before it does anything
		name         string // of EVIL, if another than it has in the registry
	}{
		"stages above the target":     {file: "FROM EVIL AS one\nRUN echo EVIL RAN\nFROM GOOD AS b\n", target: "b"},
		"here-document":               {file: "FROM GOOD\nRUN <<\"RUN true\"\nFROM EVIL\nRUN echo EVIL RAN\nRUN true\n"},
		"here-document of a script":   {file: "FROM GOOD\nRUN <<E\nset -e\nFROM EVIL\nRUN echo EVIL RAN\nE\n", refused: true},
		"directive that is new":       {file: "# check=skip=all\n# escape=`\nFROM GOOD\nCMD true `\nFROM EVIL\nRUN echo EVIL RAN\n"},
		"flag behind an escape":       {file: "# escape=`\nFROM GOOD\nCOPY --chown=0` --from=EVIL /bin/sh /x\nRUN echo EVIL RAN\n"},
		"two carriage returns":        {file: "FROM GOOD\nRUN true \\\r\r\nFROM EVIL\nRUN echo EVIL RAN\n"},
		"no values for the platform":  {file: "FROM EVIL${TARGETARCH:+-no}\nRUN echo EVIL RAN\n"},
		"ARG beside the one it needs": {file: "ARG A=GOOD B=${A:-EVIL}\nFROM ${B}\nRUN echo EVIL RAN\n"},
		"image with the name scratch": {file: "FROM scratch\nCOPY --from=scratch /bin /bin\nRUN echo EVIL RAN\n", name: "docker.io/library/scratch:latest"},
		"trigger on a later stage":    {file: "FROM GOOD AS a\nONBUILD COPY --from=x /bin/sh /x\nFROM EVIL AS x\nFROM a AS b\nRUN echo EVIL RAN\n", target: "b"},
	} {
		t.Run(name, func(t *testing.T) {
			file := strings.NewReplacer("GOOD", good, "EVIL RAN", "EVIL RAN", "EVIL", evil).Replace(test.file)
			bases, err := dockerfile.Bases(strings.NewReader(file), nil, test.target)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(file), 0o600); err != nil {
				t.Fatal(err)
			}
			out := b.docker(t, "build", "--no-cache", "--network", "none", "--target", test.target, dir)
			ran := strings.Contains("\n"+out.stdout, "\nEVIL RAN\n")
			if ran == test.refused || test.refused == (out.code == 0) {
				t.Errorf("ran it: %v, want %v; exit code %d\n%s%s", ran, !test.refused, out.code, out.stdout, out.stderr)
			}
			want := cmp.Or(test.name, evil)
			reported := slices.ContainsFunc(bases, func(base dockerfile.Base) bool { return base.Ref != nil && base.Ref.String() == want })
			if reported == test.refused {
				t.Errorf("reported: %v, want %v: %v", reported, !test.refused, bases)
			}
		})
	}
}
