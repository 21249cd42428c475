package packages

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseFingerprint(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want, err string }{
		{"9DC858229FC7DD38854AE2D88D81803C0EBFCD88", "9DC858229FC7DD38854AE2D88D81803C0EBFCD88", ""},
		{"9dc8 5822 9fc7 dd38 854a  e2d8 8d81 803c 0ebf cd88", "9DC858229FC7DD38854AE2D88D81803C0EBFCD88", ""},
		{"0x9DC858229FC7DD38854AE2D88D81803C0EBFCD88", "9DC858229FC7DD38854AE2D88D81803C0EBFCD88", ""},
		{"0EBFCD88", "", "short key ID"},
		{"8D81803C0EBFCD88", "", "short key ID"},
		{"", "", "short key ID"},
		{"docker", "", "no key fingerprint"},
		{strings.Repeat("9D", 32), "", "too long"},
	} {
		got, err := ParseFingerprint(c.text)
		if string(got) != c.want || (err == nil) != (c.err == "") || (err != nil && !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%q: got %q, %v; want %q, %q", c.text, got, err, c.want, c.err)
		}
	}
}

// TestVendorKeys holds the table to its own rules.
func TestVendorKeys(t *testing.T) {
	t.Parallel()
	known, err := newKnownKeys([]string{"060A61C51B558A7F742B77AAC52FEB6B621E9F35"})
	must(t, err)
	for _, k := range vendorKeys {
		if f, err := ParseFingerprint(string(k.Fingerprint)); err != nil || f != k.Fingerprint || k.Owner == "" || k.Product == "" || k.Source == "" {
			t.Errorf("%+v: %v", k, err)
		}
		other := map[Format]Format{Deb: RPM, RPM: Deb}[k.Format]
		_, own := known.recognize([]signer{{primary: "00"}, {primary: k.Fingerprint}}, k.Format)
		_, crossed := known.recognize([]signer{{primary: k.Fingerprint}}, other)
		approved := k.Fingerprint == "060A61C51B558A7F742B77AAC52FEB6B621E9F35" // and so counts for both formats
		if !own || crossed != approved {
			t.Errorf("%s: counts for its format: %v, for the other: %v", k.Fingerprint, own, crossed)
		}
	}
}

func TestListName(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]string{
		"https://download.docker.com/linux/debian/dists/bookworm/InRelease":      "download.docker.com_linux_debian_dists_bookworm_InRelease",
		"https://user:pass@storebits.docker.com/ee/m/sub-1/ubuntu/dists/bionic/": "storebits.docker.com_ee_m_sub-1_ubuntu_dists_bionic_",
		"http://mirror.example.com:8080/~a_b/dists/x/":                           "mirror.example.com:8080_%7ea%5fb_dists_x_",
		"file:/srv/repo/./": "_srv_repo_._",
		"file:///srv/repo/": "_srv_repo_",
	} {
		if got := listName(uri); got != want {
			t.Errorf("%s: got %s, want %s", uri, got, want)
		}
	}
}

func TestParseSources(t *testing.T) {
	t.Parallel()
	simple := []source{{file: "f", uri: "http://h/d/", suite: "s", components: []string{"a", "b"}, options: map[string]string{}}}
	with := func(options map[string]string) []source {
		s := simple[0]
		s.options = options
		return []source{s}
	}
	for _, c := range []struct {
		name, list string
		want       []source
		err        string
	}{
		{"plain", "deb http://h/d s a b", simple, ""},
		{"comments and blanks", "\n # deb x\n\tdeb   http://h/d/\ts  a b # c\n", simple, ""},
		{"source packages", "deb-src http://h/d s a", nil, ""},
		{"options", "deb [ Signed-By=/k,/l arch=amd64 arch+=arm64 lang-=de ] http://h/d s a b", with(map[string]string{"signed-by": "/k,/l", "arch": "amd64,arm64"}), ""},
		{"flat", "deb cdrom:[Debian 12]/ ./", []source{{file: "f", uri: "cdrom:[Debian 12]/", suite: "./", components: []string{}, options: map[string]string{}}}, ""},
		{"no bracket", "deb [x=y http://h/d s a", nil, "f:1: the options lack"},
		{"no option", "\ndeb [trusted] http://h/d s a", nil, "f:2: \"trusted\" is no option"},
		{"no component", "deb http://h/d s", nil, "needs a component"},
		{"component of a path", "deb http://h/d s/ a", nil, "takes no component"},
		{"no suite", "deb http://h/d", nil, "needs a URI and a suite"},
		{"no source", "rpm http://h/d s a", nil, "neither deb nor deb-src"},
	} {
		got, err := parseList("f", []byte(c.list))
		checkParsed(t, c.name, got, c.want, err, c.err)
	}
	for _, c := range []struct {
		name, text string
		want       []source
		err        string
	}{
		{"plain", "Types: deb\nURIs: http://h/d\nSuites: s\nComponents: a b\n", []source{{file: "f", uri: "http://h/d/", suite: "s", components: []string{"a", "b"}, options: map[string]string{
			"types": "deb", "uris": "http://h/d", "suites": "s", "components": "a b",
		}}}, ""},
		{"disabled", "Enabled: no\nTypes: deb\nURIs: http://h/d\nSuites: s\nComponents: a\n", nil, ""},
		{"source packages", "Types: deb-src\nURIs: http://h/d\nSuites: s\nComponents: a\n", nil, ""},
		{"no URI", "Types: deb\nSuites: s\n", nil, "f, paragraph 1: a source needs URIs"},
		{"twice", "Types: deb\ntypes: deb\n", nil, "twice"},
		{"no field", "Types: deb\nURIs\n", nil, "is no field"},
		{"continued from nothing", " x\n", nil, "continuation"},
	} {
		got, err := parseSources("f", []byte(c.text))
		checkParsed(t, c.name, got, c.want, err, c.err)
	}
}

