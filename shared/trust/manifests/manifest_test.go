package manifests_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/docker-stig/docker-stig/shared/trust/manifests"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	ociConfig    = ocispec.MediaTypeImageConfig
	dockerConfig = "application/vnd.docker.container.image.v1+json"
)

// config is the digest of the configuration of an image called name.
func config(name string) digest.Digest { return digest.FromString("config of " + name) }

func layer(name string) digest.Digest { return digest.FromString("layer of " + name) }

func descriptor(mediaType string, d digest.Digest) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":7}`, mediaType, d)
}

// image is an OCI manifest.
func image(name string) []byte {
	return manifest(descriptor(ociConfig, config(name)), descriptor(ocispec.MediaTypeImageLayerGzip, layer(name)))
}

func manifest(config, layers string) []byte {
	return fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s]}`, ocispec.MediaTypeImageManifest, config, layers)
}

// list is a Docker list of documents, or of what is no document at all.
func list(documents ...[]byte) []byte {
	var entries []string
	for _, raw := range documents {
		mediaType := ocispec.MediaTypeImageManifest
		if m, err := manifests.Parse(raw); err == nil {
			mediaType = m.MediaType
		}
		entries = append(entries, descriptor(mediaType, digest.FromBytes(raw)))
	}
	return listOf(entries...)
}

func listOf(entries ...string) []byte {
	return fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, manifests.DockerList, strings.Join(entries, ","))
}

func TestParse(t *testing.T) {
	t.Parallel()
	c, l := descriptor(ociConfig, config("a")), descriptor(ocispec.MediaTypeImageLayer, layer("a"))
	cases := map[string]struct {
		raw  string
		list bool
		err  string // in it; "": none
	}{
		"manifest":                 {raw: string(image("a"))},
		"list":                     {raw: string(list(image("a"))), list: true},
		"OCI without media type":   {raw: `{"schemaVersion":2,"config":` + c + `,"layers":[` + l + `]}`},
		"index without media type": {raw: `{"schemaVersion":2,"manifests":[]}`, list: true},
		"image without layers":     {raw: `{"schemaVersion":2,"config":` + c + `,"layers":null}`},
		"annotations by case":      {raw: `{"schemaVersion":2,"manifests":[],"annotations":{"config":"a","Config":"b"}}`, list: true},

		"manifest and list":         {raw: `{"schemaVersion":2,"config":` + c + `,"layers":[],"manifests":[]}`, err: "at once"},
		"list with null layers":     {raw: `{"schemaVersion":2,"layers":null,"manifests":[]}`, err: "at once"},
		"config only":               {raw: `{"schemaVersion":2,"config":` + c + `}`, err: "neither"},
		"list called manifest":      {raw: `{"schemaVersion":2,"mediaType":"` + manifests.DockerManifest + `","manifests":[]}`, err: "calls itself"},
		"manifest called list":      {raw: `{"schemaVersion":2,"mediaType":"` + manifests.DockerList + `","config":` + c + `,"layers":[]}`, err: "calls itself"},
		"member twice":              {raw: `{"schemaVersion":2,"config":` + c + `,"config":` + c + `,"layers":[]}`, err: "stands twice"},
		"member twice, escaped":     {raw: `{"schemaVersion":2,"config":` + c + `,"conf\u0069g":` + c + `,"layers":[]}`, err: "stands twice"},
		"digest twice":              {raw: `{"schemaVersion":2,"config":` + strings.Replace(c, `{`, `{"digest":"x",`, 1) + `,"layers":[]}`, err: "stands twice"},
		"other case":                {raw: `{"schemaVersion":2,"config":` + c + `,"Config":` + c + `,"layers":[]}`, err: `"Config" would be taken for "config"`},
		"other case, of Unicode":    {raw: `{"schemaVersion":2,"manifeſts":[],"config":` + c + `,"layers":[]}`, err: "would be taken for"},
		"other case in descriptor":  {raw: `{"schemaVersion":2,"config":` + strings.Replace(c, `{`, `{"Digest":"x",`, 1) + `,"layers":[]}`, err: "would be taken for"},
		"other case in platform":    {raw: `{"schemaVersion":2,"manifests":[{"platform":{"OS":"linux"}}]}`, err: "would be taken for"},
		"schema 1":                  {raw: `{"schemaVersion":1,"fsLayers":[]}`, err: "schema 1"},
		"schema 1 and 2":            {raw: `{"schemaVersion":2,"fsLayers":[],"config":` + c + `,"layers":[]}`, err: "schema 1"},
		"no version":                {raw: `{"config":` + c + `,"layers":[]}`, err: "schemaVersion is 0"},
		"version 2.0":               {raw: `{"schemaVersion":2.0,"manifests":[]}`, err: "reading a manifest"},
		"data behind":               {raw: string(image("a")) + "{}", err: "behind"},
		"no object":                 {raw: `[]`, err: "no JSON object"},
		"nothing":                   {raw: ``, err: "no JSON object"},
		"broken off":                {raw: string(image("a")[:60]), err: "EOF"},
		"not UTF-8":                 {raw: "{\"a\":\"\xff\"}", err: "UTF-8"},
		"nested":                    {raw: `{"a":` + strings.Repeat("[", 50) + strings.Repeat("]", 50) + `}`, err: "nested"},
		"sha512":                    {raw: `{"schemaVersion":2,"config":` + descriptor(ociConfig, digest.SHA512.FromString("")) + `,"layers":[]}`, err: "no sha256"},
		"digest with a path":        {raw: `{"schemaVersion":2,"config":{"mediaType":"a","digest":"sha256:../../etc/passwd","size":1},"layers":[]}`, err: "no sha256"},
		"digest in upper case":      {raw: `{"schemaVersion":2,"config":` + descriptor(ociConfig, digest.Digest("sha256:"+strings.ToUpper(config("a").Encoded()))) + `,"layers":[]}`, err: "no sha256"},
		"negative size":             {raw: `{"schemaVersion":2,"config":` + strings.Replace(c, "7}", "-7}", 1) + `,"layers":[]}`, err: "size"},
		"null entry":                {raw: `{"schemaVersion":2,"manifests":[null]}`, err: "no sha256"},
		"entry without media type":  {raw: string(listOf(descriptor("", config("a")))), err: "without a media type"},
		"more entries than read":    {raw: string(listOf(strings.Split(strings.Repeat(c+"|", 1025), "|")[:1025]...)), err: "more than the 1024 descriptors"},
		"as many as are read":       {raw: string(listOf(strings.Split(strings.Repeat(c+"|", 1024), "|")[:1024]...)), list: true},
		"more layers than read":     {raw: `{"schemaVersion":2,"config":` + c + `,"layers":[` + strings.Repeat("null,", 1024) + `null]}`, err: "more than the 1024 descriptors"},
		"more values than read":     {raw: `{"schemaVersion":2,"manifests":[],"annotations":[` + strings.Repeat("[],", 1<<16) + `[]]}`, err: "more than the 65536 values"},
		"longer than a registry's":  {raw: `{"a":"` + strings.Repeat("a", manifests.MaxSize) + `"}`, err: "4 MiB"},
		"artifact of an old schema": {raw: `{"mediaType":"application/vnd.oci.artifact.manifest.v1+json","schemaVersion":2,"blobs":[]}`, err: "neither"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := manifests.Parse([]byte(c.raw))
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Fatalf("Parse gives the error %v, want one with %q", err, c.err)
			}
			if m.IsList() != c.list {
				t.Errorf("IsList is %v", m.IsList())
			}
		})
	}
}

// TestParseMemory holds that four megabytes become no more than some tens, in
// whatever form they come.
func TestParseMemory(t *testing.T) {
	fill := func(head, element, tail string) []byte {
		return []byte(head + strings.Repeat(element, (manifests.MaxSize-len(head)-len(tail))/len(element)) + tail)
	}
	var annotations, members strings.Builder
	for i := range 65_000 {
		fmt.Fprintf(&annotations, `"%050d":"",`, i)
	}
	for i := range 350_000 {
		fmt.Fprintf(&members, `"%x":0,`, i)
	}
	honest := strings.Repeat(`{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"`+config("a").String()+
		`","size":1234,"platform":{"architecture":"arm64","os":"linux","variant":"v8"},"annotations":{"a":"b","c":"d"}},`, 999)
	cases := map[string]struct {
		raw  []byte
		most uint64 // bytes that may be allocated
		ok   bool
	}{
		"layers":        {raw: fill(`{"schemaVersion":2,"config":{},"layers":[`, "{},", "{}]}"), most: 1 << 20},
		"entries":       {raw: fill(`{"schemaVersion":2,"manifests":[`, "null,", "null]}"), most: 1 << 20},
		"in a subject":  {raw: fill(`{"schemaVersion":2,"manifests":[],"subject":[`, "[],", "[]]}"), most: 1 << 20},
		"addresses":     {raw: fill(`{"schemaVersion":2,"config":{"urls":[`, `"",`, `""]},"layers":[]}`), most: 8 << 20},
		"elsewhere":     {raw: fill(`{"schemaVersion":2,"manifests":[],"x":[`, "{},", "{}]}"), most: 8 << 20},
		"depth":         {raw: fill(`{"schemaVersion":2,"manifests":[],"x":`, "[", "}"), most: 1 << 20},
		"members":       {raw: []byte("{" + members.String() + `"z":0}`), most: 32 << 20},
		"annotations":   {raw: []byte(`{"schemaVersion":2,"manifests":[{"mediaType":"a","digest":"` + config("a").String() + `","size":1,"annotations":{` + annotations.String() + `"z":""}}]}`), most: 64 << 20, ok: true},
		"data":          {raw: fill(`{"schemaVersion":2,"manifests":[{"mediaType":"a","digest":"`+config("a").String()+`","size":1,"data":"`, "AAAA", `"}]}`), most: 64 << 20, ok: true},
		"an honest one": {raw: []byte(`{"schemaVersion":2,"manifests":[` + strings.TrimSuffix(honest, ",") + `]}`), most: 8 << 20, ok: true},
	}
	for name, c := range cases {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := manifests.Parse(c.raw)
		runtime.ReadMemStats(&after)
		if (err == nil) != c.ok {
			t.Errorf("%s: Parse gives the error %v", name, err)
		}
		got := after.TotalAlloc - before.TotalAlloc
		t.Logf("%s: %d KiB for %d KiB: %v", name, got>>10, len(c.raw)>>10, err)
		if got > c.most {
			t.Errorf("%s: %d KiB are allocated for %d KiB, %d may be", name, got>>10, len(c.raw)>>10, c.most>>10)
		}
	}
}

// FuzzParse holds what is accepted against a reader that tells names apart by
// their case and takes the first of two equal members as well as the last.
func FuzzParse(f *testing.F) {
	f.Add(image("a"))
	f.Add(list(image("a"), image("b")))
	f.Add([]byte(`{"schemaVersion":2,"config":{"digest":"x"},"Config":{},"layers":[],"manifeſts":[]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := manifests.Parse(raw)
		if err != nil {
			return
		}
		var exact map[string]json.RawMessage
		if err := json.Unmarshal(raw, &exact); err != nil {
			t.Fatal(err)
		}
		want := map[string][]string{"config": nil, "layers": nil, "manifests": nil}
		for _, d := range append([]ocispec.Descriptor{}, m.Layers...) {
			want["layers"] = append(want["layers"], d.Digest.String())
		}
		for _, d := range m.Manifests {
			want["manifests"] = append(want["manifests"], d.Digest.String())
		}
		if !m.IsList() {
			want["config"] = []string{m.Config.Digest.String()}
		}
		got := map[string][]string{"config": nil, "layers": nil, "manifests": nil}
		for name := range got {
			got[name] = digests(t, exact[name])
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("two readers disagree (-Parse +other):\n%s", diff)
		}
	})
}

// digests reads the digests of one descriptor or a list of them.
func digests(t *testing.T, raw json.RawMessage) []string {
	t.Helper()
	if len(raw) == 0 {
		return nil
	}
	var all []map[string]any
	if raw[0] == '{' {
		all = make([]map[string]any, 1)
		if err := json.Unmarshal(raw, &all[0]); err != nil {
			t.Fatal(err)
		}
	} else if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, d := range all {
		text, _ := d["digest"].(string)
		found = append(found, text)
	}
	return found
}
