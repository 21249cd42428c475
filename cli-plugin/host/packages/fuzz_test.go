package packages

import (
	"bytes"
	"encoding/base64"
	"io"
	"strings"
	"testing"
	"time"
)

// Fuzz tests: bytes from outside must never panic, and what is accepted must
// hold together.

func FuzzSources(f *testing.F) {
	f.Add([]byte("deb [arch=amd64 signed-by=/k] http://h/d s a b # c\n"))
	f.Add([]byte("Types: deb\nURIs: http://h/d\nSuites: s\nComponents: a\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n x\n"))
	f.Add([]byte("deb cdrom:[a b]/ ./\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, parse := range []func(string, []byte) ([]source, error){parseList, parseSources} {
			found, err := parse("f", data)
			if err != nil {
				continue
			}
			for _, s := range found {
				if !strings.HasSuffix(s.uri, "/") || s.suite == "" || strings.ContainsAny(listName(s.base("amd64")), "/ \x00") {
					t.Errorf("%+v", s)
				}
			}
		}
	})
}

func FuzzStanzas(f *testing.F) {
	f.Add([]byte("Package: docker-ce\nVersion: 1\nSHA256: 00\n\nPackage: x\n y\n"))
	f.Add([]byte("\x04\x22\x4d\x18\x60\x40\x82"))
	f.Add([]byte("\x1f\x8b\x08\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		read, err := readIndex(t.Context(), "f", bytes.NewReader(data), func([]byte) bool { return true })
		if err == nil && read.compressed.size != int64(len(data)) {
			t.Errorf("hashed %d of %d bytes", read.compressed.size, len(data))
		}
		_ = isInstalled(data)
		_ = ofPackage("docker-ce")(data)
		_ = plainField(string(data))
	})
}

func FuzzInRelease(f *testing.F) {
	f.Add([]byte("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nOrigin: Debian\n-----BEGIN PGP SIGNATURE-----\n\niHUE\n=aaaa\n-----END PGP SIGNATURE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := verifyInRelease("f", data, trust{}, time.Unix(1<<30, 0)); err == nil {
			t.Errorf("accepted without a key: %+v", r)
		}
		_, _ = detached(data)
	})
}

func FuzzRelease(f *testing.F) {
	f.Add([]byte("Origin: Docker\nValid-Until: Sat, 01 Jan 2050 00:00:00 UTC\nSHA256:\n " + strings.Repeat("0", 64) + " 12 main/binary-amd64/Packages\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseRelease(data)
		if err != nil {
			return
		}
		for name, d := range r.sha256 {
			if len(d.sum) != 64 || name == "" {
				t.Errorf("%q: %+v", name, d)
			}
		}
	})
}

func FuzzKeyring(f *testing.F) {
	f.Add([]byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQ==\n=aaaa\n-----END PGP PUBLIC KEY BLOCK-----\n"))
	f.Add([]byte{0x99, 1, 2})
	f.Fuzz(func(t *testing.T, data []byte) {
		ring, err := newKeyring("f", data)
		if err != nil && len(ring.keys) > 0 {
			t.Error("keys beside an error")
		}
	})
}

func FuzzSignature(f *testing.F) {
	f.Add([]byte{0x89, 1, 2})
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := verify(keyring{}, func() io.Reader { return strings.NewReader("x") }, data, time.Unix(1<<30, 0))
		if err == nil && len(c.signers) > 0 {
			t.Errorf("%+v", c)
		}
	})
}

func FuzzRPMHeader(f *testing.F) {
	header := "\x00\x00\x00\x01\x00\x00\x00\x0a\x00\x00\x03\xe8\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00\x01docker-ce\x00"
	f.Add([]byte(header))
	f.Add([]byte(string(rpmMagic) + header))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = readRPMHeader(bytes.NewReader(data))
		_, _, _ = readRPMFile("f", bytes.NewReader(data))
		_, _ = oneOwner([]byte("x|"+base64.StdEncoding.EncodeToString(data)+"|(none)|(none);"), enginePaths)
		h, err := parseRPMHeader(data)
		if err != nil {
			return
		}
		if !bytes.HasSuffix(h.raw, data) {
			t.Error("what is signed is not what was read")
		}
		_, _ = h.files(isEngineName)
		_, _ = h.fileHash()
		_ = h.version()
		_ = headerSignatures(h)
	})
}

func FuzzRPMAnswer(f *testing.F) {
	f.Add("docker-ce|AAAAAAAAAAA=|(none)|(none);")
	f.Fuzz(func(t *testing.T, answer string) {
		if p, err := oneOwner([]byte(answer), enginePaths); err == nil && p.name == "" && !strings.Contains(answer, "|") {
			t.Error("a package out of nothing")
		}
	})
}

// FuzzDecompress holds for every compression that the first bytes can name.
func FuzzDecompress(f *testing.F) {
	for _, c := range compressions {
		f.Add([]byte(c.magic))
	}
	f.Add([]byte("\x04\x22\x4d\x18\x60\x40\x82\x05\x00\x00\x00\x40abcd\x00\x00\x00\x00"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		plain, err := decompress(bytes.NewReader(data))
		if err == nil {
			_, _ = io.Copy(io.Discard, io.LimitReader(plain, 64<<20)) // must neither panic nor hang
		}
	})
}

func FuzzAr(f *testing.F) {
	f.Add([]byte("!<arch>\ndata.tar        0           0     0     100644  4         `\nabcd"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = debEngines(t.Context(), "f", bytes.NewReader(data))
	})
}
