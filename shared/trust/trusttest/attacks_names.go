package trusttest

import (
	"errors"
	"testing"

	"github.com/distribution/reference"

	"github.com/docker-stig/docker-stig/shared/trust"
)

// lookalikes are not v1, whatever they look like, or become when somebody
// folds, trims or normalizes them.
var lookalikes = []string{
	"V1", "v１", "ⅴ1", "v1 ", " v1", "v1\u200b", "\ufeffv1", "v1\u0301", "v1/", "./v1", "v1?", "v%31",
}

// tricks are names that are other names in the eyes of somebody else. An
// honest publisher signs every lookalike of a tag, and an attacker asks for
// every lookalike of a repository.
func tricks(t *testing.T, a *arena) {
	t.Helper()
	gun := a.gun + "-names"
	repo := a.NewRepository(t, gun)
	repo.Delegate(releases)
	for _, tag := range lookalikes {
		repo.Sign(tag, evil, releases)
	}
	repo.Publish()
	own := a.gun
	a.gun, a.site.GUN = gun, gun
	a.site.RootKeys = append(a.site.RootKeys, repo.RootKeyID())
	a.expect(t, "tags that look like v1", a.fresh, "v1", patience, trust.Content{}, refused(trust.Unsigned))
	a.expect(t, "the tag that was signed", a.fresh, "V1", patience, trust.Content{}, want{digest: evil})

	a.gun, a.site.GUN = own, own
	for name, text := range map[string]string{
		"upper case":         "registry.example.com/Prod/" + string(own[len("registry.example.com/prod/"):]),
		"upper case host":    "REGISTRY.example.com" + string(own[len("registry.example.com"):]),
		"full width":         "registry.example.com/ｐrod/app",
		"Kelvin sign":        "registry.example.com/\u212a",
		"path":               string(own) + "/x/..",
		"double slash":       "registry.example.com//" + string(own[len("registry.example.com/"):]),
		"escaped slash":      "registry.example.com%2f" + string(own[len("registry.example.com/"):]),
		"query":              string(own) + "?",
		"fragment":           string(own) + "#",
		"space":              string(own) + " ",
		"zero width":         string(own) + "\u200b",
		"null":               string(own) + "\x00",
		"its own path":       string(own) + "/_trust/tuf/root.json?",
		"another repository": string(own) + "-names/../" + string(own[len("registry.example.com/prod/"):]),
		"nothing":            "",
	} {
		signed, err := a.askNamed(t, crafted(text))
		if err == nil {
			t.Errorf("GUN, %s: %q was accepted: %+v", name, text, signed)
		} else if !errors.As(err, new(*trust.Error)) {
			t.Errorf("GUN, %s: got %v, want a refusal", name, err)
		}
	}
	a.expect(t, "the repository itself, after that", a.fresh, "v1", patience, trust.Content{}, want{})
	a.recover(t)
}

// askNamed asks for tag v1 of a name that no parser has seen.
func (a *arena) askNamed(t *testing.T, name crafted) (trust.Signed, error) {
	t.Helper()
	site := a.site
	site.Cache, site.Timeout = a.fresh, patience
	return a.verifier(t, site).Verify(t.Context(), trust.Question{Ref: name})
}

// A crafted reference has the tag v1, and a name that the reference package
// would not let pass.
type crafted string

var _ reference.NamedTagged = crafted("")

func (c crafted) Name() string   { return string(c) }
func (c crafted) String() string { return string(c) + ":v1" }
func (c crafted) Tag() string    { return "v1" }
