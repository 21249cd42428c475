package dockerfile

import (
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestClassicBuilder has what the classic builder uses besides, or instead.
func TestClassicBuilder(t *testing.T) {
	t.Parallel()
	const good = "1 FROM a.io/good:latest"
	for name, test := range map[string]struct {
		file string
		args map[string]string
		want []string
	}{
		"here-document of a script": {
			file: "FROM a.io/good\nRUN <<EOF\nset -e\nFROM a.io/evil\nCOPY --from=a.io/evil / /\nEOF\nRUN ls",
			want: []string{good},
		},
		"here-document of a Dockerfile": {
			file: "FROM a.io/good\nCOPY <<EOF /Dockerfile\nFROM a.io/other\nRUN ls\nEOF",
			want: []string{good},
		},
		"here-document that ends in an instruction": {
			file: "FROM a.io/good\nRUN <<\"RUN true\"\nFROM a.io/evil AS x\nCOPY --from=a.io/worse / /\nFROM x\nCOPY --from=x / /\nRUN true\n",
			want: []string{good, "3 FROM (classic builder) a.io/evil:latest", "4 COPY --from (classic builder) a.io/worse:latest"},
		},
		"here-document that ends in a comment": {
			file: "FROM a.io/good\nRUN <<\"#\"\nFROM a.io/evil\n#\n",
			want: []string{good, "3 FROM (classic builder) a.io/evil:latest"},
		},
		"here-document whose end is continued": {
			file: "FROM a.io/good\nRUN <<E\nFROM a.io/evil\nRUN ls \\\nE\n",
			want: []string{good, "3 FROM (classic builder) a.io/evil:latest"},
		},
		"here-document within one": {
			file: "FROM a.io/good\nRUN <<\"RUN true\"\nCOPY --from=a.io/evil <<X /x\nONBUILD COPY --from=a.io/worse <<X <<Y /x\nRUN true\n",
			want: []string{good, "3 COPY --from (classic builder) a.io/evil:latest", "4 ONBUILD COPY --from (classic builder) a.io/worse:latest"},
		},
		"stage that a here-document shadows": {
			file: "FROM a.io/good\nRUN <<\"FROM a.io/good AS x\"\nFROM a.io/good AS x\nFROM a.io/evil AS y\nCOPY --from=x / /\n",
			want: []string{good, "4 FROM a.io/evil:latest", "5 COPY --from docker.io/library/x:latest"},
		},
		"here-document that cannot be told": {
			file: "FROM a.io/good\nRUN <<\"RUN true\"\nCOPY --from=a.io/evil x <<EOF\nRUN true\n",
			want: []string{good, "3 instruction (classic builder) COPY: from here on the classic builder reads the file otherwise than BuildKit, and what it uses cannot be told: write it so that both read the same: reading the Dockerfile: line 3: COPY cannot accept a heredoc as a destination"},
		},
		"directive that is new": {
			file: "# check=skip=all\n# escape=`\nFROM a.io/good\nRUN true `\nFROM a.io/evil\n",
			want: []string{"3 FROM a.io/good:latest", "5 FROM (classic builder) a.io/evil:latest"},
		},
		"directive behind a space that is new": {
			file: "#\u00a0escape=`\nFROM a.io/good\nRUN true `\nFROM a.io/evil\n",
			want: []string{"2 FROM a.io/good:latest", "4 FROM (classic builder) a.io/evil:latest"},
		},
		"flag behind an escape": {
			file: "# escape=`\nFROM a.io/good\nCOPY --chown=0` --from=a.io/evil /x /x\n",
			want: []string{"2 FROM a.io/good:latest", "3 COPY --from (classic builder) a.io/evil:latest"},
		},
		"two carriage returns": {
			file: "FROM a.io/good\nRUN true \\\r\r\nFROM a.io/evil\n",
			want: []string{good, "3 FROM (classic builder) a.io/evil:latest"},
		},
		"no values for the platform": {
			file: "ARG TARGETARCH\nFROM a.io/${TARGETOS:-evil}${TARGETARCH:+good}\nFROM a.io/x:1-$TARGETARCH\nFROM a.io/x-$TARGETARCH\nFROM a.io/x-$TARGETARCH",
			want: []string{
				"2 FROM a.io/linuxgood:latest", "2 FROM (classic builder) a.io/evil:latest",
				"3 FROM a.io/x:1-" + runtime.GOARCH, "3 FROM (classic builder) a.io/x:1-",
				"4 FROM a.io/x-" + runtime.GOARCH + ":latest", "5 FROM a.io/x-" + runtime.GOARCH + ":latest",
			},
		},
		"platform, declared and given": {
			file: "ARG TARGETARCH\nFROM a.io/x:1-$TARGETARCH",
			args: map[string]string{"TARGETARCH": "arm64"},
			want: []string{"2 FROM a.io/x:1-arm64"},
		},
		"platform, given but not declared": {
			file: "FROM a.io/x:1$TARGETARCH",
			args: map[string]string{"TARGETARCH": "arm64"},
			want: []string{"1 FROM a.io/x:1arm64", "1 FROM (classic builder) a.io/x:1"},
		},
		"image by its ID": {
			file: "FROM ${TARGETOS:+a.io/good}${TARGETOS:-" + digest[7:] + "}",
			want: []string{"1 FROM a.io/goodlinux:latest", "1 FROM (classic builder) ${TARGETOS:+a.io/good}${TARGETOS:-" + digest[7:] + "}: \"" + digest[7:] + "\" is the ID of an image, which says nothing of where it is from: name the image: invalid repository name (" + digest[7:] + "), cannot specify 64-byte hexadecimal strings"},
		},
		"ARG beside the one it needs": {
			file: "ARG A=a.io/good B=${A:-a.io/evil}\nFROM $B",
			want: []string{"2 FROM a.io/good:latest", "2 FROM (classic builder) a.io/evil:latest"},
		},
		"ARG that only BuildKit can expand": {
			file: "ARG A=${TARGETOS:?must-be-set}\nFROM a.io/$A$TARGETARCH",
			want: []string{"2 FROM a.io/linux" + runtime.GOARCH + ":latest"},
		},
		"proxy, not declared": {
			file: "FROM ${http_proxy:-a.io/good}",
			args: map[string]string{"http_proxy": "a.io/evil"},
			want: []string{good, "1 FROM (classic builder) a.io/evil:latest"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bases, err := Bases(strings.NewReader(test.file), test.args, "")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, showAll(bases)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
