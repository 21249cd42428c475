package packages

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A debHost is a scratch root on which real apt fetched the lists of a real
// repository, and real dpkg installed docker-ce from it.
type debHost struct {
	t    *testing.T
	root string
	repo string // below the root; its name needs escaping in the names of lists
	uri  string
}

func (h debHost) path(name string) string { return filepath.Join(h.root, name) }

func (h debHost) list(t *testing.T, ending string) string {
	t.Helper()
	found, err := filepath.Glob(h.path("var/lib/apt/lists/*" + ending))
	must(t, err)
	if len(found) != 1 {
		t.Fatalf("%d lists end with %s", len(found), ending)
	}
	return found[0]
}

const (
	debVersion = "5:26.1.4-1~debian.12~bookworm" // the epoch is escaped in the names of files
	keyFile    = "/etc/apt/keyrings/docker.gpg"
)

// debSetup says how a host's repository is signed and used.
type debSetup struct {
	signedBy string // user ID of the key that signs; empty: nobody
	detached bool   // Release and Release.gpg instead of InRelease
	flat     bool
	compress bool // apt keeps lists compressed
	maintain string
	source   func(h debHost, keyFile string) (file, text string)
}

// oneLine is the usual sources.list entry.
func oneLine(options string) func(debHost, string) (string, string) {
	return func(h debHost, key string) (string, string) {
		return "docker.list", fmt.Sprintf("# the vendor\ndeb [arch=amd64 %s] %s stable test # comment\n", strings.ReplaceAll(options, "KEY", key), h.uri)
	}
}

func newDebHost(t *testing.T, s debSetup) debHost {
	t.Helper()
	need(t, "apt-get", "dpkg", "dpkg-deb", "apt-ftparchive")
	keys(t)
	dir := t.TempDir()
	h := debHost{t: t, root: dir, repo: "/srv/my_repo~1/debian"}
	h.uri = "file:" + dir + h.repo
	for _, d := range []string{
		"etc/apt/sources.list.d", "etc/apt/apt.conf.d", "etc/apt/preferences.d", "etc/apt/trusted.gpg.d", "var/lib/apt/lists/partial",
		"var/cache/apt/archives/partial", "var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers", "var/log/apt", filepath.Dir(dir),
	} {
		must(t, os.MkdirAll(h.path(d), 0o755))
	}
	must(t, os.Symlink("/", h.path(dir))) // apt takes signed-by for a path of this machine: let it lead to the same file below the root
	write(t, h.path("var/lib/dpkg/status"), "")
	deb := buildDeb(t, h.path("build"), "docker-ce", debVersion, s.maintain, "the engine")
	publish(t, h.path(h.repo), deb, s)
	export(t, h.path(keyFile), false, fallback(s.signedBy, vendor))
	export(t, h.path(keyFile+".asc"), true, fallback(s.signedBy, vendor))
	file, text := s.source(h, dir+keyFile)
	write(t, h.path("etc/apt/sources.list.d/"+file), text)
	aptUpdate(t, h, s.compress)
	sh(t, nil, "dpkg", "--root="+dir, "--force-not-root", "--log=/dev/null", "-i", deb)
	return h
}

func fallback(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func aptUpdate(t *testing.T, h debHost, compress bool) {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "apt.conf")
	write(t, conf, fmt.Sprintf("Dir %q;\nDir::State::status %q;\nAPT::Architecture \"amd64\";\nAPT::Sandbox::User \"root\";\n"+
		"Acquire::Languages \"none\";\nAcquire::GzipIndexes \"%v\";\nAcquire::AllowInsecureRepositories \"true\";\n", h.root, h.path("var/lib/dpkg/status"), compress))
	sh(t, []string{"APT_CONFIG=" + conf}, "apt-get", "update")
}

