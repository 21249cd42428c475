package policy

import (
	"testing"

	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/opencontainers/go-digest"
)

// TestCovering: a list that is vouched for covers its platforms, and through
// them their configurations; nothing is covered the other way round. Each
// question is asked of a verifier that knows nothing, and again of one that
// all the others have taught.
func TestCovering(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	image, other := newRelease(t, "app"), newRelease(t, "other")
	for _, repository := range []string{"app", "single", "both", "vendor", "none"} {
		image.pushTo(s, repository)
	}
	other.pushTo(s, "other")
	keys := map[string]string{
		"app":    s.sign("app", image.listID),
		"single": s.sign("single", image.platform),
		"other":  s.sign("other", other.listID),
		"both":   s.sign("both", other.listID, image.listID),
	}
	vendor := map[string]any{"digests": map[string][]digest.Digest{s.host + "/vendor": {image.listID}}}
	dct, list := trust.DCT, trust.DigestList
	taught := s.verifier(keys, vendor)
	tests := map[string]struct {
		image   string
		content trust.Content
		want    digest.Digest
		method  trust.Method
		reason  trust.Reason
	}{
		"list":                            {image: "app@" + string(image.listID), want: image.listID, method: dct},
		"platform":                        {image: "app@" + string(image.platform), want: image.listID, method: dct},
		"platform, held":                  {image: "app@" + string(image.platform), content: containerd(image.platform), want: image.listID, method: dct},
		"platform, held, by tag":          {image: "app:v0", content: containerd(image.platform), want: image.listID, method: dct},
		"platform, held, by no name":      {image: "app", content: containerd(image.platform), want: image.listID, method: dct},
		"platform, pulled":                {image: "app@" + string(image.platform), content: pulled(image.config, s.host+"/app@"+string(image.platform)), want: image.listID, method: dct},
		"platform, pulled by list":        {image: "app@" + string(image.platform), content: pulled(image.config, s.host+"/app@"+string(image.listID)), want: image.listID, method: dct},
		"configuration, loaded":           {image: "app:v0", content: pulled(image.config), want: image.listID, method: dct},
		"configuration, loaded, no name":  {image: "app", content: pulled(image.config), want: image.listID, method: dct},
		"configuration, of the manifest":  {image: "single:v0", content: pulled(image.config), want: image.platform, method: dct},
		"platform of a listed list":       {image: "vendor@" + string(image.platform), want: image.listID, method: list},
		"configuration of a listed list":  {image: "vendor", content: pulled(image.config), want: image.listID, method: list},
		"list vouched for here, too":      {image: "both@" + string(image.platform), want: image.listID, method: dct},
		"list of a platform":              {image: "single@" + string(image.listID), reason: trust.Unsigned},
		"list of a platform, held":        {image: "single:v0", content: containerd(image.listID), reason: trust.DigestMismatch},
		"list of a platform, by no name":  {image: "single", content: containerd(image.listID), reason: trust.Unsigned},
		"other platform of the list":      {image: "single@" + string(digest.FromBytes(image.arm64)), reason: trust.Unsigned},
		"layer":                           {image: "app@" + string(image.layer), reason: trust.Unsigned},
		"layer, loaded":                   {image: "app:v0", content: pulled(image.layer), reason: trust.DigestMismatch},
		"attestation":                     {image: "app@" + string(digest.FromBytes(image.attestation)), reason: trust.Unsigned},
		"unknown store":                   {image: "app:v0", content: trust.Content{ID: image.platform}, reason: trust.DigestMismatch},
		"list of another repository":      {image: "other@" + string(image.platform), reason: trust.Unsigned},
		"list of another repository, tag": {image: "other:v0", content: containerd(image.platform), reason: trust.DigestMismatch},
		"another repository's platform":   {image: "app@" + string(other.platform), reason: trust.Unsigned},
		"repository under no scope":       {image: "none@" + string(image.platform), reason: trust.NoScope},
	}
	for _, when := range []string{"not known", "known"} {
		for name, test := range tests {
			t.Run(name+", "+when, func(t *testing.T) {
				v := taught
				if when == "not known" {
					v = s.verifier(keys, vendor)
				}
				answers(t, v, s.question(test.image, test.content), test.want, test.method, test.reason)
				_, _ = taught.Verify(t.Context(), s.question(test.image, test.content)) // to learn
				s.wait(fetchPause)
			})
		}
	}
}

// TestRevokedListBeatsWhatCoversIt: who revokes a list means its platforms,
// whoever else vouches for the list.
func TestRevokedListBeatsWhatCoversIt(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	image := newRelease(t, "app")
	image.pushTo(s, "app")
	image.pushTo(s, "vendor")
	keys := map[string]string{"app": s.sign("app", image.listID)}
	sections := map[string]any{
		"digests": map[string][]digest.Digest{s.host + "/**": {image.listID}},
		"revoked": map[string]any{"digests": []digest.Digest{image.listID}},
	}
	for name, q := range map[string]trust.Question{
		"list":           s.question("app@"+string(image.listID), trust.Content{}),
		"tag":            s.question("app:v0", trust.Content{}),
		"platform":       s.question("app@"+string(image.platform), trust.Content{}),
		"platform, held": s.question("app@"+string(image.platform), containerd(image.platform)),
		"loaded":         s.question("app", pulled(image.config)),
		"listed":         s.question("vendor@"+string(image.platform), trust.Content{}),
		"listed, loaded": s.question("vendor", pulled(image.config)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answers(t, s.verifier(keys, sections), q, "", "", trust.Revoked)
		})
	}
}
