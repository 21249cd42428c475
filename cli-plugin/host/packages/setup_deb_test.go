package packages

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// onUSB writes a key to a file beside the host.
func onUSB(t *testing.T, who string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "docker.asc")
	export(t, file, true, who)
	return file
}

// planFor plans with a key of the tests, approved.
func planFor(t *testing.T, root, who, repository string) (Setup, error) {
	t.Helper()
	return PlanSetup(t.Context(), SetupOptions{Root: root, Key: onUSB(t, who), Repository: repository, Approved: []string{fingerprints[who]}, Now: now})
}

// apply writes the files of a plan.
func apply(t *testing.T, root string, s Setup) {
	t.Helper()
	for _, f := range s.Files {
		write(t, filepath.Join(root, f.Path), f.Content)
	}
}

// realApt runs apt-get on a host's lists and packages, with the host's own
// /etc/apt in the place of this machine's: signed-by names files of that.
func realApt(t *testing.T, h debHost, args ...string) (string, error) {
	t.Helper()
	needRoot(t)
	need(t, "unshare", "mount")
	conf := filepath.Join(t.TempDir(), "apt.conf")
	write(t, conf, fmt.Sprintf("Dir %q;\nDir::State::status %q;\nAPT::Architecture \"amd64\";\nAPT::Sandbox::User \"root\";\nAcquire::Languages \"none\";\n"+
		"DPkg::Options { \"--root=%s\"; \"--force-not-root\"; \"--force-depends\"; \"--log=/dev/null\"; };\nDPkg::Path \"/usr/sbin:/usr/bin:/sbin:/bin\";\n", h.root, h.path("var/lib/dpkg/status"), h.root))
	const inside = `mount --bind "$1" /etc/apt; shift; exec apt-get "$@"`
	cmd := exec.CommandContext(t.Context(), "unshare", append([]string{"--mount", "--propagation", "private", "sh", "-ec", inside, "sh", h.path("etc/apt")}, args...)...)
	cmd.Env = append(os.Environ(), "APT_CONFIG="+conf, "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.CombinedOutput()
	t.Logf("apt-get %s: %v\n%s", strings.Join(args, " "), err, out)
	return string(out), err
}

// updated wants apt to take every repository, without a word on signatures.
func updated(t *testing.T, h debHost) {
	t.Helper()
	out, err := realApt(t, h, "update")
	doubt := slices.ContainsFunc([]string{"E:", "GPG error", "NO_PUBKEY", "not signed", "Conflicting"}, func(word string) bool { return strings.Contains(out, word) })
	if err != nil || doubt {
		t.Fatalf("apt does not take it: %v", err)
	}
}

// TestSetupDebTrusted: an entry that apt took unchecked gets the vendor's key,
// and all that apt reads of the same repository agrees in it.
func TestSetupDebTrusted(t *testing.T) {
	h := newDebHost(t, debSetup{signedBy: vendor, source: oneLine("trusted=yes")})
	must(t, os.RemoveAll(h.path("etc/apt/keyrings")))
	write(t, h.path("etc/apt/sources.list.d/other.sources"), "# sources of it\nTypes: deb-src\nURIs: "+h.uri+"\nSuites: stable\nComponents: test\nTrusted: yes\n")
	write(t, h.path("etc/apt/sources.list"), "# deb file:/nowhere stable main\n")
	_, err := Installed(t.Context(), approvedVendor(h.root))
	want(t, "refused: trusted=yes", Proof{}, err)

	s, err := planFor(t, h.root, vendor, "")
	must(t, err)
	if s.Package != "docker-ce" || s.Version != debVersion || s.Fetched || !slices.Equal(s.Repositories, []string{h.uri + "/ stable"}) || len(s.Files) != 3 {
		t.Errorf("got %+v", s)
	}
	apply(t, h.root, s)
	line := read(t, h.path("etc/apt/sources.list.d/docker.list"))
	if wanted := "# the vendor\ndeb [arch=amd64 signed-by=" + s.KeyFile + "] " + h.uri + " stable test # comment\n"; line != wanted {
		t.Errorf("got %q, want %q", line, wanted)
	}
	updated(t, h)
	proof, err := Installed(t.Context(), approvedVendor(h.root))
	want(t, "", proof, err)

	again, err := planFor(t, h.root, vendor, "")
	must(t, err)
	if len(again.Files) > 0 || !again.Fetched {
		t.Errorf("wanted again: %+v", again.Files)
	}
}

// TestSetupDebReinstall: a host with another build and no repository gets one,
// real apt takes it, and installs what its vendor signed.
func TestSetupDebReinstall(t *testing.T) {
	h := newDebHost(t, usual)
	for _, name := range []string{"etc/apt/keyrings", "etc/apt/sources.list.d", "var/lib/apt/lists"} {
		must(t, os.RemoveAll(h.path(name)))
	}
	must(t, os.MkdirAll(h.path("var/lib/apt/lists/partial"), 0o755))
	other := buildDeb(t, h.path("other"), "docker-ce", debVersion, "Somebody <somebody@example.com>", "the 3ngine")
	sh(t, nil, "dpkg", "--root="+h.root, "--force-not-root", "--log=/dev/null", "-i", other)
	_, err := Installed(t.Context(), approvedVendor(h.root))
	want(t, "refused: comes from no repository", Proof{}, err)

	s, err := planFor(t, h.root, vendor, h.uri+" stable test")
	must(t, err)
	apply(t, h.root, s)
	_, err = Installed(t.Context(), approvedVendor(h.root))
	want(t, "unknown: run apt-get update", Proof{}, err)
	updated(t, h)
	_, err = Installed(t.Context(), approvedVendor(h.root))
	want(t, "refused: another build of this version", Proof{}, err)
	if _, err := realApt(t, h, "install", "-y", "--reinstall", s.Package+"="+s.Version); err != nil {
		t.Fatal("apt does not install it")
	}
	proof, err := Installed(t.Context(), approvedVendor(h.root))
	want(t, "", proof, err)
}

// TestSetupDebWrongKey: a key that the repository is not signed with is found
// by what apt has fetched and, where it has fetched nothing, refused by apt.
func TestSetupDebWrongKey(t *testing.T) {
	h := newDebHost(t, usual)
	if _, err := planFor(t, h.root, stranger, ""); err == nil || !strings.Contains(err.Error(), "is not signed with "+fingerprints[stranger]) {
		t.Errorf("by its lists: %v", err)
	}
	must(t, os.RemoveAll(h.path("var/lib/apt/lists")))
	must(t, os.MkdirAll(h.path("var/lib/apt/lists/partial"), 0o755))
	s, err := planFor(t, h.root, stranger, h.uri)
	must(t, err)
	if s.Fetched {
		t.Error("there are no lists that tell")
	}
	apply(t, h.root, s)
	if out, err := realApt(t, h, "update"); err == nil || !strings.Contains(out, "NO_PUBKEY") {
		t.Errorf("apt takes it: %v", err)
	}
	_, err = Installed(t.Context(), Options{Root: h.root, Approved: []string{fingerprints[stranger]}, Now: now})
	want(t, "unknown: run apt-get update", Proof{}, err)
}

// TestSetupDebUnsigned: a repository that nobody signed is refused from then on.
func TestSetupDebUnsigned(t *testing.T) {
	h := newDebHost(t, debSetup{source: oneLine("trusted=yes")})
	s, err := planFor(t, h.root, vendor, "")
	must(t, err)
	apply(t, h.root, s)
	if out, err := realApt(t, h, "update"); err == nil || !strings.Contains(out, "is not signed") {
		t.Errorf("apt takes it: %v", err)
	}
	_, err = Installed(t.Context(), approvedVendor(h.root))
	want(t, "refused: it is not signed", Proof{}, err)
}

// TestSetupDebEntry plans on hosts without lists.
func TestSetupDebEntry(t *testing.T) {
	t.Parallel()
	const key = "testdata/docker-ce-deb.asc" // Docker's own
	const ring = "/etc/apt/keyrings/docker-engine-8d81803c0ebfcd88.asc"
	const remark = "# Signed with the key 9DC858229FC7DD38854AE2D88D81803C0EBFCD88 (Docker Release (CE deb) <docker@docker.com>).\n"
	entry := func(uri, suite, components string) string {
		return remark + "Types: deb\nURIs: " + uri + "\nSuites: " + suite + "\n" + components + "Signed-By: " + ring + "\n"
	}
	for name, c := range map[string]struct {
		files            map[string]string
		repository, want string // of docker-engine.sources
		err              string
	}{
		"debian":          {map[string]string{"etc/os-release": "ID=debian\nVERSION_CODENAME=bookworm\n"}, "", entry("https://download.docker.com/linux/debian/", "bookworm", "Components: stable\n"), ""},
		"made of ubuntu":  {map[string]string{"etc/os-release": "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\nVERSION_CODENAME=wilma\nUBUNTU_CODENAME=noble\n"}, "", entry("https://download.docker.com/linux/ubuntu/", "noble", "Components: stable\n"), ""},
		"a mirror":        {map[string]string{"usr/lib/os-release": "ID=debian\nVERSION_CODENAME=trixie\n"}, "https://mirror.example.com/docker", entry("https://mirror.example.com/docker/", "trixie", "Components: stable\n"), ""},
		"a flat mirror":   {nil, "file:/srv/mirror ./", entry("file:/srv/mirror/", "./", ""), ""},
		"file is there":   {map[string]string{"etc/apt/sources.list.d/docker-engine.sources": "Types: deb\nURIs: file:/other\nSuites: ./\n"}, "file:/srv/mirror ./", "Types: deb\nURIs: file:/other\nSuites: ./\n\n" + entry("file:/srv/mirror/", "./", ""), ""},
		"unknown system":  {map[string]string{"etc/os-release": "ID=devuan\n"}, "", "", "name the repository with --vendor-repository"},
		"no os-release":   {nil, "", "", "name the repository with --vendor-repository"},
		"no codename":     {map[string]string{"etc/os-release": "ID=debian\n"}, "", "", "which suite and component"},
		"no repository":   {nil, "mirror.example.com/docker", "", "is no repository: want https://"},
		"of no kind":      {nil, "ftp://mirror.example.com/docker", "", "is no repository: want https://"},
		"no host":         {nil, "https:///docker", "", "is no repository: want https://"},
		"a password":      {nil, "https://me:secret@mirror.example.com/docker", "", "/etc/apt/auth.conf.d"},
		"an option":       {nil, "https://mirror.example.com/docker[trusted=yes] x y", "", "characters that an entry cannot hold"},
		"suite alone":     {nil, "https://mirror.example.com/docker bookworm", "", "needs a component"},
		"malformed lists": {map[string]string{"etc/apt/sources.list": "deb\n"}, "file:/srv ./", "", "apt-get update shows the same fault"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			write(t, filepath.Join(root, "var/lib/dpkg/status"), "")
			for file, text := range c.files {
				write(t, filepath.Join(root, file), text)
			}
			s, err := PlanSetup(t.Context(), SetupOptions{Root: root, Key: key, Repository: c.repository, Now: now})
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "secret") {
					t.Errorf("got %v, want %s", err, c.err)
				}
				return
			}
			must(t, err)
			wanted := []SetupFile{{ring, read(t, key)}, {aptEntry, c.want}}
			if diff := cmp.Diff(wanted, s.Files); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestSetupTellsNoPassword: what is wrong with a repository is said without the
// name and the password of its address.
func TestSetupTellsNoPassword(t *testing.T) {
	t.Parallel()
	const status, secret = "var/lib/dpkg/status", "TOPSECRET"
	paragraph := "Types: deb\nURIs: https://me:" + secret + "@a.example.com https://download.docker.com/linux/debian\nSuites: x\nComponents: y\n"
	for name, c := range map[string]struct {
		file, text, repository, says string
	}{
		"another scheme": {repository: "ftp://me:" + secret + "@h.example.com/x", says: "is no repository: want https://"},
		"no scheme":      {repository: "me:" + secret + "@h.example.com/x", says: "is no repository: want https://"},
		"no URL":         {repository: "https://me:%zz" + secret + "@h.example.com/x", says: "is no repository: want https://"},
		"brackets":       {repository: "file:/srv [https://me:" + secret + "@h.example.com/x]", says: "characters that an entry cannot hold"},
		"no component":   {repository: "file:/srv https://me:" + secret + "@h.example.com", says: "needs a component"},
		"a flat one":     {repository: "file:/srv https://me:" + secret + "@h.example.com/ x", says: "takes no component"},
		"no deb":         {file: "etc/apt/sources.list", text: "https://me:" + secret + "@h.example.com/x y z\n", says: "is neither deb nor deb-src"},
		"an option":      {file: "etc/apt/sources.list", text: "deb [https://me:" + secret + "@h.example.com/x] y z\n", says: "is no option"},
		"a suite":        {file: "etc/apt/sources.list", text: "deb file:/srv https://me:" + secret + "@h.example.com\n", says: "needs a component"},
		"no field":       {file: "etc/apt/sources.list.d/a.sources", text: "deb https://me:" + secret + "@h.example.com/x y z\n", says: "is no field"},
		"of two signers": {file: "etc/apt/sources.list.d/a.sources", text: paragraph, says: "write a paragraph for each"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			write(t, filepath.Join(root, status), "")
			if c.file != "" {
				write(t, filepath.Join(root, c.file), c.text)
			}
			_, err := PlanSetup(t.Context(), SetupOptions{Root: root, Key: "testdata/docker-ce-deb.asc", Repository: c.repository, Now: now})
			if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), secret) {
				t.Errorf("got %v, want %q without the password", err, c.says)
			}
		})
	}
	s := source{uri: "https://me:" + secret + "@h.example.com/x@y/", suite: "z"}
	if got := s.String(); got != "https://<NOT SHOWN>@h.example.com/x@y/ z" {
		t.Errorf("got %q", got)
	}
}

