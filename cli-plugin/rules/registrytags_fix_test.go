package rules_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/rules"
	"github.com/docker-stig/docker-stig/shared/stig"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/tests/doubles"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

// refusing is a policy that refuses a repository, each tag for one reason, and
// what it revokes by digest.
type refusing struct {
	vouching
	reason  trust.Reason
	revoked digest.Digest
}

func (r refusing) Verify(_ context.Context, q trust.Question) (trust.Signed, error) {
	reason := r.reason
	if c, ok := q.Ref.(interface{ Digest() digest.Digest }); ok {
		reason = trust.Unsigned
		if c.Digest() == r.revoked {
			reason = trust.Revoked
		}
	}
	return trust.Signed{}, &trust.Error{Reason: reason, Ref: q.Ref, Err: errors.New("of the test")}
}

func refuse(reason trust.Reason, revoked digest.Digest) refusing {
	return refusing{vouching{"dtr.example.com/prod/web:1": signedDigest}, reason, revoked}
}

// TestFixRegistryTags asks what is wanted of one tag in each state.
func TestFixRegistryTags(t *testing.T) {
	t.Parallel()
	bare := doubles.Tag{Name: "1", Digest: string(signedDigest)}
	signed := doubles.Tag{Name: "1", Digest: string(signedDigest), InNotary: true}
	over := doubles.Tag{Name: "1", Digest: string(signedDigest), InNotary: true, HashMismatch: true}
	vouched := func(content digest.Digest) vouching { return vouching{"dtr.example.com/prod/web:1": content} }
	for name, test := range map[string]struct {
		tag    doubles.Tag
		trust  host.Verifier
		signs  bool
		note   string
		person string
	}{
		"unsigned":                           {tag: bare, signs: true},
		"unsigned, and covered":              {tag: bare, trust: refuse(trust.Unsigned, ""), signs: true},
		"unsigned, and revoked":              {tag: bare, trust: refuse(trust.Unsigned, signedDigest), person: "what it holds is not to be signed: "},
		"signed, by DTR's word":              {tag: signed},
		"signed, verified":                   {tag: signed, trust: vouched(signedDigest)},
		"signed, Notary is silent":           {tag: signed, trust: vouched("")},
		"signed in Notary alone":             {tag: signed, trust: refuse(trust.Unsigned, ""), signs: true},
		"expired":                            {tag: signed, trust: refuse(trust.Expired, ""), signs: true},
		"a stranger's":                       {tag: signed, trust: refuse(trust.UnknownSigner, ""), person: "one more signature does not mend it: "},
		"spoilt":                             {tag: signed, trust: refuse(trust.BadSignature, ""), person: "one more signature does not mend it: "},
		"rolled back":                        {tag: signed, trust: refuse(trust.Rollback, ""), person: "one more signature does not mend it: "},
		"pushed over":                        {tag: over, trust: vouched(otherDigest), signs: true, note: "was signed for " + string(otherDigest) + " and pushed over: whoever signs it now vouches for " + string(signedDigest) + " instead"},
		"pushed over, DTR has not seen it":   {tag: signed, trust: vouched(otherDigest), signs: true, note: "was signed for " + string(otherDigest)},
		"pushed over, and not covered":       {tag: over, person: "what was signed before is not known, because no policy covers it"},
		"pushed over, Notary is silent":      {tag: over, trust: vouched(""), person: "what was signed before cannot be told: "},
		"pushed over, expired":               {tag: over, trust: refuse(trust.Expired, ""), person: "what was signed before cannot be told: "},
		"mismatch that the verifier denies":  {tag: over, trust: vouched(signedDigest), person: "see which Notary server DTR asks"},
		"unsigned, and another is not known": {tag: bare, trust: vouching{"other.example.com/x:1": otherDigest}, signs: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, client := newDTR(t, doubles.DTROptions{Repositories: []doubles.Repository{{Namespace: "prod", Name: "web", Tags: []doubles.Tag{test.tag}}}}, 0)
			h := newHost()
			h.DTR, h.Trust = client, test.trust
			got := fixRegistryTags(t, h)
			var want []change.Publish
			if test.signs {
				want = []change.Publish{{Repository: "dtr.example.com/prod/web", Tag: "1", Digest: string(signedDigest)}}
			}
			if diff := cmp.Diff(want, published(t, got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for _, told := range []struct{ said, want string }{
				{strings.Join(got.Notes, "\n"), test.note}, {strings.Join(got.Person, "\n"), test.person},
			} {
				named := strings.HasPrefix(told.said, "dtr.example.com/prod/web:1")
				if (told.want == "") != (told.said == "") || named != (told.want != "") || !strings.Contains(told.said, told.want) {
					t.Errorf("said %q, want %q", told.said, told.want)
				}
			}
		})
	}
}

func fixRegistryTags(t *testing.T, h *host.Host) change.Wanted {
	t.Helper()
	rule, _ := rules.For(stig.RegistryTags)
	wanted, err := rule.Fix(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	return wanted
}

// published are the tags that are wanted signed, each as a change that says
// that it is a promise, and for good.
func published(t *testing.T, wanted change.Wanted) []change.Publish {
	t.Helper()
	var tags []change.Publish
	for _, c := range wanted.Changes {
		if err := c.Check(); err != nil || c.ByName == "" || c.Irrevocable == "" || c.Publish == nil {
			t.Fatalf("got %+v, %v", c, err)
		}
		tags = append(tags, *c.Publish)
	}
	return tags
}

// TestFixRegistryTagsAll wants of a whole registry what can be read of it.
func TestFixRegistryTagsAll(t *testing.T) {
	t.Parallel()
	names := func(wanted change.Wanted) []string {
		var list []string
		for _, tag := range published(t, wanted) {
			list = append(list, strings.TrimPrefix(tag.Repository, "dtr.example.com/")+":"+tag.Tag)
		}
		return list
	}
	double, client := newDTR(t, doubles.DTROptions{MaxPageSize: 1}, 0)
	h := newHost()
	h.DTR = client
	got := fixRegistryTags(t, h)
	if diff := cmp.Diff([]string{"carol/app:dev", "prod/web:latest"}, names(got)); diff != "" || len(got.Person) != 1 || !strings.HasPrefix(got.Person[0], "dtr.example.com/prod/web:2.4: ") {
		t.Errorf("a person: %v\n%s", got.Person, diff)
	}

	double.SetFaultOn("/api/v0/repositories/carol/", doubles.ServerError)
	got = fixRegistryTags(t, h)
	if diff := cmp.Diff([]string{"prod/web:latest"}, names(got)); diff != "" || !strings.Contains(strings.Join(got.Person, "\n"), "the tags of dtr.example.com/carol/app could not be read") {
		t.Errorf("a person: %v\n%s", got.Person, diff)
	}

	rule, _ := rules.For(stig.RegistryTags)
	double.SetFaultOn("/api/v0/repositories", doubles.ServerError)
	if wanted, err := rule.Fix(t.Context(), h); err == nil || len(wanted.Changes) > 0 {
		t.Errorf("of a list that is not whole: %+v, %v", wanted, err)
	}
	h.DTR = nil
	if _, err := rule.Fix(t.Context(), h); err == nil || !strings.Contains(err.Error(), "--dtr-url") {
		t.Errorf("without DTR: %v", err)
	}
}

// TestFixRegistryTagsOddNames leaves names alone that docker does not know.
func TestFixRegistryTagsOddNames(t *testing.T) {
	t.Parallel()
	_, client := newDTR(t, doubles.DTROptions{Repositories: []doubles.Repository{{Namespace: "Prod", Name: "Web", Tags: []doubles.Tag{{Name: "1"}}}}}, 0)
	h := newHost()
	h.DTR = client
	got := fixRegistryTags(t, h)
	if len(got.Changes) > 0 || len(got.Person) != 1 || !strings.Contains(got.Person[0], "Docker knows no such name") {
		t.Errorf("got %+v", got)
	}
}
