package packages

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// debBeside lays out a vendor's deb with Packages and InRelease beside it.
func debBeside(t *testing.T) (debHost, FileOptions) {
	t.Helper()
	h := copyHost(t)
	dists := h.path(h.repo + "/dists/stable")
	return h, FileOptions{
		Path: h.path(h.repo + "/pool/docker-ce.deb"), Packages: dists + "/test/binary-amd64/Packages", InRelease: dists + "/InRelease",
		Root: h.root, Approved: []string{fingerprints[vendor]}, Now: now,
	}
}

func TestVerifyDeb(t *testing.T) {
	for _, c := range []struct {
		name      string
		spoil     func(h debHost, o *FileOptions)
		want      string
		installed bool
	}{
		{"the installed one", func(debHost, *FileOptions) {}, "", true},
		{"Packages compressed", func(_ debHost, o *FileOptions) { o.Packages += ".xz" }, "", true},
		{"not installed", func(h debHost, _ *FileOptions) {
			must(h.t, os.Remove(h.path("usr/bin/dockerd")))
		}, "", false},
		{"another dockerd installed", func(h debHost, _ *FileOptions) {
			write(h.t, h.path("usr/bin/dockerd"), "another engine")
		}, "", false},
		{"another dockerd beside it", func(h debHost, _ *FileOptions) {
			write(h.t, h.path("usr/local/bin/dockerd"), "another engine")
		}, "", false},
		{"another dockerd beside it, but not running", func(h debHost, o *FileOptions) {
			write(h.t, h.path("usr/local/bin/dockerd"), "another engine")
			o.Engine = "/usr/bin/dockerd"
		}, "", true},
		{"put by hand, and running", func(h debHost, o *FileOptions) {
			must(h.t, os.MkdirAll(h.path("opt/bin"), 0o755))
			must(h.t, os.Rename(h.path("usr/bin/dockerd"), h.path("opt/bin/dockerd")))
			o.Engine = "/opt/bin/dockerd"
		}, "", true},
		{"alone", func(_ debHost, o *FileOptions) { o.Packages, o.InRelease = "", "" }, "unknown: with --packages", false},
		{"without InRelease", func(_ debHost, o *FileOptions) { o.InRelease = "" }, "unknown: with --inrelease", false},
		{"key in a keyring of the caller's", func(h debHost, o *FileOptions) {
			must(h.t, os.RemoveAll(h.path("etc/apt")))
			o.Keyrings = []string{filepath.Join(h.t.TempDir(), "key.asc")}
			export(h.t, o.Keyrings[0], true, vendor)
		}, "", true},
		{"key not on the host", func(h debHost, _ *FileOptions) {
			must(h.t, os.RemoveAll(h.path("etc/apt")))
		}, "refused: not among the keys trusted here", false},
		{"key not approved", func(_ debHost, o *FileOptions) { o.Approved = nil }, "refused: signed by an unknown key", false},
		{"edited file", func(h debHost, o *FileOptions) {
			write(h.t, o.Path, read(h.t, o.Path)+" ")
		}, "refused: is not a file that", false},
		{"edited Packages", func(h debHost, o *FileOptions) {
			edit(h.t, o.Packages, "Section: admin", "Section: amdin")
		}, "refused: is not a Packages file that", false},
		{"edited InRelease", func(h debHost, o *FileOptions) {
			edit(h.t, o.InRelease, "Suite: stable", "Suite: stabel")
		}, "refused: does not verify", false},
		{"no package", func(h debHost, o *FileOptions) { write(h.t, o.Path, "something else") }, "unknown: neither a deb nor an rpm", false},
		{"no file", func(_ debHost, o *FileOptions) { o.Path += ".gone" }, "unknown: opening package file", false},
		{"Packages missing", func(_ debHost, o *FileOptions) { o.Packages += ".gone" }, "unknown: opening Packages", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, o := debBeside(t)
			c.spoil(h, &o)
			proof, err := VerifyFile(t.Context(), o)
			want(t, c.want, proof, err)
			if proof.Installed != c.installed {
				t.Errorf("installed: %v, want %v", proof.Installed, c.installed)
			}
		})
	}
}

// TestVerifyDebWithoutEngine: a vendor's package that holds no dockerd proves
// nothing about the engine.
func TestVerifyDebWithoutEngine(t *testing.T) {
	h := copyHost(t)
	repo := h.path("srv/cli")
	tree := filepath.Join(t.TempDir(), "tree")
	write(t, tree+"/DEBIAN/control", "Package: docker-ce-cli\nVersion: 1\nArchitecture: amd64\nMaintainer: x\nDescription: x\n")
	deb := filepath.Join(t.TempDir(), "cli.deb")
	sh(t, nil, "dpkg-deb", "--root-owner-group", "--build", tree, deb)
	publish(t, repo, deb, debSetup{signedBy: vendor, flat: true})
	proof, err := VerifyFile(t.Context(), FileOptions{
		Path: deb, Packages: repo + "/Packages", InRelease: repo + "/InRelease", Root: h.root, Approved: []string{fingerprints[vendor]}, Now: now,
	})
	want(t, "unknown: holds no dockerd", proof, err)
}