// buildDeb makes a package that holds a dockerd.
func buildDeb(t *testing.T, dir, name, version, maintainer, content string) string {
	t.Helper()
	tree := filepath.Join(dir, "tree")
	write(t, filepath.Join(tree, "usr/bin/dockerd"), content)
	sums := sh(t, nil, "sh", "-c", `cd "$1" && md5sum usr/bin/dockerd`, "sh", tree)
	write(t, filepath.Join(tree, "DEBIAN/md5sums"), sums)
	write(t, filepath.Join(tree, "DEBIAN/control"), fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: amd64\nMaintainer: %s\n"+
		"Installed-Size: 100\nSection: admin\nReplaces: docker.io(<< 1.5~), docker-engine\nDescription: an engine\n to be judged\n",
		name, version, fallback(maintainer, "Vendor <vendor@example.com>")))
	deb := filepath.Join(dir, name+".deb")
	sh(t, nil, "dpkg-deb", "--root-owner-group", "--build", tree, deb)
	return deb
}

// publish makes the repository around a package, and signs it.
func publish(t *testing.T, repo, deb string, s debSetup) {
	t.Helper()
	dists, index := repo+"/dists/stable", repo+"/dists/stable/test/binary-amd64"
	if s.flat {
		dists, index = repo, repo
	}
	must(t, os.MkdirAll(index, 0o755))
	write(t, repo+"/pool/docker-ce.deb", read(t, deb))
	packages := sh(t, nil, "sh", "-c", `cd "$1" && apt-ftparchive packages pool`, "sh", repo)
	write(t, index+"/Packages", packages)
	sh(t, nil, "xz", "-kf", index+"/Packages")
	release := sh(t, nil, "apt-ftparchive", "-o", "APT::FTPArchive::Release::Origin=Docker", "-o", "APT::FTPArchive::Release::Suite=stable",
		"-o", "APT::FTPArchive::Release::ValidTime=31536000", "release", dists)
	write(t, dists+"/Release", release)
	switch {
	case s.signedBy == "":
	case s.detached:
		gpg(t, "--local-user", s.signedBy, "--armor", "--detach-sign", "--output", dists+"/Release.gpg", dists+"/Release")
	default:
		gpg(t, "--local-user", s.signedBy, "--clearsign", "--output", dists+"/InRelease", dists+"/Release")
		must(t, os.Remove(dists+"/Release"))
	}
}

var usual = debSetup{signedBy: vendor, source: oneLine("signed-by=KEY")}

var usualHost struct {
	once sync.Once
	host debHost
}

// copyHost gives a copy, to be spoiled, of the usual host.
func copyHost(t *testing.T) debHost {
	t.Helper()
	keys(t)
	usualHost.once.Do(func() {
		h := newDebHost(t, usual)
		kept := filepath.Join(scratch, "host")
		sh(t, nil, "cp", "-a", h.root, kept)
		usualHost.host = debHost{root: kept, repo: h.repo, uri: h.uri}
	})
	if usualHost.host.root == "" {
		t.Fatal("the host could not be made")
	}
	h := usualHost.host
	h.t = t
	h.root = filepath.Join(t.TempDir(), "root")
	sh(t, nil, "cp", "-a", usualHost.host.root, h.root)
	return h
}

func approvedVendor(root string) Options {
	return Options{Root: root, Approved: []string{fingerprints[vendor]}, Now: now}
}

func TestInstalledDeb(t *testing.T) {
	h := copyHost(t)
	proof, err := Installed(t.Context(), approvedVendor(h.root))
	want(t, "", proof, err)
	got := fmt.Sprint(proof.Package, proof.Version, proof.Architecture, proof.Format, proof.Key.Fingerprint, proof.Repository, proof.Installed)
	expected := fmt.Sprint("docker-ce", debVersion, "amd64", Deb, fingerprints[vendor], h.uri+"/ stable", true)
	if got != expected {
		t.Errorf("got %s, want %s", got, expected)
	}
	if len(proof.Facts) < 4 {
		t.Errorf("only %d facts", len(proof.Facts))
	}
}

