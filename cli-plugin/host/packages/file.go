package packages

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"
)

// FileOptions name a package brought by hand, and what vouches for it. Path,
// Packages, InRelease and Keyrings are files of this machine; everything else
// is as in Options.
type FileOptions struct {
	Path      string   // the .deb or .rpm
	Packages  string   // for a .deb: the repository's Packages file, compressed or not
	InRelease string   // for a .deb: the repository's InRelease
	Keyrings  []string // key files beside the host's own
	Root      string
	Engine    string
	Approved  []string
	Now       time.Time
}

// VerifyFile proves that a package file is its vendor's, and tells whether the
// dockerd below Root came out of it. An rpm carries its signature. A .deb does
// not: the signed metadata of its repository must lie beside it.
func VerifyFile(ctx context.Context, o FileOptions) (Proof, error) {
	j, err := newJudge(o.Root, o.Engine, o.Approved, o.Now)
	if err != nil {
		return Proof{}, err
	}
	file, err := openFile(o.Path)
	if err != nil {
		return Proof{}, fmt.Errorf("opening package file: %w", err)
	}
	defer file.Close()
	magic := make([]byte, 8)
	if _, err := file.ReadAt(magic, 0); err != nil {
		return Proof{}, fmt.Errorf("reading %s: %w", o.Path, err)
	}
	var proof Proof
	switch {
	case string(magic) == "!<arch>\n":
		proof, err = j.debFile(ctx, o, file)
	case bytes.HasPrefix(magic, rpmLead):
		proof, err = j.rpmFile(ctx, o, file)
	default:
		return Proof{}, fmt.Errorf("%s is neither a deb nor an rpm", o.Path)
	}
	if err != nil {
		return Proof{}, err
	}
	proof.Facts = j.facts
	return proof, nil
}

// extraKeys adds the caller's key files to a keyring.
func extraKeys(ring keyring, names []string) (keyring, error) {
	for _, name := range names {
		file, err := openFile(name)
		if err != nil {
			return keyring{}, fmt.Errorf("opening keyring: %w", err)
		}
		data, err := readAll(file, name, maxKeyring)
		_ = file.Close() // only read
		if err != nil {
			return keyring{}, err
		}
		extra, err := newKeyring(name, data)
		if err != nil {
			return keyring{}, err
		}
		ring.join(extra)
	}
	return ring, nil
}

// debFile follows the digests from InRelease down to the file.
func (j *judge) debFile(ctx context.Context, o FileOptions, file *os.File) (Proof, error) {
	if o.Packages == "" || o.InRelease == "" {
		return Proof{}, fmt.Errorf("a deb carries no signature of its own, so %s alone cannot be judged: give the Packages file that names it "+
			"with --packages and the InRelease file that names that one with --inrelease", o.Path)
	}
	sum, err := digestOf(file, o.Path, sha256.New())
	if err != nil {
		return Proof{}, err
	}
	signed, err := j.inRelease(o)
	if err != nil {
		return Proof{}, err
	}
	s, err := j.listed(ctx, o, signed, sum)
	if err != nil {
		return Proof{}, err
	}
	proof := Proof{Package: s["package"], Version: s["version"], Architecture: s["architecture"], Format: Deb, Repository: signed.origin}
	key, ok := j.known.recognize(signed.signers, Deb)
	if !ok {
		return Proof{}, j.strangerBuilt(proof.Package, o.Path, signed.origin, signed.signers)
	}
	proof.Key = key
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return Proof{}, fmt.Errorf("reading %s: %w", o.Path, err)
	}
	engines, err := debEngines(ctx, o.Path, file)
	if err != nil {
		return Proof{}, err
	}
	if len(engines) == 0 {
		return Proof{}, fmt.Errorf("%s is the package %s, which holds no dockerd: give the engine's package", o.Path, proof.Package)
	}
	proof.Installed, err = j.matchesEngines(engines)
	return proof, err
}

func (j *judge) inRelease(o FileOptions) (signedRelease, error) {
	ring, err := j.root.hostKeyring()
	if err != nil {
		return signedRelease{}, err
	}
	if ring, err = extraKeys(ring, o.Keyrings); err != nil {
		return signedRelease{}, err
	}
	file, err := openFile(o.InRelease)
	if err != nil {
		return signedRelease{}, fmt.Errorf("opening InRelease: %w", err)
	}
	defer file.Close()
	data, err := readAll(file, o.InRelease, maxRelease)
	if err != nil {
		return signedRelease{}, err
	}
	signed, err := verifyInRelease(o.InRelease, data, trust{keyring: ring}, j.now)
	var r rejection
	if errors.As(err, &r) {
		return signedRelease{}, j.refuse(r.Error(), "fetch InRelease from the vendor's repository again, and the vendor's key into /etc/apt/keyrings")
	}
	if err != nil {
		return signedRelease{}, err
	}
	j.fact("file", o.InRelease, "signed by %s", joined(signed.signers))
	return signed, nil
}

