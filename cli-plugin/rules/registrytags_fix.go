package rules

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/dtr"
	"github.com/docker-stig/docker-stig/shared/stig"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/opencontainers/go-digest"
)

const (
	signedByName = "a signature is a promise about content, and whether this content deserves it is for a person to say"
	signedOnce   = "whoever has fetched a signature believes it until it expires, even when docker stig trust revoke has taken it off the server"
)

// fixRegistryTags wants the tags signed that nobody signed, and those that were
// pushed over if it is known what was signed before. By whom is not for a rule
// to say. Where a signature does not mend it, a person is told what to do.
func fixRegistryTags(ctx context.Context, h *host.Host) (change.Wanted, error) {
	if h.DTR == nil {
		return change.Wanted{}, errors.New("which tags DTR stores is not known: give --dtr-url")
	}
	var wanted change.Wanted
	for listing, err := range h.DTR.ListTags(ctx) {
		if err != nil {
			return change.Wanted{}, err
		}
		name := h.DTR.Domain() + "/" + listing.Repository.String()
		if listing.Err != nil {
			wanted.Person = append(wanted.Person, fmt.Sprintf("the tags of %s could not be read, and none of them is signed: %v", name, listing.Err))
			continue
		}
		for _, tag := range listing.Tags {
			fixTag(ctx, h, name, tag, &wanted)
		}
	}
	return wanted, nil
}

// fixTag adds what one tag needs.
func fixTag(ctx context.Context, h *host.Host, name string, tag dtr.Tag, wanted *change.Wanted) {
	title := name + ":" + tag.Name
	ref, err := reference.ParseNormalizedNamed(title)
	if err != nil {
		wanted.Person = append(wanted.Person, fmt.Sprintf("%s cannot be signed, because Docker knows no such name (%v): delete it in DTR", title, err))
		return
	}
	before, why := signedBefore(ctx, h, ref, tag)
	if why == unsigned || before != "" && before != tag.Digest {
		why = cmp.Or(withdrawn(ctx, h, ref, tag), why)
	}
	switch {
	case why == unsigned:
	case why != "":
		wanted.Person = append(wanted.Person, title+": "+why)
		return
	case before == "" || before == tag.Digest:
		return // it is signed as it is
	default:
		wanted.Notes = append(wanted.Notes, fmt.Sprintf("%s was signed for %s and pushed over: whoever signs it now vouches for %s instead", title, before, tag.Digest))
	}
	wanted.Changes = append(wanted.Changes, change.Change{
		Serves: []stig.ID{stig.RegistryTags}, Disruption: change.None, ByName: signedByName, Irrevocable: signedOnce,
		Publish: &change.Publish{Repository: name, Tag: tag.Name, Digest: string(tag.Digest)},
	})
}

// withdrawn says that the policy has revoked what a tag holds, "" if it has not.
func withdrawn(ctx context.Context, h *host.Host, ref reference.Named, tag dtr.Tag) string {
	content, err := reference.WithDigest(reference.TrimNamed(ref), tag.Digest)
	if err != nil || h.Trust == nil || h.Trust.Scope(ref) == "" {
		return ""
	}
	if _, err := h.Trust.Verify(ctx, trust.Question{Ref: content}); trust.IsRevoked(err) {
		return "what it holds is not to be signed: " + trust.Explain(err)
	}
	return ""
}

// unsigned is the fault that a signature mends.
const unsigned = "unsigned"

// signedBefore tells what a tag is signed for, or what is wrong with it.
// Without either, it stands on DTR's word.
func signedBefore(ctx context.Context, h *host.Host, ref reference.Named, tag dtr.Tag) (before digest.Digest, why string) {
	covered := h.Trust != nil && h.Trust.Scope(ref) != ""
	switch {
	case !tag.InNotary:
		return "", unsigned
	case !covered && tag.HashMismatch:
		return "", "it was pushed over, and what was signed before is not known, because no policy covers it: docker stig trust pin covers it, docker stig trust sign signs it all the same"
	case !covered:
		return "", ""
	}
	signed, err := h.Trust.Verify(ctx, trust.Question{Ref: ref})
	refused := new(trust.Error)
	switch {
	case err == nil && tag.HashMismatch && signed.Digest == tag.Digest:
		return "", "it is signed for what it holds, and DTR says otherwise (hashMismatch is true): see which Notary server DTR asks"
	case err == nil:
		return signed.Digest, ""
	case tag.HashMismatch:
		return "", "it was pushed over, and what was signed before cannot be told: " + trust.Explain(err)
	case trust.Inconclusive(err):
		return "", ""
	case errors.As(err, &refused) && (refused.Reason == trust.Unsigned || refused.Reason == trust.Expired):
		return "", unsigned
	}
	return "", "one more signature does not mend it: " + trust.Explain(err)
}
