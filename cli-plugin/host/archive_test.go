package host

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"strings"
	"testing"

	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/opencontainers/go-digest"
)

// pack makes a tar archive of names and contents, given by turns.
func pack(t *testing.T, zipped bool, entries ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	writer := tar.NewWriter(&out)
	for i := 0; i < len(entries); i += 2 {
		if err := writer.WriteHeader(&tar.Header{Name: entries[i], Size: int64(len(entries[i+1])), Mode: 0o600}); err != nil {
			t.Fatal(err)
		}
		if _, err := writer.Write([]byte(entries[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	if !zipped {
		return out.Bytes()
	}
	var small bytes.Buffer
	compressor := gzip.NewWriter(&small)
	_, _ = compressor.Write(out.Bytes())
	_ = compressor.Close()
	return small.Bytes()
}

func index(t *testing.T, name string, manifest digest.Digest) string {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"manifests": []any{map[string]any{
		"digest": manifest, "annotations": map[string]string{imageNameAnnotation: name},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestReadArchive(t *testing.T) {
	t.Parallel()
	const blob = `{"schemaVersion":2}`
	manifest := digest.FromString(blob)
	const legacy = `[{"Config":"1111111111111111111111111111111111111111111111111111111111111111.json","RepoTags":["docker/ucp:3.2.1"]}]`
	oci := []string{"blobs/sha256/" + manifest.Encoded(), blob, "index.json", index(t, "docker.io/docker/ucp:3.2.1", manifest), "manifest.json", legacy}
	for name, test := range map[string]struct {
		archive []byte
		want    trust.Content // of docker/ucp:3.2.1; zero: an error
		err     string
	}{
		"OCI layout": {archive: pack(t, false, oci...), want: trust.Content{ID: manifest, Store: trust.ContainerdStore}},
		"compressed": {archive: pack(t, true, oci...), want: trust.Content{ID: manifest, Store: trust.ContainerdStore}},
		"old engine": {archive: pack(t, false, "manifest.json", legacy), want: trust.Content{ID: "sha256:1111111111111111111111111111111111111111111111111111111111111111"}},
		"index names a blob that is not there": {
			archive: pack(t, false, "index.json", oci[3], "manifest.json", legacy),
			want:    trust.Content{ID: "sha256:1111111111111111111111111111111111111111111111111111111111111111"},
		},
		"changed blob":     {archive: pack(t, false, oci[0], `{"schemaVersion":3}`), err: "was changed"},
		"no archive":       {archive: []byte("hello"), err: "no tar archive"},
		"empty":            {archive: pack(t, false), err: "holds no image"},
		"cut off":          {archive: pack(t, false, oci...)[:520], err: "cut off"},
		"index is no JSON": {archive: pack(t, false, "index.json", "{"), err: "no JSON"},
		"endless index":    {archive: pack(t, false, "index.json", strings.Repeat(" ", maxArchiveIndex+1)), err: "larger than"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			images, err := readArchive(bytes.NewReader(test.archive))
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("got %v, want %q", err, test.err)
				}
				return
			}
			if err != nil || len(images) != 1 {
				t.Fatalf("got %v, %v", images, err)
			}
			got := images[0]
			if got.String() != "docker.io/docker/ucp:3.2.1" || got.Content.ID != test.want.ID || got.Content.Store != test.want.Store {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func FuzzReadArchive(f *testing.F) {
	f.Add([]byte{0x1f, 0x8b})
	f.Add([]byte("index.json"))
	f.Fuzz(func(_ *testing.T, raw []byte) {
		_, _ = readArchive(bytes.NewReader(raw)) // must neither panic nor hang
	})
}
