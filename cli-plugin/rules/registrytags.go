package rules

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/dtr"
	"github.com/docker-stig/docker-stig/shared/stig"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/opencontainers/go-digest"
)

// registryTags wants every tag stored in DTR signed (V-235846, CAT II).
//
// DISA's check reads the first page of repositories and wants inNotary true
// for every tag. We read all pages; want hashMismatch false too, because a tag
// that was signed once and then pushed over is still "in Notary"; and verify
// the signature ourselves where a policy names the repository's root, because
// DTR's word for it is only DTR's. An account that is no administrator sees a
// part of the registry, so a clean result of one proves nothing.
var registryTags = Rule{
	IDs:     []stig.ID{stig.RegistryTags},
	Applies: managed(host.DTR, hasDTR),
	Check:   checkRegistryTags,
	Fix:     fixRegistryTags,
	Steps: []Step{
		{"every repository of DTR is listed", "checkRegistryTags"},
		{"inNotary is true for each tag of each repository", "judgeTag"},
	},
	Readings: []string{
		"all pages are read, not only the first",
		"hashMismatch has to be false too: a tag that was signed once and then pushed over is still in Notary",
		"where the policy has a root for a repository, its signatures are verified here: what DTR says is DTR's word alone",
		"an account that is no administrator sees a part of the registry, so a clean result of one proves nothing",
	},
}

func checkRegistryTags(ctx context.Context, h *host.Host) ([]stig.Finding, error) {
	var admin bool
	var adminErr error
	var asking sync.WaitGroup
	asking.Go(func() { admin, adminErr = h.DTR.Admin(ctx) })
	var findings []stig.Finding
	var repositories, tags, verified int
	var due []string // tags whose signatures expire soon
	for listing, err := range h.DTR.ListTags(ctx) {
		if err != nil {
			asking.Wait()
			return append(findings, stig.Finding{Object: "list of repositories", Details: err.Error()}), nil
		}
		repositories++
		if listing.Err != nil {
			findings = append(findings, stig.Finding{Object: listing.Repository.String(), Details: listing.Err.Error()})
			continue
		}
		for _, tag := range listing.Tags {
			tags++
			f := judgeTag(ctx, h, listing.Repository, tag)
			if f.Status != stig.NotAFinding {
				findings = append(findings, f)
			}
			if !f.Expires.IsZero() {
				verified++
			}
			if verifiedHere := !f.Expires.IsZero(); verifiedHere && f.Details != "" && f.Status == stig.NotAFinding {
				due = append(due, f.Object)
			}
		}
	}
	summary := stig.Finding{
		Object:   h.DTR.URL(),
		Status:   stig.NotAFinding,
		Details:  fmt.Sprintf("%d tags in %d repositories were read; %d findings stand apart; the signatures of %d tags were verified here, the others stand on DTR's word", tags, repositories, len(findings), verified),
		Evidence: []stig.Fact{{Source: h.DTR.URL(), Asked: "GET /api/v0/repositories and their tags, all pages", Answer: fmt.Sprintf("%d repositories, %d tags", repositories, tags)}},
	}
	if len(due) > 0 {
		summary.Details += fmt.Sprintf("; %d tags have to be signed again within 14 days (%s): docker stig trust inspect tells by whom", len(due), few(due))
	}
	asking.Wait()
	switch {
	case adminErr != nil:
		summary.Status, summary.Details = stig.NotReviewed, summary.Details+"; "+adminErr.Error()
	case !admin:
		summary.Status = stig.NotReviewed
		summary.Details += "; this account is no administrator and sees only a part of the registry: sign in as one with --dtr-username"
	}
	return append([]stig.Finding{summary}, findings...), nil
}

// few names the first of many.
func few(items []string) string {
	const most = 5
	if len(items) <= most {
		return strings.Join(items, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(items[:most], ", "), len(items)-most)
}

// judgeTag judges one tag, by DTR's word and then, where the policy has a
// root for it, by our own.
func judgeTag(ctx context.Context, h *host.Host, repository dtr.Repository, tag dtr.Tag) stig.Finding {
	f := stig.Finding{
		Object:   fmt.Sprintf("%s/%s:%s", h.DTR.Domain(), repository, tag.Name),
		Status:   stig.NotAFinding,
		Evidence: []stig.Fact{{Source: h.DTR.URL(), Asked: "tag", Answer: fmt.Sprintf("inNotary %t, hashMismatch %t, digest %s", tag.InNotary, tag.HashMismatch, tag.Digest)}},
	}
	switch {
	case !tag.InNotary:
		f.Status, f.Details = stig.Open, "nobody signed this tag (inNotary is false): docker stig fix V-235846 signs it, or delete it"
		return f
	case tag.HashMismatch:
		f.Status, f.Details = stig.Open, "the tag holds other content than was signed (hashMismatch is true): sign what it holds now, or push the signed content again"
		return f
	}
	return verifyTag(ctx, h, tag, f)
}

// verifyTag holds a tag against its signature, which decides where the Notary
// answers. A repository that the policy does not cover keeps DTR's word.
func verifyTag(ctx context.Context, h *host.Host, tag dtr.Tag, f stig.Finding) stig.Finding {
	ref, err := reference.ParseNormalizedNamed(f.Object)
	if err != nil {
		f.Status, f.Details = stig.NotReviewed, fmt.Sprintf("DTR names a tag that Docker would not: %v", err)
		return f
	}
	if h.Trust == nil || h.Trust.Scope(ref) == "" {
		f.Details = "signed, by DTR's word"
		return f
	}
	signed, err := h.Trust.Verify(ctx, trust.Question{Ref: ref})
	if trust.Inconclusive(err) {
		f.Details = "signed, by DTR's word; its signature could not be verified here: " + err.Error()
		return f
	}
	if err != nil {
		f.Status, f.Details = stig.Open, trust.Explain(err)
		return f
	}
	f.Expires, f.Details = signed.Expires, strings.TrimPrefix(renewal(signed), "; ")
	f.Evidence = append(f.Evidence, signedFact(ref, signed))
	if signed.Digest != digest.Digest(tag.Digest) {
		f.Status = stig.Open
		f.Details = fmt.Sprintf("the registry holds %s, and the signers vouch for %s: sign what it holds now, or push the signed content again", tag.Digest, signed.Digest)
	}
	return f
}