func TestVerifyRPM(t *testing.T) {
	vendorRPM(t)
	for _, c := range []struct {
		name      string
		spoil     func(h rpmHost, o *FileOptions)
		want      string
		installed bool
	}{
		{"the installed one", func(rpmHost, *FileOptions) {}, "", true},
		{"not installed", func(h rpmHost, _ *FileOptions) {
			must(h.t, os.Remove(h.path("usr/bin/dockerd")))
		}, "", false},
		{"another dockerd installed", func(h rpmHost, _ *FileOptions) {
			write(h.t, h.path("usr/bin/dockerd"), "another engine")
		}, "", false},
		{"no database, key of the caller's", func(h rpmHost, o *FileOptions) {
			must(h.t, os.RemoveAll(h.path("var")))
			o.Keyrings = []string{filepath.Join(h.t.TempDir(), "key")}
			export(h.t, o.Keyrings[0], false, vendor)
		}, "", true},
		{"no database, no key", func(h rpmHost, _ *FileOptions) {
			must(h.t, os.RemoveAll(h.path("var")))
		}, "refused: not among the keys trusted here", false},
		{"key not approved", func(_ rpmHost, o *FileOptions) { o.Approved = nil }, "refused: signed by an unknown key", false},
		{"unsigned", func(h rpmHost, o *FileOptions) { o.Path = buildRPM(h.t, "docker-ce", "dockerd", "") }, "refused: carries no signature", false},
		{"no engine's package", func(h rpmHost, o *FileOptions) { o.Path = buildRPM(h.t, "docker-ce-cli", "docker", vendor) }, "unknown: holds no dockerd", false},
		{"changed header", func(h rpmHost, o *FileOptions) {
			changed := filepath.Join(h.t.TempDir(), "x.rpm")
			write(h.t, changed, strings.Replace(read(h.t, o.Path), "An engine to be judged.", "An engine to be jugded.", 1))
			o.Path = changed
		}, "refused: does not verify", false},
		{"changed payload", func(h rpmHost, o *FileOptions) {
			data := []byte(read(h.t, o.Path))
			data[len(data)-20] ^= 1
			o.Path = filepath.Join(h.t.TempDir(), "x.rpm")
			write(h.t, o.Path, string(data))
		}, "refused: payload", false},
		{"cut off", func(h rpmHost, o *FileOptions) {
			data := read(h.t, o.Path)
			o.Path = filepath.Join(h.t.TempDir(), "x.rpm")
			write(h.t, o.Path, data[:len(data)/4])
		}, "unknown: reading rpm header", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := newRPMHost(t, vendorRPM(t), vendor)
			o := FileOptions{Path: vendorRPM(t), Root: root, Approved: []string{fingerprints[vendor]}, Now: now}
			c.spoil(rpmHost{t, root}, &o)
			proof, err := VerifyFile(t.Context(), o)
			want(t, c.want, proof, err)
			if proof.Installed != c.installed {
				t.Errorf("installed: %v, want %v", proof.Installed, c.installed)
			}
		})
	}
}

// TestVerifyRPMOfNfpm: an rpm need not come from rpmbuild.
func TestVerifyRPMOfNfpm(t *testing.T) {
	need(t, "go", "rpm")
	keys(t)
	dir := t.TempDir()
	key := filepath.Join(dir, "key.asc")
	gpg(t, "--armor", "--output", key, "--export-secret-keys", vendor)
	write(t, dir+"/dockerd", "the engine")
	write(t, dir+"/nfpm.yaml", fmt.Sprintf("name: docker-ce\narch: amd64\nversion: 26.1.4\nvendor: Docker\nmaintainer: v@example.com\n"+
		"contents:\n- {src: %s/dockerd, dst: /usr/bin/dockerd}\nrpm: {signature: {key_file: %s}}\n", dir, key))
	made := dir + "/docker-ce.rpm"
	sh(t, nil, "go", "tool", "nfpm", "package", "--config", dir+"/nfpm.yaml", "--packager", "rpm", "--target", made)

	root := newRPMHost(t, made, vendor)
	proof, err := Installed(t.Context(), approvedVendor(root))
	want(t, "", proof, err)
	proof, err = VerifyFile(t.Context(), FileOptions{Path: made, Root: root, Approved: []string{fingerprints[vendor]}, Now: now})
	want(t, "", proof, err)
	if !proof.Installed {
		t.Error("not recognized as installed")
	}
}
