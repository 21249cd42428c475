package bundle

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

// What a person does about a bundle that does not read.
const (
	copyAgain   = "the file was damaged on its way: copy it again, and compare its sha256 on both sides"
	exportAgain = "the file is not as docker-stig wrote it: copy the original again, or export it anew"
)

// Read reads a bundle to its end. Every byte of it is accounted for: the file
// is the one that Write would write. Configurations and layers are hashed as
// they pass, and not kept.
func Read(r io.Reader) (Bundle, error) {
	b, err := (&reader{r: bufio.NewReaderSize(r, 1<<16)}).bundle()
	if err != nil {
		return Bundle{}, fmt.Errorf("reading the bundle: %w", err)
	}
	return b, nil
}

// A reader walks through the tar. It compares each header with the one that
// belongs there; so it need not understand what tar can do else.
type reader struct{ r *bufio.Reader }

func (r *reader) bundle() (Bundle, error) {
	raw, err := r.index()
	if err != nil {
		return Bundle{}, err
	}
	x, err := parseIndex(raw)
	if err != nil {
		return Bundle{}, fmt.Errorf("%s: %w", indexName, err)
	}
	for _, f := range x.metadata() {
		if f.raw, err = r.file(f); err != nil {
			return Bundle{}, err
		}
	}
	b := x.bundle()
	p, err := newPlan(b, len(x.Blobs) > 0)
	if err != nil {
		return Bundle{}, err
	}
	if err := p.index.compare(raw); err != nil {
		return Bundle{}, err
	}
	for _, f := range p.layout {
		if err := r.copy(io.Discard, f); err != nil {
			return Bundle{}, err
		}
	}
	for i := range p.blobs {
		if err := r.copy(io.Discard, &p.blobs[i]); err != nil {
			return Bundle{}, err
		}
		b.Blobs = append(b.Blobs, p.blobs[i].blob())
	}
	return b, r.end()
}

// index reads the first file, whose size nothing has told.
func (r *reader) index() ([]byte, error) {
	block, err := r.r.Peek(blockSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if err := compressed(block); err != nil {
		return nil, err
	}
	first, err := tar.NewReader(bytes.NewReader(block)).Next()
	if err != nil {
		return nil, errors.New("it is no bundle of docker stig trust export, nor any other tar archive; see whether this is the right file")
	}
	if first.Name != indexName {
		return nil, fmt.Errorf("it is a tar archive, but no bundle: it begins with %.100q, not with %s; make one with docker stig trust export", first.Name, indexName)
	}
	if first.Size > maxIndex {
		return nil, fmt.Errorf("%s is longer than the %d MiB that are read", indexName, maxIndex>>20)
	}
	if err := r.header(indexName, first.Size); err != nil {
		return nil, err
	}
	content := memory{size: first.Size}
	err = r.content(&content, indexName, first.Size)
	return content.raw, err
}

// magic is how compressed files begin.
var magic = []struct{ prefix, name, tool string }{
	{"\x1f\x8b", "gzip", "gunzip"},
	{"\x28\xb5\x2f\xfd", "zstd", "unzstd"},
	{"\xfd7zXZ\x00", "xz", "unxz"},
	{"BZh", "bzip2", "bunzip2"},
	{"PK\x03\x04", "zip", "unzip"},
}

func compressed(block []byte) error {
	for _, m := range magic {
		if strings.HasPrefix(string(block), m.prefix) {
			return fmt.Errorf("it is compressed with %s: unpack it with %s first", m.name, m.tool)
		}
	}
	return nil
}

// file reads a file into memory; its size was checked.
func (r *reader) file(f *file) ([]byte, error) {
	content := memory{size: f.Size}
	err := r.copy(&content, f)
	return content.raw, err
}

// A memory keeps what is written to it: in the end in as many bytes as were
// announced, before in twice as many as have come. So a file that breaks off
// costs no more than it has.
type memory struct {
	raw  []byte
	size int64 // announced
}

func (m *memory) Write(p []byte) (int, error) {
	if needed := len(m.raw) + len(p); needed > cap(m.raw) {
		larger := make([]byte, len(m.raw), max(needed, int(min(m.size, 2*int64(needed)))))
		copy(larger, m.raw)
		m.raw = larger
	}
	m.raw = append(m.raw, p...)
	return len(p), nil
}

// copy copies a file, and checks header, length, digest and padding.
func (r *reader) copy(w io.Writer, f *file) error {
	if err := r.header(f.Path, f.Size); err != nil {
		return err
	}
	sum := sha256.New()
	if err := r.content(io.MultiWriter(w, sum), f.Path, f.Size); err != nil {
		return err
	}
	if hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
		return fmt.Errorf("%s does not have the sha256 that %s names: %s", f.Path, indexName, copyAgain)
	}
	return nil
}

