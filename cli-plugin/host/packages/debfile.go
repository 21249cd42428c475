package packages

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

const (
	maxDebFile = 1 << 30 // bytes; docker-ce is 25 MB, docker-ee was 30
	maxDebText = 8 << 30 // bytes of its data archive, unpacked
)

// cachedDeb looks for the package's file in apt's cache. If it is there its
// SHA-256 must be one of those signed, and the dockerd inside must be the one
// installed: then the chain holds byte for byte, and proven is true.
func (j *judge) cachedDeb(ctx context.Context, p debPackage, signed []string) (proven bool, err error) {
	name := path.Join(archivesDir, strings.NewReplacer(":", "%3a").Replace(p.name()+"_"+p.version()+"_"+p.arch()+".deb"))
	sum, err := j.root.digest(name, sha256.New())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading apt's cache: %w", err)
	}
	if !slices.Contains(signed, sum) {
		j.fact("apt", name, "SHA-256 %s, signed are %s", sum, strings.Join(signed, ", "))
		return false, j.refuse(fmt.Sprintf("%s, which apt holds as %s, is not the file that the signed metadata names", name, p),
			"remove it from the cache, and reinstall the package from the vendor's repository")
	}
	j.fact("apt", name, "SHA-256 %s, as the signed metadata names it", sum)
	file, err := j.root.open(name)
	if err != nil {
		return false, fmt.Errorf("reading apt's cache: %w", err)
	}
	defer file.Close()
	inside, err := debEngines(ctx, name, file)
	if err != nil {
		return false, err
	}
	return true, j.sameAsPackaged(p, name, inside)
}

func (j *judge) sameAsPackaged(p debPackage, deb string, inside map[string]string) error {
	got, err := j.root.digest(p.binary, sha256.New())
	if err != nil {
		return fmt.Errorf("reading the engine's binary: %w", err)
	}
	if inside[p.binary] != got {
		j.fact("disk", p.binary, "SHA-256 %s, in the package %q", got, inside[p.binary])
		return j.refuse(fmt.Sprintf("%s is not the one inside %s, which the signed metadata names", p.binary, deb),
			"find out who changed it, and reinstall the package")
	}
	j.fact("disk", p.binary, "SHA-256 %s, as inside %s", got, deb)
	return nil
}

// debEngines gives path and SHA-256 of each dockerd in a .deb, whose bytes
// were verified before.
func debEngines(ctx context.Context, name string, file io.Reader) (map[string]string, error) {
	data, err := arMember(&boundedReader{ctx: ctx, r: file, left: maxDebFile, what: name}, "data.tar")
	if err != nil {
		return nil, fmt.Errorf("unpacking %s: %w", name, err)
	}
	plain, err := decompress(data)
	if err != nil {
		return nil, fmt.Errorf("unpacking %s: %w", name, err)
	}
	engines, err := tarEngines(tar.NewReader(&boundedReader{ctx: ctx, r: plain, left: maxDebText, what: name}))
	if err != nil {
		return nil, fmt.Errorf("unpacking %s: %w", name, err)
	}
	return engines, nil
}

func tarEngines(files *tar.Reader) (map[string]string, error) {
	engines := map[string]string{}
	for {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return engines, nil
		}
		if err != nil {
			return nil, err
		}
		if h.Typeflag != tar.TypeReg || !isEngineName(h.Name) {
			continue
		}
		sum, err := digestOf(files, h.Name, sha256.New())
		if err != nil {
			return nil, err
		}
		engines[path.Clean("/"+h.Name)] = sum
	}
}

// arMember finds the member of an ar archive (deb(5)) whose name begins so.
func arMember(r io.Reader, prefix string) (io.Reader, error) {
	magic := make([]byte, 8)
	if _, err := io.ReadFull(r, magic); err != nil || string(magic) != "!<arch>\n" {
		return nil, errors.New("is no Debian package")
	}
	header := make([]byte, 60) // name 16, date 12, owner 6, group 6, mode 8, size 10, end 2
	for {
		if _, err := io.ReadFull(r, header); err != nil {
			return nil, fmt.Errorf("holds no %s: %w", prefix, err)
		}
		size, err := strconv.ParseInt(string(bytes.TrimSpace(header[48:58])), 10, 64)
		if err != nil || size < 0 || string(header[58:]) != "`\n" {
			return nil, errors.New("is damaged: bad archive header")
		}
		if bytes.HasPrefix(header, []byte(prefix)) {
			return io.LimitReader(r, size), nil
		}
		if _, err := io.CopyN(io.Discard, r, size+size%2); err != nil { // members begin at even offsets
			return nil, fmt.Errorf("is damaged: %w", err)
		}
	}
}