// TestInstalledDebSetups reaches a proof, or not, over every way in which apt
// may be told of a repository.
func TestInstalledDebSetups(t *testing.T) {
	for _, c := range []struct {
		name     string
		setup    debSetup
		approved string
		want     string
	}{
		{"release signed beside", debSetup{signedBy: vendor, detached: true, source: oneLine("signed-by=KEY")}, vendor, ""},
		{"lists kept compressed", debSetup{signedBy: vendor, compress: true, source: oneLine("signed-by=KEY")}, vendor, ""},
		{"signed by a subkey", debSetup{signedBy: withSub, source: oneLine("signed-by=KEY")}, withSub, ""},
		{"flat repository", debSetup{signedBy: vendor, flat: true, source: func(h debHost, key string) (string, string) {
			return "a.list", "deb [signed-by=" + key + "] " + h.uri + " ./\n"
		}}, vendor, ""},
		{"deb822 with path", debSetup{signedBy: vendor, source: deb822(func(_ debHost, key string) string { return key })}, vendor, ""},
		{"deb822 with the key inside", debSetup{signedBy: vendor, source: deb822(armoredField)}, vendor, ""},
		{"trusted for all", debSetup{signedBy: vendor, source: func(h debHost, key string) (string, string) {
			must(t, os.Rename(key, h.path("etc/apt/trusted.gpg.d/docker.gpg")))
			return "a.list", "deb " + h.uri + " stable test\n"
		}}, vendor, ""},
		{"unknown key", debSetup{signedBy: stranger, source: oneLine("signed-by=KEY")}, vendor, "refused: signed by an unknown key"},
		{"unsigned and trusted", debSetup{source: oneLine("trusted=yes")}, vendor, "refused: trusted=yes"},
		{"signed and trusted", debSetup{signedBy: vendor, source: oneLine("trusted=yes signed-by=KEY")}, vendor, "refused: trusted=yes"},
		{"unsigned and allowed", debSetup{source: oneLine("allow-insecure=yes signed-by=KEY")}, vendor, "refused: allow-insecure=yes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newDebHost(t, c.setup)
			proof, err := Installed(t.Context(), Options{Root: h.root, Approved: []string{fingerprints[c.approved]}, Now: now})
			want(t, c.want, proof, err)
		})
	}
}

func deb822(signedBy func(debHost, string) string) func(debHost, string) (string, string) {
	return func(h debHost, key string) (string, string) {
		return "docker.sources", "# the vendor\nTypes: deb deb-src\nURIs: " + h.uri + "\nSuites: stable\n# between\nComponents: test\nArchitectures: amd64 arm64\nSigned-By: " +
			signedBy(h, key) + "\n\nEnabled: no\nTypes: deb\nURIs: file:/nowhere\nSuites: x\nComponents: y\n"
	}
}

func armoredField(_ debHost, key string) string {
	armored, err := os.ReadFile(key + ".asc")
	if err != nil {
		return err.Error()
	}
	return "\n " + strings.ReplaceAll(strings.ReplaceAll(strings.TrimSpace(string(armored)), "\n\n", "\n.\n"), "\n", "\n ")
}

