package bundle

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"
)

// blockSize is what a tar consists of; its end is two blocks of zeros.
const blockSize = 512

var ending = make([]byte, 2*blockSize)

// Write writes a bundle: without images if blobs is nil, else with the
// configurations and layers of all of them. The same bundle gives the same
// bytes. What was written before an error is no bundle, and Read says so.
func Write(ctx context.Context, w io.Writer, b Bundle, blobs Blobs) error {
	p, err := newPlan(b, blobs != nil)
	if err != nil {
		return fmt.Errorf("writing the bundle: %w", err)
	}
	if err := p.write(ctx, w, blobs); err != nil {
		return fmt.Errorf("writing the bundle: %w", err)
	}
	return nil
}

func (p *plan) write(ctx context.Context, w io.Writer, blobs Blobs) error {
	first, err := newMade(indexName, p.index.encode)
	if err != nil {
		return err
	}
	if first.Size > maxIndex {
		return fmt.Errorf("its index is longer than %d MiB: export fewer repositories at once", maxIndex>>20)
	}
	if err := writeMade(w, first); err != nil {
		return err
	}
	for _, f := range p.files {
		if err := writeFile(w, f, bytes.NewReader(f.raw)); err != nil {
			return err
		}
	}
	for _, f := range p.layout {
		if err := writeMade(w, f); err != nil {
			return err
		}
	}
	for i := range p.blobs {
		if err := writeBlob(ctx, w, &p.blobs[i], blobs); err != nil {
			return err
		}
	}
	_, err = w.Write(ending)
	return err
}

func writeMade(w io.Writer, f *file) error {
	var content bytes.Buffer
	if err := f.content(&content); err != nil {
		return err
	}
	return writeFile(w, f, &content)
}

func writeBlob(ctx context.Context, w io.Writer, f *file, blobs Blobs) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	content, err := blobs.Open(ctx, f.image, f.blob())
	if err != nil {
		return fmt.Errorf("image %s: %s: %w", f.image, f.Path, err)
	}
	defer content.Close()
	if err := writeFile(w, f, content); err != nil {
		return fmt.Errorf("image %s: %w", f.image, err)
	}
	return nil
}

// writeFile writes one file, and makes sure that the content is the one that
// the index names.
func writeFile(w io.Writer, f *file, content io.Reader) error {
	raw, err := header(f.Path, f.Size)
	if err != nil {
		return err
	}
	if _, err := w.Write(raw); err != nil {
		return err
	}
	hash := sha256.New()
	n, err := io.CopyN(io.MultiWriter(w, hash), content, f.Size)
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%s ends after %d of %d bytes; try again", f.Path, n, f.Size)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	if n, _ := io.ReadFull(content, make([]byte, 1)); n > 0 {
		return fmt.Errorf("%s has more than the %d bytes that its manifest names", f.Path, f.Size)
	}
	if hex.EncodeToString(hash.Sum(nil)) != f.SHA256 {
		return fmt.Errorf("%s: the bytes have another digest; is there a proxy in between that changes them?", f.Path)
	}
	_, err = w.Write(ending[:padding(f.Size)])
	return err
}

// padding is the number of zeros behind a file of this size.
func padding(size int64) int64 { return (blockSize - size%blockSize) % blockSize }

// header gives the bytes before a file: one block, three in PAX.
func header(name string, size int64) ([]byte, error) {
	var buffer bytes.Buffer
	err := tar.NewWriter(&buffer).WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(0, 0),
	})
	if err != nil {
		return nil, fmt.Errorf("%.300q: %w", name, err)
	}
	return buffer.Bytes(), nil
}
