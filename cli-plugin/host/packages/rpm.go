package packages

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"slices"
)

// rpmHashes are the digests that still say something, by their OpenPGP number
// (RFC 9580, 9.5), which rpm uses too.
var rpmHashes = map[uint32]func() hash.Hash{
	8:  sha256.New,
	9:  sha512.New384,
	10: sha512.New,
}

// installedRPM proves the engine package of an rpm host.
func (j *judge) installedRPM(ctx context.Context) (Proof, error) {
	db, err := openRPMDB(j.root)
	if err != nil {
		return Proof{}, err
	}
	installed, err := db.engine(ctx, j.wantedEngines())
	if err != nil {
		return Proof{}, err
	}
	ring, err := j.rpmKeyring(ctx, &db)
	if err != nil {
		return Proof{}, err
	}
	proof, err := j.rpmSigned(installed, ring)
	if err != nil {
		return Proof{}, err
	}
	return proof, j.rpmUnchanged(installed.header, proof.Package)
}

// rpmSigned verifies the signature over a header. Its fields are read only
// behind a signature that holds.
func (j *judge) rpmSigned(p rpmPackage, ring keyring) (Proof, error) {
	if len(p.signatures) == 0 {
		return Proof{}, j.refuse(p.name+" carries no signature over its header", "reinstall the vendor's signed package, with gpgcheck=1 in its repository")
	}
	var all check
	for _, sig := range p.signatures {
		c, err := verify(ring, func() io.Reader { return bytes.NewReader(p.header.raw) }, sig, j.now)
		if err != nil {
			all.unreadable = append(all.unreadable, err.Error())
			continue
		}
		all.signers = append(all.signers, c.signers...)
		all.rejected = append(all.rejected, c.rejected...)
		all.unreadable = append(all.unreadable, c.unreadable...)
	}
	if len(all.signers) == 0 && len(all.rejected) == 0 {
		return Proof{}, fmt.Errorf("verifying %s: %s; give a newer package of the vendor's with --package", p.name, all.why())
	}
	if len(all.signers) == 0 {
		return Proof{}, j.refuse(fmt.Sprintf("no signature of %s holds: %s", p.name, all.why()),
			"import the vendor's key with rpm --import if it is missing, and reinstall the vendor's package")
	}
	h := p.header
	proof := Proof{
		Package: h.text(tagName), Version: h.version(), Architecture: h.text(tagArch), Format: RPM,
		Repository: h.text(tagVendor),
	}
	what := proof.Package + "-" + proof.Version + "." + proof.Architecture
	j.fact("rpm", what, "header signed by %s, built by %q", joined(all.signers), proof.Repository)
	key, ok := j.known.recognize(all.signers, RPM)
	if !ok {
		return Proof{}, j.strangerBuilt(proof.Package, what, proof.Repository, all.signers)
	}
	proof.Key = key
	return proof, nil
}

// rpmUnchanged holds the installed dockerd against the digest in the header.
func (j *judge) rpmUnchanged(h rpmHeader, name string) error {
	wanted := j.wantedEngines()
	files, err := h.files(func(file string) bool { return slices.Contains(wanted, file) })
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("the header of %s names no dockerd, although it owns one: reinstall the package", name)
	}
	newHash, err := h.fileHash()
	if err != nil {
		return err
	}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		got, err := j.root.digest(file, newHash())
		if errors.Is(err, fs.ErrNotExist) {
			return j.refuse(fmt.Sprintf("%s of the installed package %s is gone", file, name), "reinstall the package")
		}
		if err != nil {
			return fmt.Errorf("reading the engine's binary: %w", err)
		}
		if got != files[file] {
			j.fact("rpm", file, "digest %s, in the signed header %s", got, files[file])
			return j.refuse(fmt.Sprintf("%s was changed after %s was installed", file, name), "find out who changed it, and reinstall the package")
		}
		j.fact("rpm", file, "digest %s, as in the signed header", got)
	}
	return nil
}

// fileHash is the algorithm of the header's file digests.
func (h rpmHeader) fileHash() (func() hash.Hash, error) {
	algo := h.numbers(tagFileDigestAlgo)
	if len(algo) != 1 {
		algo = []uint32{1} // MD5, the default of old
	}
	newHash, ok := rpmHashes[algo[0]]
	if !ok {
		return nil, fmt.Errorf("the package records its files by digest algorithm %d, which is too weak to tell a change: install a newer package", algo[0])
	}
	return newHash, nil
}
