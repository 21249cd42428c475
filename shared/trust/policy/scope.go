package policy

import (
	"fmt"
	"sync"
	"time"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/notary"
)

// Scope is the pattern that decides a repository, "" if none does.
func (v *Verifier) Scope(ref reference.Named) string {
	if scope, ok := v.scope(ref); ok {
		return scope.Pattern
	}
	pattern, _, _ := v.digests.find(ref.Name())
	return pattern
}

// A memo remembers the scopes of repositories: finding one costs more than
// the whole of a known answer. Names come from outside, so it starts anew when
// it is full.
type memo struct {
	mu     sync.RWMutex
	scopes map[string]notary.Scope
}

const maxMemo = 20_000 // names

// scope gives what the policy says of a repository on a Notary server. It is
// false without a pin: there is no trust on first use.
func (v *Verifier) scope(ref reference.Named) (notary.Scope, bool) {
	name := ref.Name()
	v.memo.mu.RLock()
	s, ok := v.memo.scopes[name]
	v.memo.mu.RUnlock()
	if !ok {
		s = v.gather(ref).Sealed(name)
		v.memo.mu.Lock()
		if len(v.memo.scopes) >= maxMemo {
			clear(v.memo.scopes)
		}
		v.memo.scopes[name] = s
		v.memo.mu.Unlock()
	}
	return s, len(s.CertIDs) > 0 || len(s.RootKeys) > 0
}

// gather finds the scope of a repository, with or without a pin.
func (v *Verifier) gather(ref reference.Named) notary.Scope {
	name := ref.Name()
	s := notary.Scope{CertIDs: v.certIDs[name], SignerKeys: v.policy.SignerKeys, RevokedKeys: v.policy.Revoked.Keys}
	s.Pattern, s.RootKeys, _ = v.rootKeys.find(name)
	if len(s.CertIDs) > 0 {
		s.Pattern = name
	}
	_, s.Signers, _ = v.signers.find(name)
	s.Servers = v.servers(ref)
	s.CA = v.policy.Notary.CA[reference.Domain(ref)]
	if _, bound, ok := v.allowExpired.find(name); ok {
		s.AllowExpired = time.Duration(bound)
	}
	if v.policy.ContentTrust.AllowExpiredCachedTrustData {
		s.AllowExpired = notary.Unbounded
	}
	return s
}

// hubNotary serves the signatures of docker.io, whose registry has another
// host. Any other registry's Notary is, by Docker's convention, on its host.
const hubNotary = "https://notary.docker.io"

func (v *Verifier) servers(ref reference.Named) []string {
	host := reference.Domain(ref)
	if servers, ok := v.policy.Notary.Servers[host]; ok {
		return servers
	}
	if host == "docker.io" {
		return []string{hubNotary}
	}
	return []string{"https://" + host}
}

func noScope(ref reference.Named) error {
	return &trust.Error{Reason: trust.NoScope, Ref: ref, Err: fmt.Errorf("no scope of the policy covers %s", ref.Name())}
}
