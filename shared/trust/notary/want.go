package notary

import (
	"maps"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/opencontainers/go-digest"
)

// A want picks the digest that a role vouches for in answer to a question.
type want struct {
	tag     string          // one tag, or
	digests []digest.Digest // the first of these, under any tag
}

func (x *index) wanted(q trust.Question) want {
	if digested, ok := q.Ref.(reference.Digested); ok {
		return want{digests: x.listed(append([]digest.Digest{digested.Digest()}, q.Covering...))}
	}
	if tagged, ok := q.Ref.(reference.Tagged); ok {
		return want{tag: tagged.Tag()}
	}
	return want{digests: x.listed(q.Content.Digests())}
}

// listed drops the digests that no role lists, in one pass: a question may
// bring thousands. The first stays, to be named in the refusal.
func (x *index) listed(digests []digest.Digest) []digest.Digest {
	if len(digests) < 2 {
		return digests
	}
	asked := make(map[sum]bool, len(digests))
	for _, dgst := range digests {
		if s, ok := sumOf(dgst); ok {
			asked[s] = false
		}
	}
	for _, r := range x.roles {
		for _, s := range r.targets {
			if _, ok := asked[s]; ok {
				asked[s] = true
			}
		}
	}
	kept := digests[:1:1]
	for _, dgst := range digests[1:] {
		if s, ok := sumOf(dgst); ok && asked[s] {
			kept = append(kept, dgst)
		}
	}
	return kept
}

// each gives the wants of one tag or digest that this one is made of.
func (w want) each() []want {
	if w.tag != "" {
		return []want{w}
	}
	var list []want
	for _, dgst := range w.digests {
		list = append(list, want{digests: []digest.Digest{dgst}})
	}
	return list
}

// in looks a want up among targets, those apart that another role shadows.
func (w want) in(r *role, shadow *role) (digest.Digest, bool) {
	if w.tag != "" {
		found, ok := r.targets[w.tag]
		if !ok {
			return "", false
		}
		return found.digest(), true
	}
	for _, dgst := range w.digests {
		if r.lists(dgst, shadow) {
			return dgst, true
		}
	}
	return "", false
}

// lists reports whether a digest stands under any tag, those apart that
// another role shadows.
func (r *role) lists(dgst digest.Digest, shadow *role) bool {
	want, ok := sumOf(dgst)
	if !ok {
		return false
	}
	for tag, found := range r.targets {
		if found != want {
			continue
		}
		if shadow == nil {
			return true
		}
		if _, shadowed := shadow.targets[tag]; !shadowed {
			return true
		}
	}
	return false
}

// String says what was looked for, in words that end a sentence.
func (w want) String() string {
	switch {
	case w.tag != "":
		return "tag " + w.tag
	case len(w.digests) == 0:
		return "content whose digest the engine does not tell"
	default:
		return "digest " + string(w.digests[0])
	}
}

// signedTags names a few tags that a person may have meant.
func (x *index) signedTags(w want) string {
	r := x.roles[releases]
	if r == nil || len(r.targets) == 0 || w.tag == "" {
		return ""
	}
	tags := slices.Sorted(maps.Keys(r.targets))
	if len(tags) > 5 {
		tags = append(tags[:5:5], "…")
	}
	return " (signed are " + strings.Join(tags, ", ") + ")"
}
