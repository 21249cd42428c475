package admission

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"github.com/docker-stig/docker-stig/shared/trust"
)

// An Allowance lets content run for a while although nobody vouches for it:
// break-glass. It is never a signature.
type Allowance struct {
	Repository string        `json:"repository"` // its full name
	Digest     digest.Digest `json:"digest"`     // of the content: a manifest's, or an image ID
	Until      time.Time     `json:"until"`
	Reason     string        `json:"reason"`
	Author     string        `json:"author"`
	Made       time.Time     `json:"made"`
}

// Bounds of allowances.
const (
	// MaxAllowance is how long an allowance can last. What is to run for longer
	// belongs into the policy, under digests, where it is seen and reviewed.
	MaxAllowance  = 30 * 24 * time.Hour
	maxAllowances = 1_000
	maxSaid       = 500     // bytes of a reason or an author
	maxAllowFile  = 4 << 20 // bytes: a thousand of the longest
)

// Holds reports whether the allowance lets anything run at a time. One that
// was made later than now comes of a clock that was set back: how long it has
// lasted cannot be told.
func (a Allowance) Holds(now time.Time) bool {
	return !now.Before(a.Made) && now.Before(a.Until)
}

// lets reports whether the content a question is about is what is allowed: by
// what the engine holds, or, before it holds anything, by the digest asked for.
func (a Allowance) lets(q trust.Question) bool {
	if q.Ref == nil || q.Ref.Name() != a.Repository {
		return false
	}
	if q.Content.IsZero() {
		digested, ok := q.Ref.(reference.Digested)
		return ok && digested.Digest() == a.Digest
	}
	return q.Content.ID == a.Digest || q.Content.Is(a.Digest)
}

// sameContent reports whether both are for the same content in the same
// repository.
func (a Allowance) sameContent(b Allowance) bool {
	return a.Repository == b.Repository && a.Digest == b.Digest
}

// Check wants everything in place that an allowance needs, Made included.
func (a Allowance) Check() error {
	named, err := reference.ParseNamed(a.Repository)
	if err != nil || !reference.IsNameOnly(named) {
		return fmt.Errorf("%q is no full name of a repository", a.Repository)
	}
	if err := a.Digest.Validate(); err != nil {
		return fmt.Errorf("digest %q: %w", a.Digest, err)
	}
	if a.Made.IsZero() || !a.Until.After(a.Made) {
		return errors.New("an allowance ends after it begins")
	}
	if a.Until.Sub(a.Made) > MaxAllowance {
		return fmt.Errorf("an allowance lasts %d days at most: list the digest in the policy, under digests, if it is to run for longer", MaxAllowance/(24*time.Hour))
	}
	if err := checkSaid("reason", a.Reason); err != nil {
		return err
	}
	return checkSaid("author", a.Author)
}

// checkSaid wants one line of text, which stands in logs and on terminals.
func checkSaid(what, text string) error {
	if strings.TrimSpace(text) == "" {
		return fmt.Errorf("an allowance needs a %s", what)
	}
	if len(text) > maxSaid {
		return fmt.Errorf("the %s of an allowance has %d bytes at most", what, maxSaid)
	}
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Errorf("the %s of an allowance is one line of printable text", what)
	}
	return nil
}

const allowancesVersion = 1

type allowancesFile struct {
	Version    int         `json:"version"`
	Allowances []Allowance `json:"allowances"`
}

// parseAllowances reads a file of allowances. One that is out of form makes
// the file unbelieved as a whole.
func parseAllowances(raw []byte) ([]Allowance, error) {
	var file allowancesFile
	if err := decode(raw, &file); err != nil {
		return nil, err
	}
	if file.Version != allowancesVersion {
		return nil, fmt.Errorf("%w: it has version %d, and this program knows %d", errUnbelieved, file.Version, allowancesVersion)
	}
	if len(file.Allowances) > maxAllowances {
		return nil, fmt.Errorf("%w: it has more than %d allowances", errUnbelieved, maxAllowances)
	}
	for i := range file.Allowances {
		a := &file.Allowances[i]
		if err := a.Check(); err != nil {
			return nil, fmt.Errorf("%w: allowance %d: %w", errUnbelieved, i+1, err)
		}
		a.Made, a.Until = a.Made.UTC(), a.Until.UTC() // so that the same one compares equal
	}
	return file.Allowances, nil
}

func encodeAllowances(list []Allowance) ([]byte, error) {
	if len(list) > maxAllowances {
		return nil, fmt.Errorf("there are %d allowances, and no more are kept: wait until some have ended", maxAllowances)
	}
	raw, err := json.MarshalIndent(allowancesFile{Version: allowancesVersion, Allowances: list}, "", "  ")
	return append(raw, '\n'), err
}