func (r *reader) content(w io.Writer, name string, size int64) error {
	n, err := io.CopyN(w, r.r, size)
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("it ends in the middle of %s, after %d of %d bytes: %s", name, n, size, copyAgain)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	pad := make([]byte, padding(size))
	if _, err := io.ReadFull(r.r, pad); err != nil {
		return r.cut(err, "behind "+name)
	}
	if !bytes.Equal(pad, ending[:len(pad)]) {
		return fmt.Errorf("there is data behind %s: %s", name, exportAgain)
	}
	return nil
}

// header wants the header of a file, and no other, to come next.
func (r *reader) header(name string, size int64) error {
	want, err := header(name, size)
	if err != nil {
		return fmt.Errorf("%w: %s", err, exportAgain)
	}
	got := make([]byte, len(want))
	n, err := io.ReadFull(r.r, got)
	if bytes.Equal(got, want) {
		return nil
	}
	if err != nil && n < blockSize {
		return r.cut(err, "before "+name)
	}
	there, err := tar.NewReader(io.MultiReader(bytes.NewReader(got[:n]), r.r)).Next()
	switch {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%s is missing, and so is all behind it: %s", name, exportAgain)
	case err != nil:
		return fmt.Errorf("the header of %s cannot be read: %s", name, copyAgain)
	case there.Typeflag != tar.TypeReg:
		return fmt.Errorf("entry %.100q, where %s should be, is no regular file: %s", there.Name, name, exportAgain)
	case there.Name != name:
		return fmt.Errorf("entry %.100q stands where %s should be: %s", there.Name, name, exportAgain)
	case there.Size != size:
		return fmt.Errorf("%s has %d bytes, and %s names %d: %s", name, there.Size, indexName, size, exportAgain)
	default:
		return fmt.Errorf("%s has another owner, mode, time or format than a bundle's files: it was packed again: %s", name, exportAgain)
	}
}

// cut words an error of reading; most are the end of the file.
func (r *reader) cut(err error, where string) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("it ends %s: %s", where, copyAgain)
	}
	return fmt.Errorf("%s: %w", where, err)
}

// end wants the end of the tar, and of the file.
func (r *reader) end() error {
	got := make([]byte, len(ending))
	n, err := io.ReadFull(r.r, got)
	if err != nil && bytes.Equal(got, ending) {
		return r.cut(err, "before its last block")
	}
	if !bytes.Equal(got, ending) {
		there, err := tar.NewReader(io.MultiReader(bytes.NewReader(got[:n]), r.r)).Next()
		if err != nil {
			return fmt.Errorf("there is data behind its last file: %s", exportAgain)
		}
		return fmt.Errorf("entry %.100q is not named in %s: %s", there.Name, indexName, exportAgain)
	}
	if _, err := r.r.ReadByte(); !errors.Is(err, io.EOF) {
		return errors.Join(fmt.Errorf("there is data behind its end: %s", exportAgain), err)
	}
	return nil
}
