package notary

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	canonical "github.com/docker/go/canonical/json"
	"github.com/theupdateframework/notary/tuf/data"
)

// Bounds of metadata that nobody has verified. docker trust writes five levels
// and one signature for each key.
const (
	maxDepth      = 16
	maxSignatures = 64
	maxKeys       = 64 // of one role in the root
	maxRootKeys   = 4 * maxKeys
)

// parseSigned reads untrusted metadata. What it accepts says the same thing to
// every reader: notary checks signatures over a map, of which the last of two
// equal members stays, and fills structs, into which both are merged.
func parseSigned(raw []byte) (*data.Signed, error) {
	if err := checkForm(raw); err != nil {
		return nil, fmt.Errorf("the answer is no TUF metadata: %w", err)
	}
	untrusted := new(data.Signed)
	if err := canonical.Unmarshal(raw, untrusted); err != nil {
		return nil, fmt.Errorf("the answer is no TUF metadata: %w", err)
	}
	if untrusted.Signed == nil {
		return nil, errors.New("the answer is no TUF metadata: it has no signed part")
	}
	if len(untrusted.Signatures) > maxSignatures {
		return nil, fmt.Errorf("the answer has %d signatures, and %d are the most that are read", len(untrusted.Signatures), maxSignatures)
	}
	return untrusted, nil
}

func parseRoot(raw []byte) (*data.SignedRoot, error) {
	untrusted, err := parseSigned(raw)
	if err != nil {
		return nil, err
	}
	root, err := data.RootFromSigned(untrusted)
	if err != nil {
		return nil, err
	}
	if len(root.Signed.Keys) > maxRootKeys {
		return nil, fmt.Errorf("the root has %d keys, and %d are the most that are read", len(root.Signed.Keys), maxRootKeys)
	}
	for _, key := range root.Signed.Keys {
		if err := checkSize(key); err != nil {
			return nil, fmt.Errorf("the root: %w", err)
		}
	}
	for name, role := range root.Signed.Roles {
		if role != nil && len(role.KeyIDs) > maxKeys {
			return nil, fmt.Errorf("the root gives role %s %d keys, and %d are the most that are read", name, len(role.KeyIDs), maxKeys)
		}
	}
	return root, nil
}

// checkForm wants one JSON object with the members signed and signatures and
// no other, no member twice in any object, no null in a list, and no deeper
// nesting than metadata has.
func checkForm(raw []byte) error {
	if !utf8.Valid(raw) {
		return errors.New("it is not UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if first, err := decoder.Token(); err != nil || first != json.Delim('{') {
		return errors.Join(errors.New("it is no JSON object"), err)
	}
	f := form{decoder: decoder}
	if err := f.object(1); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is data behind it")
	}
	return nil
}

// A form walks through JSON by its tokens.
type form struct{ decoder *json.Decoder }

func (f form) object(depth int) error {
	seen := map[string]bool{}
	for f.decoder.More() {
		token, err := f.decoder.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string) // an object's member always has a name
		if seen[name] {
			return fmt.Errorf("member %.40q stands twice in one object", name)
		}
		seen[name] = true
		if depth == 1 && name != "signed" && name != "signatures" {
			return fmt.Errorf("it has a member %.40q", name)
		}
		if err := f.value(depth, true); err != nil {
			return err
		}
	}
	_, err := f.decoder.Token()
	return err
}

func (f form) list(depth int) error {
	for f.decoder.More() {
		if err := f.value(depth, false); err != nil {
			return err
		}
	}
	_, err := f.decoder.Token()
	return err
}

func (f form) value(depth int, nullable bool) error {
	token, err := f.decoder.Token()
	switch {
	case err != nil:
		return err
	case depth > maxDepth:
		return fmt.Errorf("it is nested deeper than %d levels", maxDepth)
	case token == nil && !nullable:
		return errors.New("a list has a null in it")
	case token == json.Delim('{'):
		return f.object(depth + 1)
	case token == json.Delim('['):
		return f.list(depth + 1)
	default:
		return nil
	}
}