// listed finds the stanza of the file's digest in a Packages file that the
// release names.
func (j *judge) listed(ctx context.Context, o FileOptions, signed signedRelease, sum string) (stanza, error) {
	file, err := openFile(o.Packages)
	if err != nil {
		return nil, fmt.Errorf("opening Packages: %w", err)
	}
	defer file.Close()
	read, err := readIndex(ctx, o.Packages, file, func(p []byte) bool { return bytes.Contains(p, []byte(sum)) })
	if err != nil {
		return nil, err
	}
	if !signed.names(func(name string) bool { return path.Base(name) == "Packages" }, read.plain, read.compressed) {
		return nil, j.refuse(fmt.Sprintf("%s is not a Packages file that %s names", o.Packages, o.InRelease),
			"fetch both from the vendor's repository again, at one time")
	}
	j.fact("file", o.Packages, "SHA-256 %s, as named by %s", read.plain.sum, o.InRelease)
	for _, s := range read.stanzas {
		if strings.EqualFold(s["sha256"], sum) {
			j.fact("file", o.Path, "SHA-256 %s, named as %s %s %s", sum, s["package"], s["version"], s["architecture"])
			return s, nil
		}
	}
	j.fact("file", o.Path, "SHA-256 %s", sum)
	return nil, j.refuse(fmt.Sprintf("%s is not a file that %s names", o.Path, o.Packages),
		"fetch the package from the vendor's repository again, or give the Packages file of its suite and architecture")
}

var rpmLead = []byte{0xed, 0xab, 0xee, 0xdb}

const rpmLeadSize = 96 // bytes before the signature header; of no meaning since rpm 3

// rpmFile verifies the signature an rpm carries, and that its payload is the
// one signed.
func (j *judge) rpmFile(ctx context.Context, o FileOptions, file *os.File) (Proof, error) {
	p, payload, err := readRPMFile(o.Path, file)
	if err != nil {
		return Proof{}, err
	}
	var db *rpmDB
	if found, err := openRPMDB(j.root); err == nil {
		db = &found
	} else if !errors.Is(err, errNoDatabase) {
		return Proof{}, err
	}
	ring, err := j.rpmKeyring(ctx, db)
	if err != nil {
		return Proof{}, err
	}
	if ring, err = extraKeys(ring, o.Keyrings); err != nil {
		return Proof{}, err
	}
	proof, err := j.rpmSigned(p, ring)
	if err != nil {
		return Proof{}, err
	}
	if err := j.payloadSigned(ctx, o.Path, p.header, file, payload); err != nil {
		return Proof{}, err
	}
	engines, err := p.header.files(isEngineName)
	if err != nil {
		return Proof{}, err
	}
	if len(engines) == 0 {
		return Proof{}, fmt.Errorf("%s is the package %s, which holds no dockerd: give the engine's package", o.Path, proof.Package)
	}
	if algo := p.header.numbers(tagFileDigestAlgo); len(algo) != 1 || algo[0] != 8 {
		return Proof{}, fmt.Errorf("%s does not record its files by SHA-256, so the installed dockerd cannot be compared: give a newer package", o.Path)
	}
	proof.Installed, err = j.matchesEngines(engines)
	return proof, err
}

// readRPMFile reads an rpm's headers, and tells where the payload begins.
func readRPMFile(name string, file io.ReaderAt) (rpmPackage, int64, error) {
	at := io.NewSectionReader(file, rpmLeadSize, 3*maxRPMHeader)
	sigs, err := readRPMHeader(at)
	if err != nil {
		return rpmPackage{}, 0, fmt.Errorf("%s: %w", name, err)
	}
	if rest := int64(len(sigs.raw) % 8); rest != 0 { // the signature header is padded to 8 bytes
		if _, err := at.Seek(8-rest, io.SeekCurrent); err != nil {
			return rpmPackage{}, 0, fmt.Errorf("%s: %w", name, err)
		}
	}
	p := rpmPackage{name: name, signatures: headerSignatures(sigs)}
	if p.header, err = readRPMHeader(at); err != nil {
		return rpmPackage{}, 0, fmt.Errorf("%s: %w", name, err)
	}
	offset, err := at.Seek(0, io.SeekCurrent)
	return p, rpmLeadSize + offset, err
}

func headerSignatures(h rpmHeader) [][]byte {
	var all [][]byte
	for _, tag := range []rpmTag{sigRSA, sigDSA} {
		if sig := h.bytes(tag); len(sig) > 0 {
			all = append(all, sig)
		}
	}
	for _, text := range h.strings(sigOpenPGP) {
		if sig, err := base64.StdEncoding.DecodeString(text); err == nil {
			all = append(all, sig)
		}
	}
	return all
}

// payloadSigned holds the payload against the digest in the signed header.
func (j *judge) payloadSigned(ctx context.Context, name string, h rpmHeader, file io.ReaderAt, offset int64) error {
	want, algo := h.text(tagPayloadDigest), h.numbers(tagPayloadDigestAlgo)
	if want == "" || len(algo) != 1 || rpmHashes[algo[0]] == nil {
		// Before rpm 4.14. The file digests in the header are signed, and they
		// are what the installed dockerd is compared with.
		j.fact("file", name, "the signed header holds no payload digest; dockerd is compared by the file digest it does hold")
		return nil
	}
	payload := &boundedReader{ctx: ctx, r: io.NewSectionReader(file, offset, maxDebFile), left: maxDebFile, what: name}
	got, err := digestOf(payload, name, rpmHashes[algo[0]]())
	if err != nil {
		return err
	}
	if got != want {
		j.fact("file", name, "payload digest %s, in the signed header %s", got, want)
		return j.refuse(fmt.Sprintf("the payload of %s is not the one its vendor signed", name), "fetch the package from the vendor's repository again")
	}
	j.fact("file", name, "payload digest %s, as in the signed header", got)
	return nil
}
