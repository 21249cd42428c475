package signing

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// Signing without a network goes in three steps, between which files are
// carried: Prepare asks trust servers, SignPrepared signs where the keys are,
// and PublishSigned publishes. Nothing in the files is secret, and
// nothing in them is believed: the metadata is verified from its root where it
// is signed, and from the server's root again before it is published.
//
// Both are JSON, and canonical: a file that docker stig would not have written
// in just these bytes is refused, as doubled or unknown keys would be.
const (
	preparedForm = "docker-stig-prepared/1"
	signedForm   = "docker-stig-signed/1"
)

// maxCarried bounds a carried file; the metadata of 100,000 tags has 20 MiB,
// and a third more in base64.
const maxCarried = 256 << 20 // bytes

// Prepared is what has to be known to sign: which digests tags name, and what
// the trust servers have of their repositories.
type Prepared struct {
	Form         string               `json:"form"`
	Repositories []PreparedRepository `json:"repositories"` // by name
}

// A PreparedRepository is one repository as its trust server has it.
type PreparedRepository struct {
	GUN     string            `json:"gun"`
	Server  string            `json:"server"` // its address, by which it is published later
	Targets []Target          `json:"targets"`
	Roots   [][]byte          `json:"roots,omitempty"` // by version, the last one the current; none: it has no signatures
	Roles   map[string][]byte `json:"roles,omitempty"` // timestamp, snapshot, targets and delegations
	Keys    map[string][]byte `json:"keys,omitempty"`  // public ones of the server, for a repository that begins: timestamp, snapshot
}

// Publication is what was signed and is to be published.
type Publication struct {
	Form         string             `json:"form"`
	Repositories []SignedRepository `json:"repositories"` // by name
}

// A SignedRepository is what is to be published of one repository.
type SignedRepository struct {
	GUN       string            `json:"gun"`
	Server    string            `json:"server"`
	Targets   []Target          `json:"targets"`
	Unchanged []string          `json:"unchanged,omitempty"` // tags that were signed so before
	Roles     []string          `json:"roles"`               // that hold the tags
	RootKey   string            `json:"rootKey,omitempty"`   // canonical ID, of a repository that begins
	Basis     map[string]string `json:"basis,omitempty"`     // sha256 of the roles that the server had; none: it begins
	Metadata  map[string][]byte `json:"metadata,omitempty"`  // to be published; none: all is unchanged
}

// Write writes a new file, whole or not at all.
func (p Prepared) Write(path string) error { return writeNew(path, p) }

// Write writes a new file, whole or not at all.
func (p Publication) Write(path string) error { return writeNew(path, p) }

// ReadPrepared reads the file that Write wrote.
func ReadPrepared(path string) (Prepared, error) {
	p, err := readCarried(path, decodePrepared)
	if err != nil {
		return p, fmt.Errorf("reading what was prepared: %w", err)
	}
	return p, nil
}

// ReadPublication reads the file that Write wrote.
func ReadPublication(path string) (Publication, error) {
	p, err := readCarried(path, decodePublication)
	if err != nil {
		return p, fmt.Errorf("reading what was signed: %w", err)
	}
	return p, nil
}

func readCarried[T any](path string, decode func([]byte) (T, error)) (T, error) {
	raw, err := readUpTo(path, maxCarried)
	if err != nil {
		var none T
		return none, err
	}
	read, err := decode(raw)
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return read, err
}

func decodePrepared(raw []byte) (Prepared, error) {
	p, err := decodeForm[Prepared](raw, preparedForm, "docker stig trust sign --prepare")
	if err != nil {
		return Prepared{}, err
	}
	return p, checkAll(p.Repositories)
}

func decodePublication(raw []byte) (Publication, error) {
	p, err := decodeForm[Publication](raw, signedForm, "docker stig trust sign --from")
	if err != nil {
		return Publication{}, err
	}
	return p, checkAll(p.Repositories)
}

// errChanged says that the bytes are not those that docker stig wrote.
var errChanged = errors.New("it was changed since docker stig wrote it")

// decodeForm reads a file of one form, and nothing that would be written in
// other bytes.
func decodeForm[T any](raw []byte, form, by string) (T, error) {
	var none, read T
	var head struct {
		Form string `json:"form"`
	}
	if json.Unmarshal(raw, &head) != nil || head.Form == "" {
		return none, fmt.Errorf("it is not what %s writes", by)
	}
	if head.Form != form {
		return none, fmt.Errorf("its form is %.40q, and not %s, which %s writes", head.Form, form, by)
	}
	if err := json.Unmarshal(raw, &read); err != nil {
		return none, errChanged
	}
	again, err := encodeForm(read)
	if err != nil || !bytes.Equal(raw, again) {
		return none, errChanged
	}
	return read, nil
}

func encodeForm(value any) ([]byte, error) {
	raw, err := json.MarshalIndent(value, "", "  ")
	return append(raw, '\n'), err
}

// writeNew writes a file that only its owner reads, and overwrites none.
func writeNew(path string, value any) error {
	raw, err := encodeForm(value)
	if err != nil {
		return err
	}
	if len(raw) > maxCarried {
		return fmt.Errorf("writing %s: it would have %d MiB, and %d are read: sign fewer repositories at once", path, len(raw)>>20, maxCarried>>20)
	}
	if err := CheckNew(path); err != nil {
		return err
	}
	if err := renameio.WriteFile(path, raw, 0o600, renameio.WithTempDir(filepath.Dir(path))); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// CheckNew refuses a path that something lies at.
func CheckNew(path string) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s is there already, and is not overwritten: remove it, or give another name", path)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