// TestChannel: the enterprise engine is in a part of its repository for each
// line of versions.
func TestChannel(t *testing.T) {
	t.Parallel()
	ee, ce := VendorKey{Key: Key{Product: "Docker EE"}}, VendorKey{Key: Key{Product: "Docker CE"}}
	for version, wanted := range map[string]string{"5:23.0.9-1~ubuntu": "stable-23.0", "3:20.10.13-3.el8": "stable-20.10", "19.03.5": "stable-19.03", "": "", "23": ""} {
		if got := ee.channel(version); got != wanted || ce.channel(version) != "stable" {
			t.Errorf("%s: got %s and %s", version, got, ce.channel(version))
		}
	}
}

// TestEditEntries holds edits against entries as people write them.
func TestEditEntries(t *testing.T) {
	t.Parallel()
	uris := []string{"https://d.example.com/linux/"}
	for _, c := range []struct{ name, text, want, err string }{
		{"a.list", "deb https://d.example.com/linux x y\n", "deb [signed-by=/k] https://d.example.com/linux x y\n", ""},
		{"a.list", "deb-src\t[ arch=amd64,arm64 Signed-By=/old,/older trusted=yes lang+=de ]  https://d.example.com/linux/ x y z # why", "deb-src [arch=amd64,arm64 lang+=de signed-by=/k] https://d.example.com/linux/ x y z # why", ""},
		{"a.list", "deb [allow-insecure=yes signed-by=/a signed-by+=/b] https://d.example.com/linux x y\r\n", "deb [signed-by=/k] https://d.example.com/linux x y\r\n", ""},
		{"a.list", "# deb https://d.example.com/linux x y\n\ndeb https://other.example.com/linux x y\n", "# deb https://d.example.com/linux x y\n\ndeb https://other.example.com/linux x y\n", ""},
		{"a.sources", "Types: deb\nURIs: https://d.example.com/linux\nSuites: x\nComponents: y\n", "Types: deb\nURIs: https://d.example.com/linux\nSuites: x\nComponents: y\nSigned-By: /k\n", ""},
		{
			"a.sources",
			"# one\nTypes: deb\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n x\n# two\nURIs: https://d.example.com/linux\nTrusted: yes\nSuites: x\nComponents: y\n\nTypes: deb\nURIs: https://o.example.com\nSuites: x\nComponents: y",
			"# one\nTypes: deb\n# two\nURIs: https://d.example.com/linux\nSuites: x\nComponents: y\nSigned-By: /k\n\nTypes: deb\nURIs: https://o.example.com\nSuites: x\nComponents: y", "",
		},
		{"a.sources", "Enabled: no\nTypes: deb\nURIs: https://d.example.com/linux\nSuites: x\nComponents: y\n", "Enabled: no\nTypes: deb\nURIs: https://d.example.com/linux\nSuites: x\nComponents: y\n", ""},
		{"a.sources", "Types: deb\nURIs: https://d.example.com/linux https://o.example.com\nSuites: x\nComponents: y\n", "", "write a paragraph for each"},
	} {
		edit := editList
		if strings.HasSuffix(c.name, deb822File) {
			edit = editSources
		}
		got, err := edit(c.text, uris, "/k")
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q:\n got %q, %v\nwant %q, %s", c.text, got, err, c.want, c.err)
		}
		if again, _ := edit(got, uris, "/k"); again != got {
			t.Errorf("%q is edited again: %q", got, again)
		}
	}
}

