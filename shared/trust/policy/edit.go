package policy

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/tailscale/hujson"
)

// parseCopy reads a policy that is being edited. Parse blanks the comments of
// the bytes that it is given.
func parseCopy(raw []byte) (*Policy, error) { return Parse("policy", bytes.Clone(raw)) }

// AddRootKeys pins root keys for the repositories that a pattern matches. Like
// the other edits it appends what is missing, leaves every other byte as it
// is, and refuses what would be no policy or would change no verdict.
func AddRootKeys(raw []byte, pattern string, ids []string) ([]byte, error) {
	p, err := parseCopy(raw)
	if err != nil {
		return nil, err
	}
	pins := p.ContentTrust.TrustPinning
	if len(pins.CertIDs[pattern]) > 0 {
		return nil, fmt.Errorf("%s is pinned to certificates under cert-ids, and beside those a root key does not count: add the certificate's ID there, or take that entry out first", pattern)
	}
	if err := decides(pattern, keys(pins.RootKeys)); err != nil {
		return nil, err
	}
	return addTo(raw, []string{"content-trust", "trust-pinning", "root-keys", pattern}, ids, p.Revoked.Keys)
}

// AddCertIDs pins root certificates for one repository. Its root keys, named
// or by pattern, do not count from then on.
func AddCertIDs(raw []byte, repository string, ids []string) ([]byte, error) {
	p, err := parseCopy(raw)
	if err != nil {
		return nil, err
	}
	if isGlob(repository) {
		return nil, fmt.Errorf("%q: a certificate is made for one repository: name it in full", repository)
	}
	if err := checkPattern(repository); err != nil {
		return nil, err
	}
	return addTo(raw, []string{"content-trust", "trust-pinning", "cert-ids", repository}, ids, p.Revoked.Keys)
}

// AddDigests lets content run under the repositories that a pattern matches.
func AddDigests(raw []byte, pattern string, digests []digest.Digest) ([]byte, error) {
	p, err := parseCopy(raw)
	if err != nil {
		return nil, err
	}
	if err := decides(pattern, keys(p.Digests)); err != nil {
		return nil, err
	}
	return addTo(raw, []string{"digests", pattern}, texts(digests), texts(p.Revoked.Digests))
}

func texts(digests []digest.Digest) []string {
	var list []string
	for _, dgst := range digests {
		list = append(list, dgst.String())
	}
	return list
}

// decides refuses a pattern that would leave the choice to chance, and one
// whose every repository a more specific pattern of the same map decides.
func decides(pattern string, patterns []string) error {
	if err := checkPattern(pattern); err != nil {
		return err
	}
	for _, other := range patterns {
		if other == pattern || !isGlob(other) || !isGlob(pattern) {
			continue
		}
		if len(other) == len(pattern) && overlap(other, pattern) {
			return fmt.Errorf("%q and %q, which the policy has, are equally specific and can match one repository: add to that one, or name the repository in full", pattern, other)
		}
		if len(other) > len(pattern) && covers(other, pattern) {
			return fmt.Errorf("%q would never decide: the policy's %q is longer and matches the same repositories, so add to that one", pattern, other)
		}
	}
	return nil
}

// covers reports whether one pattern matches whatever the other does: its
// wildcards are held against the other's, of which only "**" can take a "**".
func covers(wide, narrow string) bool {
	quoted := regexp.QuoteMeta(wide)
	quoted = strings.ReplaceAll(quoted, `\*\*`, `(?s:.*)`)
	quoted = strings.ReplaceAll(quoted, `\*`, `[^/\n]*`)
	match := regexp.MustCompile(`^(?:` + quoted + `)$`)
	return match.MatchString(strings.ReplaceAll(narrow, "**", "\n"))
}

// addTo adds values to the list at a path of keys. The bytes are those of a
// policy that Parse accepts, and what comes back is one too.
func addTo(raw []byte, path, values, revoked []string) ([]byte, error) {
	name := path[len(path)-1]
	if len(values) == 0 {
		return nil, fmt.Errorf("nothing to add for %s", name)
	}
	for _, value := range values {
		if slices.Contains(revoked, value) {
			return nil, fmt.Errorf("%s is revoked by the policy, which beats every yes: take it out under \"revoked\" first", value)
		}
	}
	tree, err := hujson.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("reading the policy: %w", err)
	}
	edited, err := newEditor(raw, tree).add(tree, path, values)
	if err != nil {
		return nil, fmt.Errorf("adding to %s: %w", name, err)
	}
	_, err = parseCopy(edited)
	if fault := new(SyntaxError); errors.As(err, &fault) {
		return nil, fmt.Errorf("adding to %s: %s", name, fault.Msg) // its line is of a text that nobody has
	}
	if err != nil {
		return nil, fmt.Errorf("adding to %s: %w", name, err)
	}
	return edited, nil
}
