package dockerfile

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/distribution/reference"
	"github.com/google/go-cmp/cmp"
)

// show writes a base in one line: where, how, and what it is or why not.
func show(b Base) string {
	if b.Err != nil {
		return fmt.Sprintf("%d %s %s: %v", b.Line, b.How, b.Text, b.Err)
	}
	return fmt.Sprintf("%d %s %s", b.Line, b.How, b.Ref)
}

func showAll(bases []Base) []string {
	var lines []string
	for _, b := range bases {
		lines = append(lines, show(b))
	}
	return lines
}

const digest = "sha256:84ca6e4400000000000000000000000000000000000000000000000000000000"

func TestBases(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		file   string
		args   map[string]string
		target string
		want   []string
	}{
		"short name":     {file: "FROM alpine", want: []string{"1 FROM docker.io/library/alpine:latest"}},
		"tag and digest": {file: "FROM a.io/x:1@" + digest, want: []string{"1 FROM a.io/x@" + digest}},
		"platform and name": {
			file: "\n# c\nFROM --platform=$BUILDPLATFORM golang:1.26 AS build\nFROM build",
			want: []string{"3 FROM docker.io/library/golang:1.26"},
		},
		"scratch": {
			file: "FROM scratch\nCOPY --from=scratch / /\nRUN --mount=from=scratch ls\nCOPY x /",
			want: []string{"2 COPY --from (classic builder) docker.io/library/scratch:latest"},
		},
		"stages by name and number": {
			file: "FROM a.io/x AS one\nFROM one as Two\nCOPY --from=0 / /\nCOPY --from=TWO / /\nFROM scratch\nCOPY --from=tWo / /\nRUN --mount=type=bind,from=One,target=/x ls",
			want: []string{"1 FROM a.io/x:latest", "4 COPY --from TWO: \"TWO\" is no image's name: invalid reference format: repository name (library/TWO) must be lowercase"},
		},
		"a stage below is not meant": {
			file: "FROM scratch\nCOPY --from=later / /\nFROM a.io/x AS later",
			want: []string{"2 COPY --from docker.io/library/later:latest", "3 FROM a.io/x:latest"},
		},
		"a stage named scratch":  {file: "FROM a.io/x AS scratch\nFROM scratch", want: []string{"1 FROM a.io/x:latest"}},
		"another case in a FROM": {file: "FROM a.io/x AS one\nFROM ONE", want: []string{"1 FROM a.io/x:latest", "2 FROM ONE: \"ONE\" is no image's name: invalid reference format: repository name (library/ONE) must be lowercase"}},
		"copied and mounted": {
			file: "FROM scratch\nCOPY --chown=1:1 --from=a.io/x:1 / /\nADD https://a.io/x /\nRUN --mount=type=cache,target=/c,from=a.io/c \\\n  --mount=from=a.io/y --mount=type=secret,id=x \\\n  make\nRUN ls --mount=from=a.io/no",
			want: []string{"2 COPY --from a.io/x:1", "4 RUN --mount=from a.io/c:latest", "4 RUN --mount=from a.io/y:latest"},
		},
		"heredocs": {
			file: "FROM scratch\nRUN <<EOF\nFROM no\nCOPY --from=no / /\nEOF\nCOPY <<-\"E2\" /x\n\tFROM no\n\tE2\nFROM a.io/x",
			want: []string{"9 FROM a.io/x:latest"},
		},
		"triggers": {
			file: "FROM a.io/x AS one\nFROM one\nONBUILD COPY --from=one / /\nonbuild copy --from=a.io/y / /\nONBUILD RUN --mount=from=a.io/z ls\nONBUILD RUN ls",
			want: []string{"1 FROM a.io/x:latest", "4 ONBUILD COPY --from a.io/y:latest", "5 ONBUILD RUN --mount=from a.io/z:latest"},
		},
		"syntax":                  {file: "# syntax = docker/dockerfile:1.7 \nFROM scratch", want: []string{"1 # syntax docker.io/docker/dockerfile:1.7"}},
		"syntax, not first":       {file: "# a comment\n# syntax=docker/dockerfile:1\nFROM scratch"},
		"syntax, overruled":       {file: "# syntax=docker/dockerfile:1\nFROM scratch", args: map[string]string{"BUILDKIT_SYNTAX": "a.io/f x"}, want: []string{"0 --build-arg BUILDKIT_SYNTAX a.io/f:latest"}},
		"BOM and CRLF":            {file: "\xef\xbb\xbf# syntax=a.io/f\r\n# escape=`\r\nFROM `\r\n  a.io/x `\r\n  AS one\r\nCOPY --from=a.io/y / /\r\n", want: []string{"1 # syntax a.io/f:latest", "3 FROM a.io/x:latest", "6 COPY --from a.io/y:latest"}},
		"default":                 {file: "ARG TAG=3\nARG IMAGE=\"alpine:$TAG\"\nFROM ${IMAGE}", want: []string{"3 FROM docker.io/library/alpine:3"}},
		"given":                   {file: "ARG TAG=3\nARG IMAGE=alpine:$TAG\nFROM $IMAGE", args: map[string]string{"TAG": "4"}, want: []string{"3 FROM docker.io/library/alpine:4"}},
		"empty by default":        {file: "ARG REGISTRY=\nFROM ${REGISTRY}alpine:3", want: []string{"2 FROM docker.io/library/alpine:3"}},
		"declared without":        {file: "ARG TAG\nFROM alpine:$TAG", want: []string{"2 FROM alpine:$TAG: the value of ARG TAG cannot be told: give it with --build-arg TAG=VALUE"}},
		"no name, but one is":     {file: "ARG REGISTRY\nFROM ${REGISTRY}alpine", want: []string{"2 FROM ${REGISTRY}alpine: the value of ARG REGISTRY cannot be told: give it with --build-arg REGISTRY=VALUE"}},
		"rests on another":        {file: "ARG TAG\nARG IMAGE=alpine:$TAG\nFROM $IMAGE", want: []string{"3 FROM $IMAGE: the value of ARG IMAGE cannot be told: give it with --build-arg IMAGE=VALUE"}},
		"not known, provided for": {file: "ARG TAG\nARG IMAGE=a.io/evil:$TAG\nFROM ${IMAGE:-good}", want: []string{"3 FROM ${IMAGE:-good}: the value of ARG IMAGE cannot be told: give it with --build-arg IMAGE=VALUE"}},
		"known after all":         {file: "ARG TAG\nARG IMAGE=x:$TAG\nARG IMAGE=y\nFROM $IMAGE", want: []string{"4 FROM docker.io/library/y:latest"}},
		"not declared":            {file: "FROM alpine:$TAG\nARG TAG=1", args: map[string]string{"TAG": "4"}, want: []string{"1 FROM alpine:$TAG: no ARG before the first FROM declares TAG: add one"}},
		"provided for":            {file: "ARG A\nARG B\nARG C=c\nARG D\nFROM a.io/${A:-x}${B+y}/${C:-$D}", want: []string{"5 FROM a.io/x/c:latest"}},
		"must be given":           {file: "ARG A\nFROM a.io/${A:?say-which}", want: []string{"2 FROM a.io/${A:?say-which}: failed to process \"a.io/${A:?say-which}\": A: say-which: see whether --build-arg NAME=VALUE is missing"}},
		"platform":                {file: "ARG TARGETARCH\nFROM a.io/$TARGETOS-$TARGETARCH-$BUILDARCH:$TARGETSTAGE", want: []string{"2 FROM a.io/linux-" + runtime.GOARCH + "-" + runtime.GOARCH + ":default"}},
		"platform, given":         {file: "FROM a.io/x:$TARGETARCH", args: map[string]string{"TARGETARCH": "riscv64"}, want: []string{"1 FROM a.io/x:riscv64"}},
		"variable in COPY":        {file: "ARG X=a\nFROM scratch\nCOPY --from=$X / /", want: []string{"3 COPY --from $X: COPY --from takes no variables: give the image a stage of its own, FROM $X AS NAME, and copy from that"}},
		"replaced":                {file: "ARG X=a-b-c\nARG Y=${X//-/.}\nFROM a.io/${X%%-*}:${Y}", want: []string{"3 FROM a.io/a:a.b.c"}},
		"long, and not used":      {file: "ARG X=" + strings.Repeat("x", 600) + "\nFROM a.io/x", want: []string{"2 FROM a.io/x:latest"}},
		"stage by a variable":     {file: "ARG V=b\nFROM a.io/x AS b\nFROM $V", want: []string{"2 FROM a.io/x:latest"}},
		"nothing left":            {file: "ARG X=\nFROM $X", want: []string{"2 FROM $X: \"\" is no image's name: invalid reference format"}},
		"target": {
			file:   "FROM a.io/a AS a\nFROM a.io/b AS b\nFROM a.io/c AS c\nFROM b AS Mid\nCOPY --from=2 / /\nFROM a.io/d",
			target: "MID",
			want:   []string{"1 FROM a.io/a:latest", "2 FROM a.io/b:latest", "3 FROM a.io/c:latest"},
		},
		"target, of two the lower": {
			file:   "FROM a.io/a AS x\nFROM a.io/b AS x\nFROM a.io/c",
			target: "x",
			want:   []string{"1 FROM a.io/a:latest", "2 FROM a.io/b:latest"},
		},
		"target, trigger on a stage below it": {
			file:   "FROM a.io/good AS a\nONBUILD COPY --from=y /x /x\nFROM a.io/evil AS y\nFROM a AS b\nFROM a.io/no",
			target: "b",
			want:   []string{"1 FROM a.io/good:latest", "2 ONBUILD COPY --from docker.io/library/y:latest", "3 FROM a.io/evil:latest"},
		},
		"target, cache from a stage named scratch": {
			file:   "FROM a.io/evil AS scratch\nFROM a.io/good AS b\nRUN --mount=type=cache,target=/x /x/run",
			target: "b",
			want:   []string{"1 FROM a.io/evil:latest", "2 FROM a.io/good:latest"},
		},
		"trigger on a number": {
			file: "FROM a.io/x\nONBUILD COPY --from=1 / /\nONBUILD COPY --from=7 / /",
			want: []string{"1 FROM a.io/x:latest"},
		},
		"trigger with a here-document": {
			file: "FROM a.io/x\nONBUILD RUN --mount=from=a.io/y <<EOF\nls\nEOF",
			want: []string{"1 FROM a.io/x:latest", "2 ONBUILD RUN --mount=from a.io/y:latest"},
		},
		"image's ID": {
			file: "FROM " + digest[7:],
			want: []string{"1 FROM " + digest[7:] + ": \"" + digest[7:] + "\" is the ID of an image, which says nothing of where it is from: name the image: invalid repository name (" + digest[7:] + "), cannot specify 64-byte hexadecimal strings"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bases, err := Bases(strings.NewReader(test.file), test.args, test.target)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, showAll(bases)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBasesErrors(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ file, target, want string }{
		"empty":               {"", "", "no instructions"},
		"no FROM":             {"ARG X", "", "it has no FROM"},
		"before FROM":         {"RUN ls\nFROM x", "", "line 1: no build stage"},
		"no instruction":      {"FROM x\n\nFORM y", "", "line 3: unknown instruction: FORM"},
		"too many words":      {"FROM x y", "", "line 1: FROM requires either one or three arguments"},
		"open heredoc":        {"FROM x\nRUN <<EOF\nls", "", "line 2: unterminated heredoc"},
		"variable in a mount": {"FROM x\nRUN --mount=from=$X ls", "", "line 2: 'from' doesn't support variable expansion"},
		"bad default":         {"ARG X=${\nFROM x", "", "line 1: ARG X: "},
		"no such number":      {"FROM x\nCOPY --from=0 / /", "", "line 2: COPY --from=0: no stage above has that number"},
		"trigger of triggers": {"FROM x\nONBUILD ONBUILD RUN ls", "", "line 2: Chaining ONBUILD"},
		"bad trigger":         {"FROM x\nONBUILD COPY x", "", "line 2: ONBUILD: COPY requires"},
		"no such target":      {"FROM x AS a\nFROM y AS b", "c", `no stage "c": its stages are a, b`},
		"long":                {"FROM x\n" + strings.Repeat("# comment\n", 120000), "", "more than 1 MiB"},
		"long line":           {"FROM x\nRUN " + strings.Repeat("x", 1<<17), "", "line greater than max"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bases, err := Bases(strings.NewReader(test.file), nil, test.target)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got  %v, %v\nwant %s", showAll(bases), err, test.want)
			}
		})
	}
}