// FuzzEditEntries: what could be read can be read after an edit, says the same
// but for the key, and no entry of the repository asks for another.
func FuzzEditEntries(f *testing.F) {
	f.Add([]byte("deb [arch=amd64 signed-by=/k trusted=yes] http://h/d s a b # c\ndeb-src http://h/d s a\n"))
	f.Add([]byte("Types: deb\nURIs: http://h/d\nSuites: s\nComponents: a\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n x\n\nTypes: deb\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, c := range []struct {
			parse func(string, []byte) ([]source, error)
			edit  func(string, []string, string) (string, error)
		}{{parseList, editList}, {parseSources, editSources}} {
			before, err := c.parse("f", data)
			if err != nil || len(before) == 0 {
				continue
			}
			uri := before[0].uri
			text, err := c.edit(string(data), []string{uri}, "/ring")
			if err != nil {
				continue // it says what to do
			}
			after, err := c.parse("f", []byte(text))
			if err != nil || len(after) != len(before) {
				t.Fatalf("%q became %q: %v", data, text, err)
			}
			for i := range after {
				if after[i].String() != before[i].String() || !slices.Equal(after[i].components, before[i].components) {
					t.Errorf("%q became %q", data, text)
				}
				if after[i].uri == uri && (after[i].options["signed-by"] != "/ring" || after[i].unchecked() != "") {
					t.Errorf("%q became %q, with %v", data, text, after[i].options)
				}
			}
		}
	})
}