// TestInstalledDebSpoiled takes the usual host, for which there is a proof,
// and breaks one link of the chain at a time.
func TestInstalledDebSpoiled(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(h debHost, o *Options)
		want  string
	}{
		{"nothing", func(debHost, *Options) {}, ""},
		{"key not approved", func(_ debHost, o *Options) { o.Approved = nil }, "refused: signed by an unknown key"},
		{"another key approved", func(_ debHost, o *Options) { o.Approved = []string{fingerprints[stranger]} }, "refused: signed by an unknown key"},
		{"short key ID", func(_ debHost, o *Options) { o.Approved = []string{fingerprints[vendor][24:]} }, "unknown: short key ID"},
		{"no clock", func(_ debHost, o *Options) { o.Now = time.Time{} }, "unknown: no time given"},
		{"before the signature was made", func(_ debHost, o *Options) { o.Now = now.AddDate(-1, 0, 0) }, "refused: no signature holds"},
		{"signed-by names another key", func(h debHost, _ *Options) {
			export(h.t, h.path(keyFile), false, stranger)
		}, "refused: which is not among the keys trusted here"},
		{"signed-by names no file", func(h debHost, _ *Options) {
			must(h.t, os.Remove(h.path(keyFile)))
		}, "refused: does not exist"},
		{"signed-by is a fingerprint", func(h debHost, _ *Options) {
			export(h.t, h.path("etc/apt/trusted.gpg.d/all.asc"), true, stranger, vendor)
			signedBy(h.t, h, fingerprints[vendor]+"!")
		}, ""},
		{"signed-by is another fingerprint", func(h debHost, _ *Options) {
			export(h.t, h.path("etc/apt/trusted.gpg.d/all.asc"), true, stranger, vendor)
			signedBy(h.t, h, fingerprints[stranger])
		}, "refused: no signature holds"},
		{"signed-by is a short key ID", func(h debHost, _ *Options) {
			signedBy(h.t, h, fingerprints[vendor][24:])
		}, "refused: short key ID"},
		{"several keyrings", func(h debHost, _ *Options) {
			export(h.t, h.path("etc/apt/keyrings/other.asc"), true, stranger)
			signedBy(h.t, h, "/etc/apt/keyrings/other.asc,"+keyFile)
		}, ""},
		{"edited Packages", func(h debHost, _ *Options) {
			edit(h.t, h.list(h.t, "_Packages"), "Section: admin", "Section: amdin")
		}, "refused: is not the file that"},
		{"edited Packages, compressed", func(h debHost, _ *Options) {
			file := h.list(h.t, "_Packages")
			edit(h.t, file, "Section: admin", "Section: amdin")
			sh(h.t, nil, "gzip", file)
		}, "refused: is not the file that"},
		{"Packages compressed by xz", func(h debHost, _ *Options) { sh(h.t, nil, "xz", "-f", flatten(h.t, h)) }, ""},
		{"Packages compressed by zstd", func(h debHost, _ *Options) {
			need(h.t, "zstd")
			sh(h.t, nil, "zstd", "-q", "--rm", flatten(h.t, h))
		}, ""},
		{"damaged compressed Packages", func(h debHost, _ *Options) {
			file := flatten(h.t, h)
			must(h.t, os.Remove(file))
			write(h.t, file+".gz", "\x1f\x8b\x08 damaged")
		}, "unknown: apt-get update"},
		{"edited InRelease", func(h debHost, _ *Options) {
			edit(h.t, h.list(h.t, "_InRelease"), "Suite: stable", "Suite: stabel")
		}, "refused: does not verify"},
		{"text before InRelease", func(h debHost, _ *Options) {
			file := h.list(h.t, "_InRelease")
			write(h.t, file, "Origin: Docker\n\n"+read(h.t, file))
		}, "refused: does not begin with a signed message"},
		{"text behind InRelease", func(h debHost, _ *Options) {
			file := h.list(h.t, "_InRelease")
			write(h.t, file, read(h.t, file)+"SHA256:\n")
		}, "refused: has text behind its signature"},
		{"signed by two", func(h debHost, _ *Options) {
			signAnew(h.t, h, "", "--local-user", stranger, "--local-user", vendor)
		}, ""},
		{"signed with SHA-1", func(h debHost, _ *Options) {
			signAnew(h.t, h, "", "--local-user", vendor, "--digest-algo", "SHA1")
		}, "refused: which is broken"},
		{"signed, names no SHA-256", func(h debHost, _ *Options) {
			signAnew(h.t, h, "SHA256:", "--local-user", vendor)
		}, "refused: is not the file that"},
		{"no release file", func(h debHost, _ *Options) {
			must(h.t, os.Remove(h.list(h.t, "_InRelease")))
		}, "refused: it is not signed"},
		{"no lists", func(h debHost, _ *Options) {
			must(h.t, os.RemoveAll(h.path("var/lib/apt/lists")))
		}, "unknown: run apt-get update"},
		{"no sources", func(h debHost, _ *Options) {
			must(h.t, os.RemoveAll(h.path("etc/apt/sources.list.d")))
		}, "refused: comes from no repository"},
		{"malformed sources", func(h debHost, _ *Options) {
			write(h.t, h.path("etc/apt/sources.list"), "deb [signed-by=/x http://example.com stable main\n")
		}, "unknown: sources.list:1"},
		{"another version installed", func(h debHost, _ *Options) {
			edit(h.t, h.path("var/lib/dpkg/status"), debVersion, "5:26.1.3-1")
		}, "refused: comes from no repository"},
		{"another build installed", func(h debHost, _ *Options) {
			edit(h.t, h.path("var/lib/dpkg/status"), "Replaces: docker.io", "Replaces: docker.oi")
		}, "refused: another build of this version"},
		{"changed binary", func(h debHost, _ *Options) {
			write(h.t, h.path("usr/bin/dockerd"), "another engine")
		}, "refused: was changed after"},
		{"removed binary", func(h debHost, _ *Options) {
			must(h.t, os.Remove(h.path("usr/bin/dockerd")))
		}, "refused: is gone"},
		{"diverted binary", func(h debHost, _ *Options) {
			write(h.t, h.path("var/lib/dpkg/diversions"), "/usr/bin/dockerd\n/usr/bin/dockerd.real\nevil\n")
		}, "refused: dpkg-divert"},
		{"no digests kept", func(h debHost, _ *Options) {
			must(h.t, os.Remove(h.path("var/lib/dpkg/info/docker-ce.md5sums")))
		}, "unknown: dpkg keeps no digests"},
		{"no package", func(h debHost, _ *Options) {
			write(h.t, h.path("var/lib/dpkg/status"), "")
		}, "refused: put there by hand"},
		{"no package and no binary", func(h debHost, _ *Options) {
			write(h.t, h.path("var/lib/dpkg/status"), "")
			must(h.t, os.Remove(h.path("usr/bin/dockerd")))
		}, "unknown: no engine found"},
		{"no database", func(h debHost, _ *Options) {
			must(h.t, os.Remove(h.path("var/lib/dpkg/status")))
		}, "unknown: no dpkg or rpm database"},
		{"the running engine is another", func(h debHost, o *Options) {
			write(h.t, h.path("usr/local/bin/dockerd"), "by hand")
			o.Engine = "/usr/local/bin/dockerd"
		}, "refused: put there by hand"},
		{"the running engine is the packaged one", func(_ debHost, o *Options) { o.Engine = "/usr/bin/dockerd" }, ""},
		{"package of unknown name", func(h debHost, _ *Options) {
			renamePackage(h.t, h, "acme-engine")
		}, "refused: acme-engine"},
		{"a distribution's package", func(h debHost, _ *Options) {
			renamePackage(h.t, h, "docker.io")
		}, "refused: docker.io"},
		{"package in the cache", func(h debHost, _ *Options) { cacheDeb(h.t, h) }, ""},
		{"another package in the cache", func(h debHost, _ *Options) {
			write(h.t, cacheDeb(h.t, h), "something else")
		}, "refused: is not the file that the signed metadata names"},
		{"changed binary with its digest", func(h debHost, _ *Options) {
			cacheDeb(h.t, h)
			changeWithDigest(h.t, h)
		}, "refused: is not the one inside"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := copyHost(t)
			o := approvedVendor(h.root)
			c.spoil(h, &o)
			proof, err := Installed(t.Context(), o)
			want(t, c.want, proof, err)
		})
	}
}

