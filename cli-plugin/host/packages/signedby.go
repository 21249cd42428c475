package packages

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// trust is the keys that apt accepts for one source.
type trust struct {
	keyring
	only  []Fingerprint // if not empty, no other key of the keyring counts
	exact []Fingerprint // those of only that were given with "!": not their subkeys
	scope string        // for the evidence: whom the keys are trusted for
}

// accepted drops the signers that the source's signed-by leaves out.
func (t trust) accepted(signers []signer) []signer {
	if len(t.only) == 0 {
		return signers
	}
	return slices.DeleteFunc(signers, func(s signer) bool {
		byPrimary := slices.Contains(t.only, s.primary) && !slices.Contains(t.exact, s.primary)
		return !byPrimary && !slices.Contains(t.only, s.key)
	})
}

// trust collects the keys for a source: those of its signed-by, or those apt
// trusts for every source that has none.
func (r root) trust(s source) (trust, error) {
	value := strings.TrimSpace(s.options["signed-by"])
	if value == "" {
		ring, err := r.globalKeyring()
		return trust{keyring: ring, scope: "trusted for every repository that has no signed-by"}, err
	}
	t := trust{scope: "signed-by, for this repository alone"}
	if strings.Contains(value, string(armorHeader)) {
		ring, err := newKeyring("the key inside "+s.file, unescapeKey(value))
		t.keyring = ring
		return t, err
	}
	for _, entry := range s.words("signed-by") {
		if err := t.add(r, entry); err != nil {
			return trust{}, err
		}
	}
	if len(t.only) > 0 {
		ring, err := r.globalKeyring()
		t.join(ring)
		return t, err
	}
	return t, nil
}

// add takes one entry of signed-by: a keyring's path, or a fingerprint.
func (t *trust) add(r root, entry string) error {
	if strings.HasPrefix(entry, "/") {
		ring, err := r.keyring(entry)
		if errors.Is(err, fs.ErrNotExist) {
			return rejection(fmt.Sprintf("its signed-by keyring %s does not exist", entry))
		}
		if err != nil {
			return fmt.Errorf("reading signed-by keyring: %w", err)
		}
		t.join(ring)
		return nil
	}
	f, err := ParseFingerprint(strings.TrimSuffix(entry, "!"))
	if err != nil {
		return rejection("its signed-by: " + err.Error())
	}
	t.only = append(t.only, f)
	if strings.HasSuffix(entry, "!") {
		t.exact = append(t.exact, f)
	}
	return nil
}

// globalKeyring is /etc/apt/trusted.gpg and the files of trusted.gpg.d.
func (r root) globalKeyring() (keyring, error) {
	files, err := r.list("/etc/apt/trusted.gpg.d", hasSuffix(".gpg", ".asc"))
	if err != nil {
		return keyring{}, fmt.Errorf("reading apt's keys: %w", err)
	}
	var all keyring
	for _, name := range append([]string{"/etc/apt/trusted.gpg"}, files...) {
		ring, err := r.keyring(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return keyring{}, fmt.Errorf("reading apt's keys: %w", err)
		}
		all.join(ring)
	}
	return all, nil
}

// hostKeyring is every key that apt trusts for anything, and those laid out
// for use by a signed-by. It serves a file that came from no source.
func (r root) hostKeyring() (keyring, error) {
	all, err := r.globalKeyring()
	if err != nil {
		return keyring{}, err
	}
	for _, dir := range []string{"/etc/apt/keyrings", "/usr/share/keyrings"} {
		files, err := r.list(dir, hasSuffix(".gpg", ".asc"))
		if err != nil {
			return keyring{}, fmt.Errorf("reading apt's keys: %w", err)
		}
		for _, name := range files {
			if ring, err := r.keyring(name); err == nil { // one stray file must not hide the others
				all.join(ring)
			}
		}
	}
	sources, err := r.sources()
	if err != nil {
		return keyring{}, err
	}
	for _, s := range sources {
		if t, err := r.trust(s); err == nil && s.options["signed-by"] != "" {
			all.join(t.keyring)
		}
	}
	return all, nil
}

// unescapeKey undoes deb822's writing of an armored key: "." for an empty line.
func unescapeKey(value string) []byte {
	lines := strings.Split(value, "\n")
	for i, line := range lines {
		line = strings.TrimSpace(line)
		if line == "." {
			line = ""
		}
		lines[i] = line
	}
	return []byte(strings.Join(lines, "\n"))
}
