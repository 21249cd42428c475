package packages

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"
)

const maxRelease = 16 << 20 // bytes; Debian's InRelease is 150 KiB

// A rejection says why a repository does not vouch for a package.
type rejection string

func (r rejection) Error() string { return string(r) }

// A release is what the release file of a repository says, once its signature
// has been verified.
type release struct {
	origin     string
	validUntil time.Time         // zero: forever
	sha256     map[string]digest // of each index, by its name
}

type digest struct {
	sum  string // hex, lower case
	size int64
}

// parseRelease reads the fields of a release file that are judged.
func parseRelease(text []byte) (release, error) {
	paragraph, err := newParagraphReader(bytes.NewReader(text)).next()
	if err != nil {
		return release{}, fmt.Errorf("reading release file: %w", err)
	}
	fields, err := parseStanza(paragraph)
	if err != nil {
		return release{}, fmt.Errorf("reading release file: %w", err)
	}
	r := release{origin: fields["origin"], sha256: map[string]digest{}}
	if until := fields["valid-until"]; until != "" {
		if r.validUntil, err = parseDate(until); err != nil {
			return release{}, fmt.Errorf("reading release file: Valid-Until: %w", err)
		}
	}
	for line := range strings.Lines(fields["sha256"]) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		name, d, err := parseDigest(line)
		if err != nil {
			return release{}, fmt.Errorf("reading release file: %w", err)
		}
		r.sha256[name] = d
	}
	return r, nil
}

// parseDigest reads "SHA-256 SIZE NAME".
func parseDigest(line string) (name string, d digest, err error) {
	words := strings.Fields(line)
	if len(words) != 3 {
		return "", digest{}, fmt.Errorf("%.120q is not digest, size and name", line)
	}
	sum, err := hex.DecodeString(words[0])
	if err != nil || len(sum) != sha256.Size {
		return "", digest{}, fmt.Errorf("%.80q is no SHA-256", words[0])
	}
	size, err := strconv.ParseInt(words[1], 10, 64)
	if err != nil {
		return "", digest{}, fmt.Errorf("size of %.80s: %w", words[2], err)
	}
	return path.Clean(words[2]), digest{sum: hex.EncodeToString(sum), size: size}, nil
}

// parseDate reads the date of RFC 2822 that release files carry, in UTC.
func parseDate(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC1123, "Mon, _2 Jan 2006 15:04:05 MST", time.RFC1123Z} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%.60q is no date", text)
}

// names tells whether the release lists these bytes, plain or as compressed,
// as one of the names.
func (r release) names(is func(name string) bool, sums ...digest) bool {
	for name, want := range r.sha256 {
		if !is(strings.TrimSuffix(name, path.Ext(name))) && !is(name) {
			continue
		}
		for _, sum := range sums {
			if sum == want {
				return true
			}
		}
	}
	return false
}

// A signedRelease is a release file and those whose signatures over it hold.
type signedRelease struct {
	release
	file string
	check
}

// release reads and verifies the release file of a source.
func (j *judge) release(s source, arch string, t trust) (signedRelease, error) {
	base := path.Join(listsDir, listName(s.base(arch)))
	file := base + "InRelease"
	data, err := j.root.read(file, maxRelease)
	if err == nil {
		return verifyInRelease(file, data, t, j.now)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return signedRelease{}, err
	}
	file = base + "Release"
	data, err = j.root.read(file, maxRelease)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return signedRelease{}, err
	}
	sig, sigErr := j.root.read(file+".gpg", maxSignature)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(sigErr, fs.ErrNotExist) {
		return signedRelease{}, rejection("it is not signed")
	}
	if sigErr != nil {
		return signedRelease{}, sigErr
	}
	return verifyDetached(file, data, sig, t, j.now)
}

func verifyInRelease(file string, data []byte, t trust, now time.Time) (signedRelease, error) {
	signed, text, sigs, err := clearsigned(data)
	if err != nil {
		return signedRelease{}, rejection(fmt.Sprintf("%s %v", file, err))
	}
	return verifyRelease(file, signed, text, sigs, t, now)
}

func verifyDetached(file string, data, sig []byte, t trust, now time.Time) (signedRelease, error) {
	sigs, err := detached(sig)
	if err != nil {
		return signedRelease{}, rejection(fmt.Sprintf("%s.gpg: %v", file, err))
	}
	return verifyRelease(file, data, data, sigs, t, now)
}

// verifyRelease parses a release file after, and only after, a signature
// over it has held.
func verifyRelease(file string, signed, text, sigs []byte, t trust, now time.Time) (signedRelease, error) {
	c, err := verify(t.keyring, func() io.Reader { return bytes.NewReader(signed) }, sigs, now)
	if err != nil {
		return signedRelease{}, rejection(fmt.Sprintf("%s: %v", file, err))
	}
	c.signers = t.accepted(c.signers)
	if len(c.signers) == 0 {
		return signedRelease{}, rejection(fmt.Sprintf("%s: no signature holds: %s", file, c.why()))
	}
	r, err := parseRelease(text)
	if err != nil {
		return signedRelease{}, fmt.Errorf("%s: %w", file, err)
	}
	return signedRelease{release: r, file: file, check: c}, nil
}
