package engineapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/swarm"
)

func TestFoldIsThatOfEncodingJSON(t *testing.T) {
	t.Parallel()
	type field struct{ Kiss int }
	for _, key := range []string{"Kiss", "kiss", "KISS", "\u212aiss", "Ki\u017fs", "\u212ai\u017f\u017f", "K\u0131ss", "Kïss", "Kis", ""} {
		var got field
		document, err := json.Marshal(map[string]int{key: 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(document, &got); err != nil {
			t.Fatal(err)
		}
		if same := fold(key) == fold("Kiss"); same != (got.Kiss == 1) {
			t.Errorf("%q: we take it for the field: %v, encoding/json: %v", key, same, got.Kiss == 1)
		}
	}
}

func TestDuplicateKeys(t *testing.T) {
	t.Parallel()
	var many strings.Builder
	for i := range 100 {
		fmt.Fprintf(&many, `"X%d":%d,`, i, i)
	}
	tests := []struct {
		name, body string
		twice      bool
	}{
		{"none", `{"Image":"a","HostConfig":{"Binds":[]}}`, false},
		{"exact", `{"Image":"a","Image":"b"}`, true},
		{"folded", `{"Image":"a","iMAGE":"b"}`, true},
		{"escaped", `{"Image":"a","\u0049mage":"b"}`, true},
		{"unknown keys fold too", `{"Image":"a","Later":1,"later":2}`, true},
		{"in a list", `{"Image":"a","HostConfig":{"Mounts":[{"Source":"a","source":"b"}]}}`, true},
		{"in something unknown", `{"Image":"a","Later":[{"x":{"a":1,"A":2}}]}`, true},
		{"same key in two objects", `{"Image":"a","HostConfig":{"Mounts":[{"Source":"a"},{"Source":"b"}]}}`, false},
		{"map keys differ by case", `{"Image":"a","Labels":{"a":"","A":""},"Volumes":{"/a":{},"/A":{}}}`, false},
		{"map keys twice", `{"Image":"a","Labels":{"a":"","a":""}}`, true},
		{"driver options are a map", `{"Image":"a","HostConfig":{"LogConfig":{"Config":{"a":"","A":""}}}}`, false},
		{"endpoints are a map of structs", `{"Image":"a","NetworkingConfig":{"EndpointsConfig":{"n":{"Links":[],"links":[]}}}}`, true},
		{"spaces", " {\n\t\"Image\" : \"a\" , \"HostConfig\" : { } , \"Env\" : [ ] , \"image\" : \"b\" } ", true},
		{"far apart", `{"Image":"a",` + many.String() + `"x7":1}`, true},
		{"many", `{"Image":"a",` + many.String() + `"X100":1}`, false},
		{"quotes in text", `{"Image":"a","User":"\"Image\":\\","Env":["{\"Image\":1}"]}`, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := decodeCreate([]byte(test.body))
			if (err != nil) != test.twice {
				t.Fatalf("got %v", err)
			}
			if test.twice && !strings.Contains(err.Error(), "twice") {
				t.Fatalf("refused, but for another reason: %v", err)
			}
			if !test.twice && got.Image != "a" {
				t.Fatalf("image %q", got.Image)
			}
		})
	}
}

// readings are other ways to read a body; none may see another image than we.
var readings = map[string]func([]byte) (string, *container.HostConfig, error){
	"json.Unmarshal into the daemon's type": func(body []byte) (string, *container.HostConfig, error) {
		var r container.CreateRequest
		err := json.Unmarshal(body, &r)
		return imageOf(r), r.HostConfig, err
	},
	"json.Decoder, as moby's runconfig": func(body []byte) (string, *container.HostConfig, error) {
		var r container.CreateRequest
		dec := json.NewDecoder(bytes.NewReader(body))
		err := dec.Decode(&r)
		if err == nil && dec.More() {
			err = io.ErrUnexpectedEOF
		}
		return imageOf(r), r.HostConfig, err
	},
	"an old engine's type, which merges the top level": func(body []byte) (string, *container.HostConfig, error) {
		var r struct {
			*container.Config
			InnerHostConfig *container.HostConfig `json:"HostConfig,omitempty"`
			*container.HostConfig
		}
		err := json.Unmarshal(body, &r)
		got := container.CreateRequest{Config: r.Config, HostConfig: r.HostConfig}
		if r.InnerHostConfig != nil {
			got.HostConfig = r.InnerHostConfig
		}
		return imageOf(got), got.HostConfig, err
	},
}

func imageOf(r container.CreateRequest) string {
	if r.Config == nil {
		return ""
	}
	return r.Image
}

// optional are options of which nothing and zero are the same to us: they lead
// nowhere.
func optional(path cmp.Path) bool {
	return slices.Contains([]string{"Init", "OomKillDisable", "PidsLimit", "MemorySwappiness"}, strings.TrimPrefix(path.Last().String(), "."))
}

// FuzzDecodeCreate holds our reading of a create against every other reading
// we know: what we accept, all of them see alike or refuse.
func FuzzDecodeCreate(f *testing.F) {
	for _, body := range []string{
		`{"Image":"a"}`, `{"Image":"a","image":"b"}`, `{"Image":"a"} {}`, `[]`, `null`, ``, `{"\u0049mage":"x"}`,
		`{"Image":"a","HostConfig":{"Mounts":[{"Type":"image","Source":"b"}]}}`, `{"Image":"a","HostConfig":null}`, `{"Image":"a","HostConfig":[]}`,
		`{"Image":"a","HostConfig":{"Privileged":true,"MaskedPaths":[],"ReadonlyPaths":null,"CapAdd":["ALL"],"Binds":["/:/h"],"Memory":0,"Init":false}}`,
		`{"Image":"a","HostConfig":{"privileged":true,"Mas\u006bedPaths":[]},"Labels":{"Privileged":"1"}}`,
		`{"Image":"a","Mounts":[{"Type":"image","Source":"b"}]}`, "{\"Image\":\"a\",\"Ima\u0261e\":\"b\"}",
		"{\"Image\":\"a\",\"Ho\u017ftConfig\":{\"Mount\u017f\":[{\"Type\":\"image\"}]}}", `{"Image":"a\ud800"}`, "{\"Image\":\"\xff\"}",
		`{"Image":"a","HostConfig":{},"HOSTCONFIG":{"Mounts":[{}]}}`, `{"Image":"a","Config":{"Image":"b"}}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := decodeCreate(body)
		if err != nil {
			return
		}
		if got.Image == "" {
			t.Fatal("a create without an image was accepted")
		}
		for name, read := range readings {
			image, host, err := read(body)
			if err != nil {
				continue
			}
			if image != got.Image {
				t.Fatalf("%s sees image %q, we %q", name, image, got.Image)
			}
			if host == nil {
				host = &container.HostConfig{}
			}
			if diff := cmp.Diff(got.HostConfig, *host, cmpopts.EquateEmpty(), cmp.FilterPath(optional, cmp.Ignore())); diff != "" {
				t.Fatalf("%s sees another configuration (-we +they):\n%s", name, diff)
			}
			if (got.HostConfig.MaskedPaths == nil) != (host.MaskedPaths == nil) || !slices.Equal(got.HostConfig.MaskedPaths, host.MaskedPaths) {
				t.Fatalf("%s sees other masked paths", name)
			}
		}
	})
}

// FuzzDecodeService does the same for services.
func FuzzDecodeService(f *testing.F) {
	for _, body := range []string{
		`{}`, `{"TaskTemplate":{"ContainerSpec":{"Image":"a@sha256:b"}}}`, `{"TaskTemplate":{"PluginSpec":{},"Runtime":"plugin"}}`,
		`{"TaskTemplate":{},"tasktemplate":{}}`, `{"Name":"x","Networks":[{}],"Labels":{"a":"","A":""}}`, `{"TaskTemplate":{"ContainerSpec":{"Mounts":[{"Type":"image"}]}}}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := decodeService(body)
		if err != nil {
			return
		}
		var theirs swarm.ServiceSpec
		if err := json.NewDecoder(bytes.NewReader(body)).Decode(&theirs); err != nil {
			t.Fatalf("we accept what the daemon does not: %v", err)
		}
		// Engines up to API 1.24 take networks of the top level, too.
		got.TaskTemplate.Networks = got.TaskTemplate.Networks[:len(theirs.TaskTemplate.Networks)]
		if diff := cmp.Diff(got, theirs, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("the daemon sees another service (-we +they):\n%s", diff)
		}
		images, err := serviceImages(got)
		if err == nil && len(images) == 0 {
			t.Fatal("a service without an image was accepted")
		}
	})
}