func checkParsed(t *testing.T, name string, got, want []source, err error, wantErr string) {
	t.Helper()
	if (err == nil) != (wantErr == "") || (err != nil && !strings.Contains(err.Error(), wantErr)) {
		t.Errorf("%s: got error %v, want %q", name, err, wantErr)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(source{})); diff != "" {
		t.Errorf("%s: %s", name, diff)
	}
}

func TestPlainField(t *testing.T) {
	t.Parallel()
	for a, b := range map[string]string{
		"libc6 (>= 2.34), a|b":    "Libc6 (>=2.34),\n a | b",
		"docker.io (<= 1.5~)":     "docker.io (< 1.5~)",
		"docker.io (<< 1.5~)":     "docker.io(<<1.5~)",
		"x (>> 1), y (= 2:1) [a]": "x (>>1), y (=2:1) [a]",
	} {
		if plainField(a) != plainField(b) {
			t.Errorf("%q and %q: %q, %q", a, b, plainField(a), plainField(b))
		}
	}
	if plainField("a (<< 1)") == plainField("a (<= 1)") {
		t.Error("strictly earlier is not earlier or equal")
	}
}

func TestParagraphs(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 200<<10) // longer than the reader's buffer
	p := newParagraphReader(strings.NewReader("\n\nA: 1\n b\r\n \t\nB: " + long + "\n\n\nC: 3"))
	for _, want := range []string{"A: 1\n b\r\n", "B: " + long + "\n", "C: 3"} {
		got, err := p.next()
		if err != nil || string(got) != want {
			t.Errorf("got %.40q, %v; want %.40q", got, err, want)
		}
	}
	if _, err := p.next(); !errors.Is(err, io.EOF) {
		t.Errorf("got %v at the end", err)
	}
	p = newParagraphReader(io.LimitReader(endless{}, 2*maxParagraph))
	if _, err := p.next(); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("a paragraph without end: %v", err)
	}
}

// endless is the letter x for ever.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestBoundedReader(t *testing.T) {
	t.Parallel()
	_, err := io.Copy(io.Discard, &boundedReader{ctx: t.Context(), r: endless{}, left: 1 << 20, what: "it"})
	if err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("without end: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := io.Copy(io.Discard, &boundedReader{ctx: ctx, r: endless{}, left: 1 << 20}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestCompressions(t *testing.T) {
	need(t, "gzip", "xz", "bzip2", "zstd", "lz4")
	var text bytes.Buffer
	for i := range 300_000 { // some matches near, some 64 KiB back, some bytes that match nothing
		text.WriteString([]string{"Package: a", "docker\n", strings.Repeat("z", i%40), string(rune(33 + i*i%90))}[i%4])
	}
	plain := filepath.Join(t.TempDir(), "plain")
	write(t, plain, text.String())
	for _, command := range []string{
		"cat", "gzip -c", "xz -c", "bzip2 -c", "zstd -qc -19",
		"lz4 -c -B4", "lz4 -c -B7 -BX", "lz4 -c -BD", "lz4 -c -9 -BD -B5", "lz4 -c --content-size", "lz4 -c --no-frame-crc",
		"sh -c 'lz4 -c; printf \"\\120\\052\\115\\030\\003\\000\\000\\000abc\"'",
	} {
		out := plain + ".out"
		sh(t, nil, "sh", "-c", command+" <"+plain+" >"+out)
		file, err := os.Open(out)
		must(t, err)
		r, err := decompress(file)
		must(t, err)
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, text.Bytes()) {
			t.Errorf("%s: %d of %d bytes, %v", command, len(got), text.Len(), err)
		}
		must(t, file.Close())
	}
}

func TestRPMHeaderLimits(t *testing.T) {
	t.Parallel()
	for name, blob := range map[string]string{
		"empty":            "",
		"too short":        "\x00\x00\x00\x01\x00\x00\x00\x00",
		"too many entries": "\xff\xff\xff\xff\x00\x00\x00\x00",
		"bytes behind":     "\x00\x00\x00\x00\x00\x00\x00\x00x",
		"a field twice":    "\x00\x00\x00\x02\x00\x00\x00\x00" + strings.Repeat("\x00\x00\x03\xe8\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00\x01", 2),
	} {
		if _, err := parseRPMHeader([]byte(blob)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestLimited: what rpm writes is bounded also where io.Copy writes it.
func TestLimited(t *testing.T) {
	t.Parallel()
	var l limited
	n, err := io.Copy(&l, io.LimitReader(endless{}, maxRPMAnswer+1))
	if err == nil || n > maxRPMAnswer {
		t.Errorf("kept %d bytes, %v", n, err)
	}
}
