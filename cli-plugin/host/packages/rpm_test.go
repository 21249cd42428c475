package packages

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// rpm runs the rpm program on a scratch root. Debian's rpm would keep its
// database in the caller's home.
func rpm(t *testing.T, root string, args ...string) {
	t.Helper()
	sh(t, nil, "rpm", append([]string{"--root", root, "--dbpath", "/var/lib/rpm"}, args...)...)
}

const spec = `Name: %s
Epoch: 3
Version: 26.1.4
Release: 1.el9
Summary: an engine
License: Apache-2.0
Vendor: Docker
%%description
An engine to be judged.
%%install
mkdir -p %%{buildroot}/usr/bin
printf '%%%%s' "the engine" > %%{buildroot}/usr/bin/%s
%%files
/usr/bin/%s
`

// buildRPM makes a package with rpmbuild and, given a user ID, signs it with
// rpmsign.
func buildRPM(t *testing.T, name, file, signedBy string, defines ...string) string {
	t.Helper()
	need(t, "rpm", "rpmbuild", "rpmsign")
	keys(t)
	top := t.TempDir()
	write(t, filepath.Join(top, "x.spec"), fmt.Sprintf(spec, name, file, file))
	args := []string{"-bb", "--define", "_topdir " + top, "--target", "x86_64"}
	for _, d := range defines {
		args = append(args, "--define", d)
	}
	sh(t, nil, "rpmbuild", append(args, filepath.Join(top, "x.spec"))...)
	made := filepath.Join(top, "RPMS/x86_64", name+"-26.1.4-1.el9.x86_64.rpm")
	if signedBy != "" {
		signRPM(t, made, signedBy)
	}
	return made
}

func signRPM(t *testing.T, file, who string) {
	t.Helper()
	sh(t, nil, "rpmsign", "--define", "__gpg /usr/bin/gpg", "--define", "_gpg_path "+gpgHome(), "--define", "_gpg_name "+who, "--addsign", file)
}

// newRPMHost installs a package with real rpm into a scratch root, and
// imports keys into its database.
func newRPMHost(t *testing.T, file string, imported ...string) string {
	t.Helper()
	needRoot(t)
	root := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(root, "var/lib/rpm"), 0o755))
	rpm(t, root, "--initdb")
	for _, who := range imported {
		key := filepath.Join(t.TempDir(), "key.asc")
		export(t, key, true, who)
		rpm(t, root, "--import", key)
	}
	rpm(t, root, "-i", "--force-debian", "--nodeps", "--nosignature", file)
	return root
}

var usualRPM struct {
	once sync.Once
	file string
}

func vendorRPM(t *testing.T) string {
	t.Helper()
	need(t, "rpm", "rpmbuild", "rpmsign")
	keys(t)
	usualRPM.once.Do(func() {
		made := buildRPM(t, "docker-ce", "dockerd", vendor)
		kept := filepath.Join(scratch, "docker-ce.rpm")
		write(t, kept, read(t, made))
		usualRPM.file = kept
	})
	if usualRPM.file == "" {
		t.Fatal("the package could not be made")
	}
	return usualRPM.file
}

// An rpmHost is such a root, to be spoiled.
type rpmHost struct {
	t    *testing.T
	root string
}

func (h rpmHost) path(name string) string { return filepath.Join(h.root, name) }

// rpmOf puts buildRPM off until its test runs.
func rpmOf(name, file, signedBy string, defines ...string) func(*testing.T) string {
	return func(t *testing.T) string {
		t.Helper()
		return buildRPM(t, name, file, signedBy, defines...)
	}
}

func TestInstalledRPM(t *testing.T) {
	root := newRPMHost(t, vendorRPM(t), vendor)
	database := filepath.Join(root, "var/lib/rpm/rpmdb.sqlite")
	before := read(t, database)
	proof, err := Installed(t.Context(), approvedVendor(root))
	want(t, "", proof, err)
	if read(t, database) != before {
		t.Error("asking the database changed it")
	}
	got := fmt.Sprint(proof.Package, proof.Version, proof.Architecture, proof.Format, proof.Key.Fingerprint, proof.Repository, proof.Installed)
	expected := fmt.Sprint("docker-ce", "3:26.1.4-1.el9", "x86_64", RPM, fingerprints[vendor], "Docker", true)
	if got != expected {
		t.Errorf("got %s, want %s", got, expected)
	}
}