// signAnew signs the host's InRelease again, without a field if one is named.
func signAnew(t *testing.T, h debHost, without string, args ...string) {
	t.Helper()
	file, plain := h.list(t, "_InRelease"), filepath.Join(t.TempDir(), "Release")
	_, text, _, err := clearsigned([]byte(read(t, file)))
	must(t, err)
	kept := string(text) + "\n"
	if without != "" {
		kept, _, _ = strings.Cut(kept, without)
	}
	write(t, plain, kept)
	must(t, os.Remove(file))
	gpg(t, append(args, "--clearsign", "--output", file, plain)...)
}

// flatten replaces apt's link to the repository by a file.
func flatten(t *testing.T, h debHost) string {
	t.Helper()
	file := h.list(t, "_Packages")
	write(t, file, read(t, file))
	return file
}

func signedBy(t *testing.T, h debHost, value string) {
	t.Helper()
	file := h.path("etc/apt/sources.list.d/docker.list")
	line := read(t, file)
	_, rest, _ := strings.Cut(line, "signed-by=")
	old, _, _ := strings.Cut(rest, "]")
	edit(t, file, "signed-by="+old, "signed-by="+value)
}

func renamePackage(t *testing.T, h debHost, name string) {
	t.Helper()
	edit(t, h.path("var/lib/dpkg/status"), "Package: docker-ce", "Package: "+name)
	for _, ending := range []string{".list", ".md5sums"} {
		must(t, os.Rename(h.path("var/lib/dpkg/info/docker-ce"+ending), h.path("var/lib/dpkg/info/"+name+ending)))
	}
}

