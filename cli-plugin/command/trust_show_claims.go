package command

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust/bundle"
	"github.com/opencontainers/go-digest"
)

// A claim is what one untrusted role says of itself. It serves to be shown,
// marked as such, and decides nothing.
type claim struct {
	role    string
	version int
	expires time.Time
	targets map[string]digest.Digest
	err     error
}

type claimList []claim

// readClaims reads the roles of a repository, the current root first.
func readClaims(r bundle.Repository) claimList {
	var list claimList
	if len(r.Roots) > 0 {
		list = append(list, readClaim("root", r.Roots[len(r.Roots)-1]))
	}
	for _, name := range slices.Sorted(maps.Keys(r.Roles)) {
		list = append(list, readClaim(name, r.Roles[name]))
	}
	return list
}

func readClaim(role string, raw []byte) claim {
	var untrusted struct {
		Signed struct {
			Version int       `json:"version"`
			Expires time.Time `json:"expires"`
			Targets map[string]struct {
				Hashes map[string][]byte `json:"hashes"`
			} `json:"targets"`
		} `json:"signed"`
	}
	c := claim{role: role}
	if c.err = json.Unmarshal(raw, &untrusted); c.err != nil {
		return c
	}
	c.version, c.expires = untrusted.Signed.Version, untrusted.Signed.Expires
	c.targets = map[string]digest.Digest{}
	for tag, target := range untrusted.Signed.Targets {
		if sum := target.Hashes["sha256"]; len(sum) == digest.SHA256.Size() {
			c.targets[tag] = digest.NewDigestFromBytes(digest.SHA256, sum)
		}
	}
	return c
}

// versions lists the roles with version and end.
func (l claimList) versions() string {
	var lines []string
	for _, c := range l {
		if c.err != nil {
			lines = append(lines, fmt.Sprintf("%s  unreadable", printable(c.role)))
			continue
		}
		lines = append(lines, fmt.Sprintf("%s  version %d, until %s", printable(c.role), c.version, c.expires.UTC().Format(time.DateOnly)))
	}
	return linesOrNone(lines)
}

// tags lists each tag with each digest that a role claims for it.
func (l claimList) tags() string {
	roles := map[string][]string{} // by tag and digest
	for _, c := range l {
		for tag, dgst := range c.targets {
			line := printable(tag) + "  " + string(dgst)
			roles[line] = append(roles[line], printable(c.role))
		}
	}
	var lines []string
	for _, line := range slices.Sorted(maps.Keys(roles)) {
		lines = append(lines, fmt.Sprintf("%s  (%s)", line, strings.Join(roles[line], ", ")))
	}
	return linesOrNone(lines)
}
