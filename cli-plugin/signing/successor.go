package signing

import (
	"encoding/json"

	"github.com/theupdateframework/notary/storage"
	"github.com/theupdateframework/notary/tuf/data"
)

// A successor is a trust server that takes only the next version of what a
// change was planned upon. Notary's client reads the repository once more
// before it signs: what somebody else has published in between would be signed
// with the rest, and nobody has looked at it.
type successor struct {
	storage.RemoteStore
	of *repository
}

// SetMulti publishes, unless the repository has changed since it was read.
func (s successor) SetMulti(metadata map[string][]byte) error {
	for name, raw := range metadata {
		before := s.of.version(data.RoleName(name))
		if before == 0 {
			continue
		}
		meta := data.SignedMeta{}
		if err := json.Unmarshal(raw, &meta); err != nil {
			return err
		}
		if meta.Signed.Version != before+1 {
			return errConflict
		}
	}
	return s.RemoteStore.SetMulti(metadata)
}

// version is that of a role when the repository was read; 0 if it had none.
func (r *repository) version(name data.RoleName) int {
	switch {
	case r.found == nil:
		return 0
	case name == data.CanonicalRootRole:
		return r.found.Root.Signed.Version
	case name == data.CanonicalSnapshotRole:
		return r.found.Snapshot.Signed.Version
	}
	if role := r.all()[name]; role != nil {
		return role.Signed.Version
	}
	return 0
}
