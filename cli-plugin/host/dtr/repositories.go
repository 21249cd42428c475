package dtr

import (
	"context"
	"fmt"
	"iter"
	"net/url"
	"regexp"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"github.com/docker-stig/docker-stig/cli-plugin/host/mgmt"
)

// A Repository is a name in the registry.
type Repository struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// String is namespace/name.
func (r Repository) String() string { return r.Namespace + "/" + r.Name }

// A Tag is what DTR says of one tag.
type Tag struct {
	Name         string
	Digest       digest.Digest // of the manifest in the registry
	InNotary     bool          // Notary has a target of this name
	HashMismatch bool          // that target is other content
}

// Signed reports whether DTR holds the tag to be signed: Notary knows it, and
// for this content.
func (t Tag) Signed() bool { return t.InNotary && !t.HashMismatch }

var (
	component = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$`)
	tagName   = regexp.MustCompile("^" + reference.TagRegexp.String() + "$")
)

// Repositories lists what the account sees, in DTR's order. After an error
// the list is not complete and ends.
func (c *Client) Repositories(ctx context.Context) iter.Seq2[Repository, error] {
	return func(yield func(Repository, error) bool) {
		seen := map[Repository]bool{}
		for answer, err := range c.pages(ctx, []string{"api", "v0", "repositories"}, nil) {
			if err != nil {
				yield(Repository{}, err)
				return
			}
			page, err := repositoriesOf(answer.Answer)
			if err != nil {
				yield(Repository{}, err)
				return
			}
			answer.entries = len(page)
			for _, r := range page {
				if seen[r] {
					yield(Repository{}, answer.Malformed(fmt.Sprintf("repository %s is listed twice: the pages repeat themselves", r)))
					return
				}
				seen[r] = true
				if !yield(r, nil) {
					return
				}
			}
		}
	}
}

func repositoriesOf(answer mgmt.Answer) ([]Repository, error) {
	var page struct {
		Repositories *[]Repository `json:"repositories"`
	}
	if err := answer.JSON(&page); err != nil {
		return nil, err
	}
	if page.Repositories == nil {
		return nil, answer.Malformed("there is no list of repositories in it")
	}
	for _, r := range *page.Repositories {
		if !component.MatchString(r.Namespace) || !component.MatchString(r.Name) {
			return nil, answer.Malformed(fmt.Sprintf("%.300q is no name of a repository", r))
		}
	}
	return *page.Repositories, nil
}

// tags reads all tags of one repository, or none and an error: a part of them
// would look like a repository without the rest.
func (c *Client) tags(ctx context.Context, r Repository) ([]Tag, error) {
	var all []Tag
	seen := map[string]bool{}
	path := []string{"api", "v0", "repositories", r.Namespace, r.Name, "tags"}
	for answer, err := range c.pages(ctx, path, url.Values{"domain": {c.domain}}) {
		if err != nil {
			return nil, err
		}
		page, err := tagsOf(answer.Answer)
		if err != nil {
			return nil, err
		}
		answer.entries = len(page)
		for _, tag := range page {
			if seen[tag.Name] {
				return nil, answer.Malformed(fmt.Sprintf("tag %s is listed twice: the pages repeat themselves", tag.Name))
			}
			seen[tag.Name] = true
		}
		all = append(all, page...)
	}
	return all, nil
}

// tagsOf reads one page. A tag without inNotary or hashMismatch says nothing
// of its signature, and that is neither yes nor no.
func tagsOf(answer mgmt.Answer) ([]Tag, error) {
	var page *[]struct {
		Name         string        `json:"name"`
		Digest       digest.Digest `json:"digest"`
		InNotary     *bool         `json:"inNotary"`
		HashMismatch *bool         `json:"hashMismatch"`
	}
	if err := answer.JSON(&page); err != nil {
		return nil, err
	}
	if page == nil {
		return nil, answer.Malformed("there is no list of tags in it")
	}
	tags := make([]Tag, 0, len(*page))
	for _, t := range *page {
		if !tagName.MatchString(t.Name) {
			return nil, answer.Malformed(fmt.Sprintf("%.300q is no name of a tag", t.Name))
		}
		if t.InNotary == nil || t.HashMismatch == nil {
			return nil, answer.Malformed(fmt.Sprintf("tag %s lacks inNotary or hashMismatch, so DTR does not say whether it is signed", t.Name))
		}
		if t.Digest.Validate() != nil {
			return nil, answer.Malformed(fmt.Sprintf("tag %s has no digest", t.Name))
		}
		tags = append(tags, Tag{Name: t.Name, Digest: t.Digest, InNotary: *t.InNotary, HashMismatch: *t.HashMismatch})
	}
	return tags, nil
}