// TestInstalledRPMSpoiled breaks one link at a time.
func TestInstalledRPMSpoiled(t *testing.T) {
	vendorRPM(t) // before anything is skipped
	for _, c := range []struct {
		name     string
		file     func(t *testing.T) string
		imported []string
		spoil    func(h rpmHost, o *Options)
		want     string
	}{
		{"key laid out, not imported", vendorRPM, nil, func(h rpmHost, _ *Options) {
			write(h.t, h.path("etc/pki/rpm-gpg/README"), "no key")
			export(h.t, h.path("etc/pki/rpm-gpg/RPM-GPG-KEY-docker"), true, vendor)
		}, ""},
		{"key neither imported nor laid out", vendorRPM, []string{stranger}, nil, "refused: not among the keys trusted here"},
		{"no key at all", vendorRPM, nil, nil, "refused: rpm --import"},
		{"key not approved", vendorRPM, []string{vendor}, func(_ rpmHost, o *Options) { o.Approved = nil }, "refused: signed by an unknown key"},
		{"short key ID", vendorRPM, []string{vendor}, func(_ rpmHost, o *Options) {
			o.Approved = []string{"0x" + fingerprints[vendor][24:]}
		}, "unknown: short key ID"},
		{"signed by a stranger", rpmOf("docker-ce", "dockerd", stranger), []string{stranger, vendor}, nil, "refused: signed by an unknown key"},
		{"unsigned", rpmOf("docker-ce", "dockerd", ""), []string{vendor}, nil, "refused: carries no signature"},
		{"signed by a subkey", rpmOf("docker-ce", "dockerd", withSub), []string{withSub}, func(_ rpmHost, o *Options) {
			o.Approved = []string{fingerprints[withSub]}
		}, ""},
		{"expired key", rpmOf("docker-ce", "dockerd", brief), []string{brief}, func(_ rpmHost, o *Options) {
			o.Approved, o.Now = []string{fingerprints[brief]}, now.AddDate(2, 0, 0)
		}, "refused: the key has expired"},
		{"revoked key", rpmOf("docker-ce", "dockerd", revokedK), nil, func(h rpmHost, o *Options) {
			o.Approved = []string{fingerprints[revokedK]}
			exportRevoked(h.t, h.path("etc/pki/rpm-gpg/RPM-GPG-KEY-docker"))
		}, "refused: the key is revoked"},
		{"a distribution's package", rpmOf("moby-engine", "dockerd", stranger), []string{stranger}, nil, "refused: is built by the distribution: Docker"},
		{"package of unknown name", rpmOf("acme-engine", "dockerd", vendor), []string{vendor}, nil, ""},
		{"dockerd under its old name", rpmOf("docker-ce", "dockerd-ce", vendor), []string{vendor}, nil, ""},
		{"weak file digests", rpmOf("docker-ce", "dockerd", vendor, "_binary_filedigest_algorithm 1"), []string{vendor}, nil, "unknown: too weak to tell a change"},
		{"changed binary", vendorRPM, []string{vendor}, func(h rpmHost, _ *Options) {
			write(h.t, h.path("usr/bin/dockerd"), "another engine")
		}, "refused: was changed after"},
		{"removed binary", vendorRPM, []string{vendor}, func(h rpmHost, _ *Options) {
			must(h.t, os.Remove(h.path("usr/bin/dockerd")))
		}, "refused: is gone"},
		{"changed header", vendorRPM, []string{vendor}, changeHeader, "refused: does not verify"},
		{"package removed, binary left", vendorRPM, []string{vendor}, func(h rpmHost, _ *Options) {
			rpm(h.t, h.root, "-e", "--justdb", "--force-debian", "docker-ce")
		}, "refused: put there by hand"},
		{"the running engine is another", vendorRPM, []string{vendor}, func(h rpmHost, o *Options) {
			write(h.t, h.path("opt/bin/dockerd"), "by hand")
			o.Engine = "/opt/bin/dockerd"
		}, "refused: put there by hand"},
		{"no rpm program", vendorRPM, []string{vendor}, func(h rpmHost, _ *Options) {
			h.t.Setenv("PATH", h.t.TempDir())
		}, "unknown: the rpm program is not installed"},
		{"damaged database", vendorRPM, []string{vendor}, func(h rpmHost, _ *Options) {
			write(h.t, h.path("var/lib/rpm/rpmdb.sqlite"), "damaged")
		}, "unknown: asking the rpm database"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := newRPMHost(t, c.file(t), c.imported...)
			o := approvedVendor(root)
			if c.spoil != nil {
				c.spoil(rpmHost{t, root}, &o)
			}
			proof, err := Installed(t.Context(), o)
			want(t, c.want, proof, err)
		})
	}
}

// changeHeader changes the file digest inside the database, as somebody would
// who had changed dockerd too.
func changeHeader(h rpmHost, _ *Options) {
	t, file := h.t, h.path("var/lib/rpm/rpmdb.sqlite")
	t.Helper()
	data := read(t, file)
	if !strings.Contains(data, "An engine to be judged.") {
		t.Fatal("the header is not in the database file")
	}
	must(t, os.WriteFile(file, []byte(strings.ReplaceAll(data, "An engine to be judged.", "An engine to be jugded.")), 0o644))
}

// TestInstalledRPMTwice: two versions side by side leave the question open.
func TestInstalledRPMTwice(t *testing.T) {
	root := newRPMHost(t, vendorRPM(t), vendor)
	rpm(t, root, "-i", "--force-debian", "--nodeps", "--replacefiles", buildRPM(t, "docker-ee", "dockerd", vendor))
	proof, err := Installed(t.Context(), approvedVendor(root))
	want(t, "unknown: are both installed", proof, err)
}