// FuzzReadObject holds our grammar against that of encoding/json: what is
// refused is refused by it too, unless a key stands twice.
func FuzzReadObject(f *testing.F) {
	for _, document := range []string{
		`{}`, ` {"a":[1,-0.5e+3,{"b":null},[]],"c":{"d":true}} `, `{"a":1,}`, `{"a":[1,]}`, `{,}`, `{"a"}`, `{"a":}`, `{"a":1 "b":2}`, `{"a":1}x`,
		`{"a":01}`, `{"a":1.}`, `{"a":.1}`, `{"a":-}`, `{"a":1e}`, `{"a":+1}`, `{"a":nul}`, `{"a":truex}`, `{"a":"\u12G4"}`, `{"a":"\x"}`, `{"a":"\`, "{\"a\":\"\n\"}",
		`{"a":"b`, `{"a":{`, `{"a":[`, `{"\ud800":1,"\udbff":2}`, `{"a":[}]`, "{\"a\":1}\x00", "\x00", `{"a":0}]`, "\ufeff{}", `{"k":1,"` + "\u212a" + `":2}`,
	} {
		f.Add([]byte(document))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		err := ReadObject(document, nil, func(inside, key string, value []byte) error {
			if !json.Valid(value) || bytes.TrimSpace(value)[0] != value[0] {
				t.Errorf("the value of %q in %q is %q", key, inside, value)
			}
			return nil
		})
		begins := bytes.TrimLeft(document, " \t\r\n")
		want := utf8.Valid(document) && json.Valid(document) && begins[0] == '{'
		if want != (err == nil) && (!want || !strings.Contains(err.Error(), "twice")) {
			t.Fatalf("encoding/json takes it: %v; we: %v", want, err)
		}
	})
}

// TestNestingIsBoundAsInEncodingJSON: what is deeper than it reads is refused.
func TestNestingIsBoundAsInEncodingJSON(t *testing.T) {
	t.Parallel()
	for _, depth := range []int{maxNesting - 1, maxNesting, maxNesting + 1} {
		document := []byte(`{"a":` + strings.Repeat("[", depth-1) + strings.Repeat("]", depth-1) + `}`)
		if err := ReadObject(document, nil, nil); (err == nil) != json.Valid(document) {
			t.Errorf("%d deep: %v", depth, err)
		}
	}
}