// TestDeepNesting: what calls itself for every level, or grows with it, is
// not let loose on a text of any length.
func TestDeepNesting(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("${/", 5000) + "\\\n"
	growing := "ARG A=" + strings.Repeat("x", 500) + "\nARG B=$A$A\nFROM "
	for name, test := range map[string]struct{ file, want string }{
		"heredoc":      {"FROM x\nRUN <<" + strings.Repeat(deep, 60), "more than 20000"},
		"value":        {growing + "$B", "the value of ARG B cannot be told"},
		"replacements": {growing + "${A//x/${A//x/${A//x/y}}}", "too long or involved"},
		"name":         {"FROM " + deep, "too long or involved"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bases, err := Bases(strings.NewReader(test.file), nil, "")
			if got := fmt.Sprint(err, showAll(bases)); !strings.Contains(got, test.want) {
				t.Errorf("got  %.200s\nwant %s", got, test.want)
			}
		})
	}
}

// FuzzBases: whatever is read, a base is either an image with a tag or a
// digest, or says why not, and stands in a line of the file. A target's bases
// are among those of the whole file.
func FuzzBases(f *testing.F) {
	f.Add([]byte("# syntax=docker/dockerfile:1\nARG TAG=3\nFROM alpine:${TAG:-4} AS one\nFROM scratch\nCOPY --from=one / /\n"), "TAG", "5", "one")
	f.Add([]byte("\xef\xbb\xbf# escape=`\r\nFROM --platform=$BUILDPLATFORM x`\r\n\r\nRUN --mount=type=cache,from=y <<-EOF <<'F'\r\nEOF\r\nF\r\n"), "", "", "")
	f.Add([]byte("FROM x\nONBUILD RUN --mount=from=y <<E\nE\nCOPY --from=0 <<E /\nE\n"), "X", "", "0")
	f.Add([]byte("FROM x\nRUN <<\"RUN true\"\nFROM y\nCOPY --from=z <<E /\nRUN true\n"), "", "", "")
	f.Add([]byte("# check=x\n# escape=`\nARG A=1 B=$A\nFROM x${TARGETOS}$B\nCOPY --chown=0` --from=scratch / /\nRUN a \\\r\r\nFROM y"), "B", "2", "")
	f.Add([]byte("// syntax=x\n{\"syntax\": \"y\"}\nARG A=${B%%x*} C=${B/y/z}\nFROM $A$C"), "B", "yyx", "")
	f.Fuzz(func(t *testing.T, raw []byte, name, value, target string) {
		args := map[string]string{name: value}
		all, err := Bases(strings.NewReader(string(raw)), args, "")
		if err != nil {
			return
		}
		lines := strings.Count(string(raw), "\n") + 1
		known := map[string]bool{}
		for _, b := range all {
			known[b.key()] = true
			if (b.Ref == nil) == (b.Err == nil) || b.How == "" || b.Line > lines || b.Line < 1 && name != syntaxArg {
				t.Errorf("%q: got %+v", raw, b)
			}
			if b.Ref != nil && reference.IsNameOnly(b.Ref) {
				t.Errorf("%q: %s has neither tag nor digest", raw, b.Ref)
			}
		}
		some, err := Bases(strings.NewReader(string(raw)), args, target)
		if err != nil || strings.Contains(string(raw), "TARGETSTAGE") {
			return
		}
		for _, b := range some {
			if !known[b.key()] {
				t.Errorf("%q: %s is needed by stage %s alone", raw, show(b), target)
			}
		}
	})
}
