// Package contract holds the attacks of trusttest.Contract against a real
// Notary server, through a proxy in the attacker's hands. The verifier is the
// one that the programs have, made from a policy file.
package contract

import (
	"encoding/json"
	"testing"

	"github.com/theupdateframework/notary/tuf/data"

	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
	"github.com/docker-stig/docker-stig/shared/trust/trusttest"
	"github.com/docker-stig/docker-stig/tests/testbed"
)

func TestContract(t *testing.T) {
	t.Parallel()
	bed := testbed.Start(t, testbed.Docker)
	trusttest.Contract(t, func(tb testing.TB) trusttest.Backend {
		tb.Helper()
		return spied{Proxy: trusttest.NewProxy(tb, bed.NotaryURL(), bed.CA()), server: bed.NotaryURL(), ca: bed.CA()}
	}, byPolicy)
}

// A spied server is a real one behind a proxy. Publishers go round that.
type spied struct {
	*trusttest.Proxy
	server, ca string
}

func (s spied) NewRepository(tb testing.TB, gun data.GUN) trusttest.Publisher {
	tb.Helper()
	s.Watch(gun)
	return newPublisher(tb, gun, s.server, s.ca)
}

// byPolicy makes the verifier of a policy file.
func byPolicy(tb testing.TB, s trusttest.Site) trust.Verifier {
	tb.Helper()
	const host = "registry.example.com"
	repository := string(s.GUN)
	sections := map[string]any{
		"content-trust": map[string]any{
			"mode":          "enforced",
			"trust-pinning": map[string]any{"root-keys": map[string][]string{repository: s.RootKeys}},
		},
		"notary": map[string]any{
			"servers": map[string][]string{host: s.Servers},
			"ca":      map[string]string{host: s.CA},
			"timeout": s.Timeout.String(),
		},
	}
	if len(s.Signers) > 0 {
		sections["signers"] = map[string][]string{repository: s.Signers}
	}
	if len(s.SignerKeys) > 0 {
		sections["signer-keys"] = s.SignerKeys
	}
	raw, err := json.Marshal(sections)
	if err != nil {
		tb.Fatal(err)
	}
	parsed, err := policy.Parse("policy.json", raw)
	if err != nil {
		tb.Fatalf("%v in %s", err, raw)
	}
	return policy.NewVerifier(parsed, policy.Options{Now: s.Now, StateDir: s.Cache})
}
