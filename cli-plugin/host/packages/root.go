package packages

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	securejoin "github.com/cyphar/filepath-securejoin"
)

// A root is a host's root directory. Symbolic links are followed as the host
// itself would follow them, and never lead out of it.
type root string

func (r root) resolve(name string) (string, error) {
	full, err := securejoin.SecureJoin(string(r), name)
	if err != nil {
		return "", fmt.Errorf("resolving %s: %w", name, err)
	}
	return full, nil
}

// open opens a regular file; a pipe or device could block or never end.
func (r root) open(name string) (*os.File, error) {
	full, err := r.resolve(name)
	if err != nil {
		return nil, err
	}
	return openFile(full)
}

func openFile(full string) (*os.File, error) {
	info, err := os.Stat(full)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", full)
	}
	return os.Open(full)
}

func (r root) read(name string, limit int64) ([]byte, error) {
	f, err := r.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, name, limit)
}

// readAll reads at most limit bytes, and fails on more.
func readAll(r io.Reader, name string, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("reading %s: more than %d bytes", name, limit)
	}
	return data, nil
}

func (r root) isFile(name string) bool {
	full, err := r.resolve(name)
	if err != nil {
		return false
	}
	info, err := os.Stat(full)
	return err == nil && info.Mode().IsRegular()
}

func isFolder(full string) bool {
	info, err := os.Stat(full)
	return err == nil && info.IsDir()
}

// list gives the names in a directory for which keep is true, in order; a
// directory that is not there has none.
func (r root) list(dir string, keep func(string) bool) ([]string, error) {
	full, err := r.resolve(dir)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(full)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if keep(e.Name()) {
			names = append(names, path.Join(dir, e.Name()))
		}
	}
	return names, nil
}

func hasSuffix(suffixes ...string) func(string) bool {
	return func(name string) bool {
		for _, s := range suffixes {
			if strings.HasSuffix(name, s) {
				return true
			}
		}
		return false
	}
}

// digest hashes a file.
func (r root) digest(name string, h hash.Hash) (string, error) {
	f, err := r.open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return digestOf(f, name, h)
}

func digestOf(r io.Reader, name string, h hash.Hash) (string, error) {
	if _, err := io.Copy(h, r); err != nil {
		return "", fmt.Errorf("reading %s: %w", name, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// matchesEngines compares every dockerd on disk with the digests of a
// package's own; it is false when there is none to compare.
func (j *judge) matchesEngines(digests map[string]string) (bool, error) {
	found := j.enginesOnDisk()
	same := len(found) > 0
	for _, name := range found {
		got, err := j.root.digest(name, sha256.New())
		if err != nil {
			return false, err
		}
		if !containsValue(digests, got) {
			j.fact("disk", name, "SHA-256 %s: is not the dockerd of this package", got)
			same = false
			continue
		}
		j.fact("disk", name, "SHA-256 %s: the dockerd of this package", got)
	}
	return same, nil
}

func containsValue(m map[string]string, value string) bool {
	for _, v := range m {
		if v == value {
			return true
		}
	}
	return false
}