func cacheDeb(t *testing.T, h debHost) string {
	t.Helper()
	file := h.path("var/cache/apt/archives/docker-ce_" + strings.ReplaceAll(debVersion, ":", "%3a") + "_amd64.deb")
	write(t, file, read(t, h.path("build/docker-ce.deb")))
	return file
}

func changeWithDigest(t *testing.T, h debHost) {
	t.Helper()
	write(t, h.path("usr/bin/dockerd"), "another engine")
	write(t, h.path("var/lib/dpkg/info/docker-ce.md5sums"), sh(t, nil, "sh", "-c", `cd "$1" && md5sum usr/bin/dockerd`, "sh", h.root))
}

// TestInstalledDebKeys judges one host whose key ends in a year, and one whose
// key was revoked.
func TestInstalledDebKeys(t *testing.T) {
	h := newDebHost(t, debSetup{signedBy: brief, source: oneLine("signed-by=KEY")})
	o := Options{Root: h.root, Approved: []string{fingerprints[brief]}, Now: now}
	proof, err := Installed(t.Context(), o)
	want(t, "", proof, err)
	o.Now = now.AddDate(2, 0, 0)
	proof, err = Installed(t.Context(), o)
	want(t, "refused: the key has expired", proof, err)

	h = newDebHost(t, debSetup{signedBy: revokedK, source: oneLine("signed-by=KEY")})
	o = Options{Root: h.root, Approved: []string{fingerprints[revokedK]}, Now: now}
	proof, err = Installed(t.Context(), o)
	want(t, "", proof, err)
	exportRevoked(t, h.path(keyFile))
	proof, err = Installed(t.Context(), Options{Root: h.root, Approved: o.Approved, Now: now})
	want(t, "refused: the key is revoked", proof, err)
}

// TestInstalledDebSubkeyPinned: signed-by with "!" means that very key.
func TestInstalledDebSubkeyPinned(t *testing.T) {
	h := newDebHost(t, debSetup{signedBy: withSub, source: oneLine("signed-by=KEY")})
	export(t, h.path("etc/apt/trusted.gpg.d/all.gpg"), false, withSub)
	o := Options{Root: h.root, Approved: []string{fingerprints[withSub]}, Now: now}
	signedBy(t, h, fingerprints[withSub])
	proof, err := Installed(t.Context(), o)
	want(t, "", proof, err)
	signedBy(t, h, fingerprints[withSub]+"!")
	proof, err = Installed(t.Context(), o)
	want(t, "refused: no signature holds", proof, err)
}

