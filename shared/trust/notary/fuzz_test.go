package notary_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust/notary"
	"github.com/docker-stig/docker-stig/shared/trust/trusttest"
)

// FuzzRepository changes one file of a repository and leaves the others: what
// comes of it is a refusal in plain words, or what was signed.
func FuzzRepository(f *testing.F) {
	server := trusttest.NewNotary(f)
	repo := server.NewRepository(f, gun)
	repo.Delegate("targets/releases")
	repo.Delegate("targets/alice")
	repo.Sign("v1", good, "targets/releases", "targets/alice")
	repo.Publish()
	scope := notary.Scope{Pattern: gun, RootKeys: []string{repo.RootKeyID()}, Servers: []string{server.URL}, CA: server.CA}
	v := notary.New(notary.Options{Now: time.Now})
	copied, _, err := v.Copy(f.Context(), named(gun), scope)
	if err != nil {
		f.Fatal(err)
	}
	files := []string{"root", "timestamp", "snapshot", "targets", "targets/releases", "targets/alice"}
	for i, name := range files {
		raw := copied.Roles[name]
		if name == "root" {
			raw = copied.Roots[0]
		}
		f.Add(uint8(i), raw)
		f.Add(uint8(i), []byte(`{"signed":{},"signatures":[null]}`))
	}
	f.Fuzz(func(t *testing.T, which uint8, raw []byte) {
		spoiled := notary.Copy{GUN: gun, Roots: slices.Clone(copied.Roots), Roles: map[string][]byte{}}
		for name, raw := range copied.Roles {
			spoiled.Roles[name] = raw
		}
		if name := files[int(which)%len(files)]; name == "root" {
			spoiled.Roots[0] = raw
		} else {
			spoiled.Roles[name] = raw
		}
		found, err := v.Check(t.Context(), named(gun), scope, spoiled)
		if err != nil {
			if strings.Contains(err.Error(), "cannot be read") {
				t.Fatalf("it broke the reader: %v", err)
			}
			return
		}
		for _, tag := range found.Tags {
			if tag.Err == nil && tag.Signed.Digest != good {
				t.Fatalf("vouched for %s under %s", tag.Signed.Digest, tag.Name)
			}
		}
	})
}
