package notary

import (
	"errors"
	"fmt"
	"slices"

	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/theupdateframework/notary/tuf/data"
	"github.com/theupdateframework/notary/tuf/signed"
)

func refuse(reason trust.Reason, role data.RoleName, err error) error {
	return &trust.Error{Reason: reason, Role: string(role), Err: err}
}

func unanswerable(role data.RoleName, err error) error {
	return refuse(trust.Unreachable, role, err)
}

// classify names what notary's verification found. What it cannot name is a
// bad signature: the bytes were there, and they did not verify.
func classify(role data.RoleName, err error) error {
	if low := (signed.ErrLowVersion{}); errors.As(err, &low) {
		return refuse(trust.Rollback, role, err)
	}
	return refuse(trust.BadSignature, role, err)
}

// explain is classify for a role whose signatures are at hand: it tells a
// stranger's key and a missed threshold from bytes that do not verify.
func (l *loader) explain(name data.RoleName, untrusted *data.Signed, err error) error {
	role, known := l.keysOf(name)
	if !errors.As(err, new(signed.ErrRoleThreshold)) || !known {
		return classify(name, err)
	}
	_ = signed.VerifySignatures(untrusted, role) // again, for the marks it leaves on each signature
	valid, ours := 0, 0
	for _, signature := range untrusted.Signatures {
		if _, listed := role.Keys[signature.KeyID]; listed {
			ours++
		}
		if signature.IsValid {
			valid++
		}
	}
	switch {
	case valid > 0:
		return refuse(trust.BelowThreshold, name, fmt.Errorf("%d keys must sign it, and %d did", role.Threshold, valid))
	case ours == 0:
		return refuse(trust.UnknownSigner, name, errors.New("it is signed, but by none of the keys that may"))
	default:
		return refuse(trust.BadSignature, name, err)
	}
}

// keyIDs are the IDs of the keys that a role has now, sorted. Keys that it
// would take long to verify with are an error.
func (l *loader) keyIDs(name data.RoleName) ([]string, error) {
	role, known := l.keysOf(name)
	if !known {
		return nil, refuse(trust.BadSignature, name, errors.New("no role above it says who may sign it"))
	}
	for _, key := range role.ListKeys() {
		if err := checkSize(key); err != nil {
			return nil, refuse(trust.BadSignature, name, err)
		}
	}
	ids := role.ListKeyIDs()
	slices.Sort(ids)
	return ids, nil
}

// keysOf gives the keys and the threshold that a role's verified parent names.
func (l *loader) keysOf(name data.RoleName) (data.BaseRole, bool) {
	if !data.IsDelegation(name) {
		role, err := l.roots.current().BuildBaseRole(name)
		return role, err == nil
	}
	parent, err := l.verifiedTargets(name.Parent())
	if err != nil {
		return data.BaseRole{}, false
	}
	delegated, err := parent.BuildDelegationRole(name)
	return delegated.BaseRole, err == nil
}

// unanswered reports whether an error leaves the question open.
func unanswered(err error) bool {
	refused := new(trust.Error)
	return errors.As(err, &refused) && refused.Inconclusive()
}