// TestInstalledDebValidUntil: old lists are said to be old, and still tell
// what was signed.
func TestInstalledDebValidUntil(t *testing.T) {
	h := copyHost(t)
	o := approvedVendor(h.root)
	o.Now = now.AddDate(2, 0, 0) // the release is valid for a year
	proof, err := Installed(t.Context(), o)
	want(t, "", proof, err)
	for _, f := range proof.Facts {
		if strings.Contains(f.Answer, "is past: the lists are old") {
			return
		}
	}
	t.Error("no fact says that the lists are old")
}

// TestInstalledDebTwoSources sets a second repository beside the vendor's,
// which offers the same build with other content and needs no signature.
func TestInstalledDebTwoSources(t *testing.T) {
	h := newDebHost(t, usual)
	rival := debHost{t: t, root: h.root, repo: "/srv/rival", uri: "file:" + h.root + "/srv/rival"}
	deb := buildDeb(t, h.path("rival"), "docker-ce", debVersion, "", "the 3ngine")
	publish(t, h.path(rival.repo), deb, debSetup{})
	write(t, h.path("etc/apt/sources.list.d/rival.list"), "deb [trusted=yes] "+rival.uri+" stable test\n")
	aptUpdate(t, h, false)

	proof, err := Installed(t.Context(), approvedVendor(h.root))
	want(t, "unknown: nothing tells which was installed", proof, err)
	cacheDeb(t, h)
	proof, err = Installed(t.Context(), approvedVendor(h.root))
	want(t, "", proof, err)

	must(t, os.Remove(h.path("etc/apt/sources.list.d/docker.list")))
	proof, err = Installed(t.Context(), approvedVendor(h.root))
	want(t, "refused: trusted=yes", proof, err)
}

// TestInstalledDebSameInBoth: a mirror of the same bytes does no harm, signed
// or not.
func TestInstalledDebSameInBoth(t *testing.T) {
	h := newDebHost(t, usual)
	mirror := debHost{t: t, root: h.root, repo: "/srv/mirror", uri: "file:" + h.root + "/srv/mirror"}
	publish(t, h.path(mirror.repo), h.path("build/docker-ce.deb"), debSetup{})
	write(t, h.path("etc/apt/sources.list.d/a-mirror.list"), "deb [trusted=yes] "+mirror.uri+" stable test\n")
	aptUpdate(t, h, false)
	proof, err := Installed(t.Context(), approvedVendor(h.root))
	want(t, "", proof, err)
}

// TestInstalledDebian judges this machine's own docker.io, if it has one.
func TestInstalledDebian(t *testing.T) {
	d, err := readDpkg(t.Context(), "/")
	if err != nil {
		skip(t, err.Error())
	}
	p, err := d.engine(enginePaths)
	if err != nil || p.name() != "docker.io" {
		skip(t, fmt.Sprintf("Debian's docker.io is not installed (%v)", err))
	}
	lists, err := filepath.Glob(listsDir + "/*Packages*")
	must(t, err)
	if len(lists) == 0 {
		skip(t, "no package lists, run apt-get update")
	}
	_, err = Installed(t.Context(), Options{Now: now})
	want(t, "refused: is built by the distribution: Debian", Proof{}, err)
	_, advised, _ := strings.Cut(err.Error(), "approve fingerprint ")
	proof, err := Installed(t.Context(), Options{Approved: []string{advised[:40]}, Now: now})
	want(t, "", proof, err)
	if proof.Package != "docker.io" || proof.Key.Fingerprint != Fingerprint(advised[:40]) {
		t.Errorf("got %+v", proof)
	}
}
