package trust

import "testing"

// TestEveryReasonHasAdvice: whoever is refused is told what to do next.
func TestEveryReasonHasAdvice(t *testing.T) {
	t.Parallel()
	for _, reason := range []Reason{
		Unreachable, Unsigned, NoScope, UnknownSigner, BadSignature, BelowThreshold, Expired, Rollback, DigestMismatch, Revoked,
	} {
		if Advice(&Error{Reason: reason}) == "" {
			t.Errorf("%s has no advice", reason)
		}
	}
}
