package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// large is the index of a tenth of a large site, which has 5,000 repositories:
// each with four manifests and as many tags.
func large() *index {
	x := &index{SchemaVersion: schemaVersion, MinVersion: minVersion}
	for i := range 500 {
		gun := fmt.Sprintf("registry.example.com:5000/platform/team-%02d/service-%04d", i%40, i)
		folder := "trust/" + gun + "/_trust/tuf/"
		sum := digest.FromString(gun).Encoded()
		row := repository{GUN: gun, Roots: []file{{Version: 1, Path: folder + "1.root.json", Size: 2500, SHA256: sum}}}
		for _, role := range []string{"snapshot", "targets", "targets/alice", "targets/releases", "timestamp"} {
			row.Roles = append(row.Roles, file{Role: role, Path: folder + role + ".json", Size: 1500, SHA256: sum})
		}
		x.Repositories = append(x.Repositories, row)
		for j := range 4 {
			d := digest.FromString(fmt.Sprint(gun, j))
			x.Manifests = append(x.Manifests, file{MediaType: "application/vnd.oci.image.manifest.v1+json", Path: blobPath(d), Size: 2345, SHA256: d.Encoded()})
			x.Images = append(x.Images, image{Name: fmt.Sprintf("%s:v1.2.%d", gun, j), Digest: d})
		}
	}
	return x
}

func encoded(t *testing.T, x *index) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := x.encode(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestEncode holds the writer that keeps nothing against the one of
// encoding/json, and the reader against both.
func TestEncode(t *testing.T) {
	t.Parallel()
	site := large()
	for name, x := range map[string]*index{
		"a site":       site,
		"with blobs":   {SchemaVersion: schemaVersion, Repositories: site.Repositories[:2], Manifests: site.Manifests[:2], Images: site.Images[:2], Blobs: site.Manifests[:3]},
		"empty lists":  {SchemaVersion: schemaVersion, MinVersion: minVersion, Repositories: []repository{}, Manifests: []file{}, Images: []image{}},
		"no role":      {SchemaVersion: schemaVersion, Repositories: []repository{{GUN: "a.b/c", Roots: site.Repositories[0].Roots, Roles: []file{}}}, Manifests: []file{}, Images: []image{}},
		"of one entry": {SchemaVersion: schemaVersion, Repositories: site.Repositories[:1], Manifests: site.Manifests[:1], Images: site.Images[:1]},
	} {
		got := encoded(t, x)
		want, err := json.MarshalIndent(x, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, append(want, '\n')) {
			t.Errorf("%s: encode writes something else than json.MarshalIndent", name)
		}
		if 10*len(got) > maxIndex*4/5 {
			t.Errorf("%s: the index of a whole site has about %d bytes, and %d are read", name, 10*len(got), maxIndex)
		}
		read, err := parseIndex(got)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := read.compare(got); err != nil {
			t.Errorf("%s: what is read again differs: %v", name, err)
		}
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	x := &index{SchemaVersion: schemaVersion, MinVersion: minVersion}
	good := string(encoded(t, x))
	for raw, want := range map[string]string{
		good + " ":                             "from line 8 on",
		good[:len(good)-1]:                     "from line 7 on",
		"":                                     "from line 1 on",
		strings.Replace(good, "1", "2", 1):     "from line 2 on",
		strings.Replace(good, "\n", "\r\n", 1): "from line 1 on",
	} {
		if err := x.compare([]byte(raw)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("compare with %q gives the error %v, want one with %q", raw, err, want)
		}
	}
	if err := x.encode(brokenPipe{}); !errors.Is(err, errBroken) {
		t.Errorf("encode gives the error %v", err)
	}
}

var errBroken = errors.New("broken pipe")

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errBroken }

// FuzzIndex holds what is accepted against encoding/json.
func FuzzIndex(f *testing.F) {
	x := large()
	x.Repositories, x.Manifests, x.Images, x.Blobs = x.Repositories[:2], x.Manifests[:2], x.Images[:2], x.Manifests[:1]
	var out bytes.Buffer
	if err := x.encode(&out); err != nil {
		f.Fatal(err)
	}
	f.Add(out.Bytes())
	f.Add([]byte(`{"schemaVersion":1,"manifests":[{}],"blobs":[null]}`))
	f.Add([]byte(`{"schemaVersion":1,"repositories":[{"roots":[],"roots":[{"path":"a"}]}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := parseIndex(raw)
		if err != nil {
			return
		}
		if n := bytes.Count(raw, []byte("null")) + bytes.Count(raw, []byte("{")); len(got.metadata())+len(got.Blobs)+len(got.Images)+len(got.Repositories) > n {
			t.Errorf("there are more entries than the %d that stand there", n)
		}
		var other index
		if err := json.Unmarshal(raw, &other); err != nil {
			t.Fatalf("encoding/json does not read it: %v", err)
		}
		if got.compare(raw) == nil && other.compare(raw) != nil {
			t.Errorf("two readers disagree: %+v and %+v", *got, other)
		}
	})
}
