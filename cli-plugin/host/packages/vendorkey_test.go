package packages

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestVendorKeyReal reads the key that Docker publishes for its packages
// for Debian and Ubuntu: its fingerprint is computed, and stands in the table.
func TestVendorKeyReal(t *testing.T) {
	t.Parallel()
	k, err := readVendorKey("testdata/docker-ce-deb.asc", Deb, nil, now)
	must(t, err)
	if k.Product != "Docker CE" || k.Format != Deb || !k.Made.Equal(time.Date(2017, 2, 22, 18, 36, 26, 0, time.UTC)) {
		t.Errorf("got %+v", k)
	}
	if k.Armored != read(t, "testdata/docker-ce-deb.asc") {
		t.Errorf("written otherwise than it is published:\n%s", k.Armored)
	}
	_, err = readVendorKey("testdata/docker-ce-deb.asc", RPM, nil, now)
	if err == nil || !strings.Contains(err.Error(), "signs its deb packages, and this host has rpm") {
		t.Errorf("on an rpm host: %v", err)
	}
}

// TestVendorKey reads files of all kinds, made by gpg.
func TestVendorKey(t *testing.T) {
	keys(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	export(t, at("good.asc"), true, vendor)
	export(t, at("binary.gpg"), false, vendor)
	export(t, at("stranger.asc"), true, stranger)
	export(t, at("two.asc"), true, vendor, stranger)
	export(t, at("two.gpg"), false, vendor, stranger)
	write(t, at("two-blocks.asc"), read(t, at("good.asc"))+read(t, at("stranger.asc")))
	export(t, at("brief.asc"), true, brief)
	export(t, at("subkey.asc"), true, withSub)
	exportRevoked(t, at("revoked.gpg"))
	gpg(t, "--output", at("private.asc"), "--armor", "--export-secret-keys", vendor)
	gpg(t, "--output", at("private.gpg"), "--export-secret-keys", vendor)
	write(t, at("windows.asc"), "From: the vendor\r\n"+strings.ReplaceAll(read(t, at("good.asc")), "\n", "\r\n"))
	write(t, at("empty"), "")
	write(t, at("page.html"), "<!DOCTYPE html><html><title>404</title></html>")
	write(t, at("ca.pem"), "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
	write(t, at("cut.asc"), read(t, at("good.asc"))[:900])
	write(t, at("damaged.asc"), damaged(read(t, at("good.asc"))))
	write(t, at("large.asc"), strings.Repeat("x", maxVendorKey+1))
	write(t, at("keybox.kbx"), read(t, filepath.Join(gpgHome(), "pubring.kbx")))
	gpg(t, "--output", at("signature.asc"), "--armor", "--detach-sign", "--local-user", vendor, at("empty"))
	must(t, os.Mkdir(at("folder"), 0o755))
	mine := fingerprints[vendor]
	for _, c := range []struct{ file, approved, want string }{
		{"good.asc", mine, ""},
		{"binary.gpg", mine, ""},
		{"windows.asc", mine, ""},
		{"subkey.asc", fingerprints[withSub], ""},
		{"brief.asc", fingerprints[brief], ""},
		{"good.asc", "", mine + ` ("vendor@example.com <vendor@example.com>"), which is no vendor's that is known`},
		{"stranger.asc", mine, fingerprints[stranger]},
		{"good.asc", mine[24:], "short key ID"},
		{"two.asc", mine, "holds 2 keys (" + mine + ", " + fingerprints[stranger] + ")"},
		{"two.gpg", mine, "holds 2 keys"},
		{"two-blocks.asc", mine, "holds 2 keys"},
		{"revoked.gpg", fingerprints[revokedK], "is revoked"},
		{"private.asc", mine, "holds a private key"},
		{"private.gpg", mine, "holds a private key"},
		{"empty", mine, "holds no OpenPGP key"},
		{"page.html", mine, "is no OpenPGP key"},
		{"ca.pem", mine, "is no OpenPGP key"},
		{"signature.asc", mine, "is no OpenPGP key"},
		{"cut.asc", mine, "holds a damaged key"},
		{"damaged.asc", mine, ""}, // filled in below: which fault shows is the library's
		{"large.asc", mine, "too large for a vendor's key"},
		{"keybox.kbx", mine, "is a keybox"},
		{"folder", mine, "no regular file"},
		{"missing.asc", mine, "no such file"},
	} {
		var approved []string
		if c.approved != "" {
			approved = []string{c.approved}
		}
		k, err := readVendorKey(at(c.file), Deb, approved, now)
		if c.file == "damaged.asc" {
			if err == nil {
				t.Error("a damaged key was taken")
			}
			continue
		}
		switch {
		case c.want == "" && (err != nil || string(k.Fingerprint) != c.approved || !strings.HasPrefix(k.Armored, string(armorHeader))):
			t.Errorf("%s: got %v, %v", c.file, k.Key, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: got %v, want %s", c.file, err, c.want)
		}
		t.Logf("%s: %v", c.file, err)
	}
	_, err := readVendorKey(at("brief.asc"), Deb, []string{fingerprints[brief]}, now.AddDate(2, 0, 0))
	if err == nil || !strings.Contains(err.Error(), "has expired") {
		t.Errorf("after its time: %v", err)
	}
	again := at("again.asc")
	k, err := readVendorKey(at("binary.gpg"), Deb, []string{mine}, now)
	must(t, err)
	write(t, again, k.Armored)
	if shown := gpg(t, "--with-colons", "--show-keys", again); fieldOf(shown, "fpr", 9) != mine {
		t.Errorf("gpg reads another key: %s", shown)
	}
}

// damaged changes the first letter of the second line of a key.
func damaged(text string) string {
	lines := strings.SplitAfter(text, "\n")
	with := "A"
	if lines[3][:1] == with {
		with = "B"
	}
	lines[3] = with + lines[3][1:]
	return strings.Join(lines, "")
}

func FuzzVendorKey(f *testing.F) {
	published, err := os.ReadFile("testdata/docker-ce-deb.asc")
	if err != nil {
		f.Fatal(err)
	}
	raw, err := keyPackets(published)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(published)
	f.Add(raw)
	f.Add([]byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nxjMEAA==\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		k, _, err := parseVendorKey("f", data, time.Unix(1<<31, 0))
		if err != nil {
			return
		}
		again, _, err := parseVendorKey("f", []byte(k.Armored), time.Unix(1<<31, 0))
		if err != nil || again.Fingerprint != k.Fingerprint || again.Armored != k.Armored {
			t.Errorf("read again: %v, %+v", err, again)
		}
	})
}
