package notary_test

import (
	"context"
	"testing"

	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/notary"
	"github.com/docker-stig/docker-stig/shared/trust/trusttest"
)

// TestContract tries the attacks on the server in memory. tests/contract
// tries them on a real one.
func TestContract(t *testing.T) {
	t.Parallel()
	trusttest.Contract(t, trusttest.Memory, newScoped)
}

// A scoped verifier has the one scope that a site's policy would give it.
type scoped struct {
	*notary.Verifier
	scope notary.Scope
}

func newScoped(_ testing.TB, s trusttest.Site) trust.Verifier {
	return scoped{
		Verifier: notary.New(notary.Options{Now: s.Now, CacheDir: s.Cache, Timeout: s.Timeout}),
		scope: notary.Scope{
			Pattern: string(s.GUN), RootKeys: s.RootKeys, Signers: s.Signers, SignerKeys: s.SignerKeys, Servers: s.Servers, CA: s.CA,
		},
	}
}

func (s scoped) Verify(ctx context.Context, q trust.Question) (trust.Signed, error) {
	return s.Verifier.Verify(ctx, q, s.scope)
}
