package trust_test

import (
	"testing"

	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/opencontainers/go-digest"
)

// FuzzContent reads what an engine says of an image: whatever it is, content
// is only what its store vouches for.
func FuzzContent(f *testing.F) {
	signed := digest.FromString("signed")
	f.Add(string(signed), "localhost:5000/app@"+string(signed), uint8(0))
	f.Add("sha256:", "app@sha256:", uint8(1))
	f.Add("", "@", uint8(2))
	stores := []trust.Store{trust.UnknownStore, trust.GraphdriverStore, trust.ContainerdStore}
	f.Fuzz(func(t *testing.T, id, repoDigest string, store uint8) {
		content := trust.Content{ID: digest.Digest(id), Store: stores[int(store)%len(stores)], RepoDigests: []string{repoDigest}}
		is := content.Is(signed)
		switch content.Store {
		case trust.UnknownStore:
			if is {
				t.Error("an unknown store proved something")
			}
		case trust.ContainerdStore:
			if is != (id == string(signed)) {
				t.Errorf("a containerd store's image %q counts as signed: %t", id, is)
			}
		case trust.GraphdriverStore:
			if is && len(repoDigest) < len(signed) {
				t.Errorf("%q counts as signed", repoDigest)
			}
		}
	})
}
