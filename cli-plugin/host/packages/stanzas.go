package packages

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Debian's main Packages is 47 MiB plain and 9 MiB as xz; the largest archives
// are about twice that.
const (
	maxIndexFile = 512 << 20 // bytes on disk, plain ones among them
	maxIndexText = 512 << 20 // bytes decompressed
)

// An indexRead is what one pass over a Packages file found.
type indexRead struct {
	stanzas    []stanza
	plain      digest // of the text
	compressed digest // of the file's bytes
}

// readIndex goes over a Packages file once: it hashes the bytes as they lie
// there and as they decompress, and keeps the paragraphs that want asks for.
// What it returns is worth nothing until one of the digests is found signed.
func readIndex(ctx context.Context, name string, file io.Reader, want func(paragraph []byte) bool) (indexRead, error) {
	raw := &counter{r: &boundedReader{ctx: ctx, r: file, left: maxIndexFile, what: name}, h: sha256.New()}
	text, err := decompress(raw)
	if err != nil {
		return indexRead{}, fmt.Errorf("decompressing %s: %w", name, err)
	}
	plain := &counter{r: &boundedReader{ctx: ctx, r: text, left: maxIndexText, what: name}, h: sha256.New()}
	found, err := selectStanzas(plain, want)
	if err != nil {
		return indexRead{}, fmt.Errorf("reading %s: %w", name, err)
	}
	if _, err := io.Copy(io.Discard, raw); err != nil { // bytes behind the compressed data
		return indexRead{}, fmt.Errorf("reading %s: %w", name, err)
	}
	return indexRead{stanzas: found, plain: plain.digest(), compressed: raw.digest()}, nil
}

func selectStanzas(r io.Reader, want func([]byte) bool) ([]stanza, error) {
	paragraphs := newParagraphReader(r)
	var found []stanza
	for {
		paragraph, err := paragraphs.next()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		if !want(paragraph) {
			continue
		}
		s, err := parseStanza(paragraph)
		if err != nil {
			return nil, err
		}
		found = append(found, s)
	}
}

// A counter hashes and counts what is read through it.
type counter struct {
	r io.Reader
	h hash.Hash
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.h.Write(p[:n])
	c.n += int64(n)
	return n, err
}

func (c *counter) digest() digest { return digest{sum: hex.EncodeToString(c.h.Sum(nil)), size: c.n} }

// ofPackage wants the paragraphs of one package.
func ofPackage(name string) func([]byte) bool {
	field := []byte("Package: " + name)
	return func(paragraph []byte) bool {
		if !bytes.Contains(paragraph, field) {
			return false
		}
		for line := range bytes.Lines(paragraph) {
			if bytes.Equal(bytes.TrimRight(line, " \t\r\n"), field) {
				return true
			}
		}
		return false
	}
}

// buildFields tell two builds of one version apart. apt's own list
// (debListParser::VersionHash) leaves Maintainer out.
var buildFields = []string{"maintainer", "installed-size", "depends", "pre-depends", "conflicts", "breaks", "replaces"}

// otherBuild names the fields in which a stanza differs from the installed
// package of the same name, version and architecture.
func otherBuild(installed, offered stanza) []string {
	return slices.DeleteFunc(slices.Clone(buildFields), func(field string) bool {
		return plainField(installed[field]) == plainField(offered[field])
	})
}

// oldRelation is "<" or ">" as dpkg once wrote "<=" and ">=".
var oldRelation = regexp.MustCompile(`\(([<>])([^<>=])`)

// plainField undoes what dpkg changes in a field when it records it.
func plainField(value string) string {
	value = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, value)
	return oldRelation.ReplaceAllString(value, "($1=$2")
}
