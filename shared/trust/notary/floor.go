package notary

import (
	"bytes"
	"maps"
	"slices"
	"time"

	"github.com/theupdateframework/notary/tuf/data"
)

// A floor is the highest version of a role that verified, and the keys that
// the role had then. No lower version is accepted while one of those keys is
// the role's. When all have been replaced, whoever held one may have pushed
// the version up (TUF 1.0.31, 5.3.11), and the count starts anew.
type floor struct {
	Version int      `json:"version"`
	Keys    []string `json:"keys,omitempty"` // IDs as the role's parent gives them; none for the root, which only rises
}

// holds reports whether a floor binds a role that has these keys now.
func (f floor) holds(keys []string) bool {
	return len(f.Keys) == 0 || slices.ContainsFunc(f.Keys, func(id string) bool { return slices.Contains(keys, id) })
}

// under is the version that a role with these keys may not fall below.
func (f floor) under(keys []string) int {
	if !f.holds(keys) {
		return 0
	}
	return f.Version
}

// overtakes reports whether a copy has seen a higher version of any role.
func (kept copyOf) overtakes(other copyOf) bool {
	if kept.rootVersion() > other.rootVersion() {
		return true
	}
	for role, seen := range kept.Floors {
		now := other.Floors[role]
		if seen.Version > now.Version && seen.holds(now.Keys) {
			return true
		}
	}
	return false
}

func (kept copyOf) rootVersion() int { return kept.Floors[data.CanonicalRootRole].Version }

func (kept copyOf) timestampVersion() int { return kept.Floors[data.CanonicalTimestampRole].Version }

// newer is the later of two copies, with the highest versions and the latest
// time that either has seen.
func (kept copyOf) newer(other copyOf) copyOf {
	if other.rootVersion() > kept.rootVersion() ||
		(other.rootVersion() == kept.rootVersion() && other.timestampVersion() > kept.timestampVersion()) {
		kept, other = other, kept
	}
	floors := maps.Clone(kept.Floors)
	if floors == nil {
		floors = map[data.RoleName]floor{}
	}
	for role, seen := range other.Floors {
		now, ok := floors[role]
		if !ok {
			floors[role] = seen
		} else if seen.Version > now.Version && seen.holds(now.Keys) {
			floors[role] = floor{Version: seen.Version, Keys: now.Keys}
		}
	}
	kept.Floors = floors
	kept.Seen = latest(kept.Seen, other.Seen)
	return kept
}

// with is the copy after an update. What the update did not read stays as it
// was.
func (kept copyOf) with(roots [][]byte, roles map[data.RoleName][]byte, floors map[data.RoleName]floor) copyOf {
	merged := copyOf{GUN: kept.GUN, Roots: roots, Roles: map[data.RoleName][]byte{}, Floors: map[data.RoleName]floor{}, Seen: kept.Seen}
	maps.Copy(merged.Roles, kept.Roles)
	maps.Copy(merged.Roles, roles)
	maps.Copy(merged.Floors, kept.Floors)
	maps.Copy(merged.Floors, floors) // none lower than it was: see loader.accept
	return merged
}

// beside is the copy with what another one knows of roles that it does not.
func (kept copyOf) beside(other copyOf) copyOf {
	merged := kept.with(kept.Roots, nil, nil)
	merged.Source, merged.Seen = kept.Source, latest(kept.Seen, other.Seen)
	for role, seen := range other.Floors {
		if _, ok := kept.Floors[role]; !ok {
			merged.Floors[role] = seen
		}
	}
	for role, raw := range other.Roles {
		if _, ok := kept.Roles[role]; !ok {
			merged.Roles[role] = raw
		}
	}
	return merged
}

// confirmed is the copy when a server has given the same.
func (kept copyOf) confirmed(seen time.Time) copyOf {
	kept.Source, kept.Seen = "", seen
	return kept
}

// seenStep is how far the clock moves on before that alone is worth a write.
const seenStep = time.Hour

// differs reports whether a copy is worth keeping in the place of another.
func (kept copyOf) differs(before copyOf) bool {
	return kept.Source != before.Source ||
		kept.Seen.Sub(before.Seen) > seenStep ||
		!slices.EqualFunc(kept.Roots, before.Roots, bytes.Equal) ||
		!maps.EqualFunc(kept.Roles, before.Roles, bytes.Equal) ||
		!maps.EqualFunc(kept.Floors, before.Floors, func(a, b floor) bool { return a.Version == b.Version && slices.Equal(a.Keys, b.Keys) })
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
