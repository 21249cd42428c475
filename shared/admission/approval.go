package admission

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// An Approval says that a container was accepted in full when it was made: its
// image ID, and by what rules. Its image ID is ID, of the policy.Grant.
type Approval struct {
	Container string // ID
	policy.Grant
	Signers []string // for the record; what binds are Terms
	Made    time.Time
}

// Bounds of an approval.
const (
	maxApproval = 256 << 10 // bytes of its file
	maxListed   = 512       // digests, keys or signers; a digest takes 75 bytes
	maxText     = 1 << 10   // bytes of a scope, key or signer
)

// approvalVersion is the version of the file's form.
const approvalVersion = 1

// An approvalFile is an approval as its file has it.
type approvalFile struct {
	Version    int             `json:"version"`
	Container  string          `json:"container"`
	Image      digest.Digest   `json:"image"` // its ID
	Repository string          `json:"repository"`
	Digest     digest.Digest   `json:"digest"`
	Digests    []digest.Digest `json:"digests,omitempty"`
	Seen       bool            `json:"seen,omitempty"`
	Parts      []digest.Digest `json:"parts,omitempty"`
	Method     trust.Method    `json:"method"`
	Scope      string          `json:"scope"`
	Terms      string          `json:"terms,omitempty"`
	Keys       []string        `json:"keys,omitempty"`
	Signers    []string        `json:"signers,omitempty"`
	Made       time.Time       `json:"made"`
}

var (
	fullID    = regexp.MustCompile(`^[0-9a-f]{64}$`) // of a container; SHA-256 in Terms looks the same
	fileNames = regexp.MustCompile(`^([0-9a-f]{64})\.json$`)
)

// parseApproval reads the approval of the container with an ID.
func parseApproval(id string, raw []byte) (Approval, error) {
	var file approvalFile
	if err := decode(raw, &file); err != nil {
		return Approval{}, err
	}
	if file.Version != approvalVersion {
		return Approval{}, fmt.Errorf("%w: it has version %d, and this program knows %d", errUnbelieved, file.Version, approvalVersion)
	}
	if file.Container != id {
		return Approval{}, fmt.Errorf("%w: it is of another container", errUnbelieved)
	}
	ref, err := reference.ParseNamed(file.Repository)
	if err != nil {
		return Approval{}, fmt.Errorf("%w: repository: %w", errUnbelieved, err)
	}
	a := Approval{
		Container: file.Container,
		Grant: policy.Grant{
			Ref: ref, Digest: file.Digest, ID: file.Image, Digests: file.Digests, Seen: file.Seen, Parts: file.Parts,
			Method: file.Method, Keys: file.Keys, Scope: file.Scope, Terms: file.Terms,
		},
		Signers: file.Signers,
		Made:    file.Made,
	}
	if err := a.check(); err != nil {
		return Approval{}, fmt.Errorf("%w: %w", errUnbelieved, err)
	}
	return a, nil
}

// encode writes what parseApproval reads.
func (a Approval) encode() ([]byte, error) {
	if err := a.check(); err != nil {
		return nil, err
	}
	return json.Marshal(approvalFile{
		Version: approvalVersion, Container: a.Container, Image: a.ID, Repository: a.Ref.Name(),
		Digest: a.Digest, Digests: a.Digests, Seen: a.Seen, Parts: a.Parts, Method: a.Method, Scope: a.Scope, Terms: a.Terms,
		Keys: a.Keys, Signers: a.Signers, Made: a.Made,
	})
}

// check wants everything in place that an approval binds.
func (a Approval) check() error {
	if !fullID.MatchString(a.Container) {
		return errors.New("it is of no container")
	}
	if a.Ref == nil || !reference.IsNameOnly(a.Ref) {
		return errors.New("it is of no repository")
	}
	if a.Scope == "" || a.Made.IsZero() {
		return errors.New("it does not say by which scope, or when")
	}
	switch a.Method {
	case trust.DCT, trust.Cosign:
		if !fullID.MatchString(a.Terms) {
			return errors.New("it does not say by which terms")
		}
	case trust.DigestList:
	default:
		return fmt.Errorf("%q is no method", a.Method)
	}
	for _, dgst := range slices.Concat([]digest.Digest{a.ID, a.Digest}, a.Digests, a.Parts) {
		if err := dgst.Validate(); err != nil {
			return err
		}
	}
	if most := max(len(a.Digests), len(a.Parts)); most > maxListed {
		return fmt.Errorf("its content has %d digests or parts, and %d are the most that are kept", most, maxListed)
	}
	return checkTexts(append([]string{a.Scope}, a.Keys...), a.Signers)
}

func checkTexts(lists ...[]string) error {
	for _, list := range lists {
		if len(list) > maxListed {
			return fmt.Errorf("it lists %d keys or signers, and %d are the most that are kept", len(list), maxListed)
		}
		for _, text := range list {
			if len(text) > maxText {
				return fmt.Errorf("it has a text of %d bytes, and %d are the most that are kept", len(text), maxText)
			}
		}
	}
	return nil
}
