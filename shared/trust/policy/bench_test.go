package policy_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
	"github.com/docker-stig/docker-stig/shared/trust/trusttest"
	"github.com/opencontainers/go-digest"
	"github.com/theupdateframework/notary/tuf/data"
)

// BenchmarkKnown is a whole answer from memory, among few known repositories
// and among many: by tag, by digest, and by the image that an engine holds.
func BenchmarkKnown(b *testing.B) {
	for _, known := range []int{1, 500} {
		v, refs, held := publish(b, known)
		for _, ref := range refs {
			if _, err := v.Verify(b.Context(), trust.Question{Ref: ref}); err != nil {
				b.Fatal(err)
			}
		}
		tagged := refs[len(refs)/2]
		digested, err := reference.WithDigest(reference.TrimNamed(tagged), held)
		if err != nil {
			b.Fatal(err)
		}
		content := trust.Content{ID: held, Store: trust.ContainerdStore}
		for name, q := range map[string]trust.Question{
			"tag":    {Ref: tagged},
			"digest": {Ref: digested},
			"image":  {Ref: tagged, Content: content},
		} {
			b.Run(fmt.Sprintf("%s of %d", name, known), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := v.Verify(b.Context(), q); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// publish signs one tag in each of n repositories, all for the same content,
// and makes a verifier that trusts them.
func publish(b *testing.B, n int) (*policy.Verifier, []reference.Named, digest.Digest) {
	b.Helper()
	server := trusttest.NewNotary(b)
	held := digest.FromString("held")
	p := &policy.Policy{}
	p.ContentTrust.TrustPinning.RootKeys = map[string][]string{}
	p.Notary.Servers = map[string][]string{"registry.example.com": {server.URL}}
	p.Notary.CA = map[string]string{"registry.example.com": server.CA}
	p.Notary.Refresh, p.Notary.Timeout = policy.Duration(time.Hour), policy.Duration(20*time.Second)
	var refs []reference.Named
	for i := range n {
		name := fmt.Sprintf("registry.example.com/prod/app%d", i)
		repo := server.NewRepository(b, data.GUN(name))
		repo.Delegate("targets/releases")
		for tag := range 10 {
			repo.Sign(fmt.Sprintf("v%d", tag), held, "targets/releases")
		}
		repo.Publish()
		p.ContentTrust.TrustPinning.RootKeys[name] = []string{repo.RootKeyID()}
		ref, err := reference.ParseNormalizedNamed(name + ":v1")
		if err != nil {
			b.Fatal(err)
		}
		refs = append(refs, ref)
	}
	return policy.NewVerifier(p, policy.Options{Now: time.Now, StateDir: b.TempDir()}), refs, held
}
