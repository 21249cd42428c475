package packages

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSetupRPM: real rpm with a package whose key it does not know. The plan is
// carried out and taken back by the words that it gives.
func TestSetupRPM(t *testing.T) {
	root := newRPMHost(t, vendorRPM(t))
	repo := filepath.Join(root, "etc/yum.repos.d/docker-ce.repo")
	write(t, repo, "[docker-ce-stable]\nname=Docker CE\nbaseurl=https://mirror.example.com/docker/9/x86_64/stable\ngpgcheck=0\ngpgkey=https://mirror.example.com/gpg\n\n[docker-ce-source]\nenabled=0\n")
	_, err := Installed(t.Context(), approvedVendor(root))
	want(t, "refused: rpm --import", Proof{}, err)

	s, err := planFor(t, root, vendor, "https://mirror.example.com/docker/9/x86_64/stable/")
	must(t, err)
	if s.Package != "docker-ce" || !s.Fetched || len(s.Files) != 2 || s.Import == "" || !slices.Equal(s.Repositories, []string{"https://mirror.example.com/docker/9/x86_64/stable"}) {
		t.Fatalf("got %+v", s)
	}
	apply(t, root, s)
	wanted := "[docker-ce-stable]\ngpgcheck=1\ngpgkey=file://" + s.KeyFile + "\nname=Docker CE\nbaseurl=https://mirror.example.com/docker/9/x86_64/stable\n\n[docker-ce-source]\nenabled=0\n"
	if diff := cmp.Diff(wanted, read(t, repo)); diff != "" {
		t.Error(diff)
	}
	rpm(t, root, "--import", filepath.Join(root, s.KeyFile))
	rpm(t, root, "-q", s.Import) // by the name that the plan gives it
	proof, err := Installed(t.Context(), approvedVendor(root))
	want(t, "", proof, err)

	again, err := planFor(t, root, vendor, "https://mirror.example.com/docker/9/x86_64/stable")
	must(t, err)
	if len(again.Files) > 0 || again.Import != "" {
		t.Errorf("wanted again: %+v", again)
	}
	rpm(t, root, "-e", "--allmatches", "--force-debian", s.Import)
	if err := exec.CommandContext(t.Context(), "rpm", "--root", root, "--dbpath", "/var/lib/rpm", "-q", s.Import).Run(); err == nil {
		t.Error("the key is still there")
	}
}

// TestSetupRPMOther: the key of another, which has not signed what is there.
func TestSetupRPMOther(t *testing.T) {
	root := newRPMHost(t, vendorRPM(t), vendor)
	s, err := planFor(t, root, stranger, "https://mirror.example.com/docker")
	must(t, err)
	if s.Fetched || s.Import == "" || len(s.Files) != 2 {
		t.Errorf("got %+v", s)
	}
	if _, err := planFor(t, root, vendor, "https://mirror.example.com/docker 9 stable"); err == nil || !strings.Contains(err.Error(), "give the URL alone") {
		t.Errorf("with a suite: %v", err)
	}
	if _, err := planFor(t, root, vendor, ""); err == nil || !strings.Contains(err.Error(), "--vendor-repository") {
		t.Errorf("of an approved key, nobody knows the repository: %v", err)
	}
}

// TestVendorRepo: the addresses are those that the vendors document.
func TestVendorRepo(t *testing.T) {
	t.Parallel()
	ce, ee := VendorKey{Key: Key{Product: "Docker CE"}}, VendorKey{Key: Key{Product: "Docker EE"}}
	for _, c := range []struct {
		key         VendorKey
		id, like, v string
		version     string
		want        string
	}{
		{ce, "rhel", "fedora", "9.4", "3:26.1.4-1.el9", "https://download.docker.com/linux/rhel/$releasever/$basearch/stable"},
		{ce, "rocky", "rhel centos fedora", "9.4", "", "https://download.docker.com/linux/rhel/$releasever/$basearch/stable"},
		{ce, "fedora", "", "40", "", "https://download.docker.com/linux/fedora/$releasever/$basearch/stable"},
		{ce, "sles", "suse", "15.5", "", ""},
		{ee, "rhel", "fedora", "8.10", "3:23.0.9-3.el8", "https://repos.mirantis.com/rhel/8/$basearch/stable-23.0"},
		{ee, "ol", "fedora", "7.9", "3:20.10.13-3.el7", "https://repos.mirantis.com/oraclelinux/7/$basearch/stable-20.10"},
		{ee, "sles", "suse", "15.5", "3:23.0.9-3", "https://repos.mirantis.com/sles/15/$basearch/stable-23.0"},
		{ee, "fedora", "", "40", "3:23.0.9-3", ""},
		{ee, "rhel", "fedora", "8.10", "", ""},
		{VendorKey{}, "rhel", "fedora", "8.10", "3:23.0.9-3", ""},
	} {
		d := distribution{"ID": c.id, "ID_LIKE": c.like, "VERSION_ID": c.v}
		if got := vendorRepo(c.key, d, c.version); got != c.want {
			t.Errorf("%s %s: got %q, want %q", c.key.Product, c.id, got, c.want)
		}
	}
}

// TestRepoSections finds what serves a repository, and edits it alone.
func TestRepoSections(t *testing.T) {
	t.Parallel()
	ours := func(url string) bool { return url == "https://r.example.com/x" }
	for _, c := range []struct{ text, want string }{
		{"[a]\nbaseurl=https://r.example.com/x\n", "[a]\ngpgcheck=1\ngpgkey=file:///k\nbaseurl=https://r.example.com/x\n"},
		{"# x\n[main]\n\n[a]\r\nBaseURL = https://o.example.com,\n  https://r.example.com/x\ngpgkey = https://1\n  https://2\npkg_gpgcheck=0\n# end\n", "# x\n[main]\n\n[a]\ngpgcheck=1\ngpgkey=file:///k\nBaseURL = https://o.example.com,\n  https://r.example.com/x\n# end\n"},
		{"[a]\nenabled=0\nbaseurl=https://r.example.com/x\n", "[a]\nenabled=0\nbaseurl=https://r.example.com/x\n"},
		{"[a]\n#baseurl=https://r.example.com/x\nmirrorlist=https://r.example.com/x\n", "[a]\n#baseurl=https://r.example.com/x\nmirrorlist=https://r.example.com/x\n"},
		{"baseurl=https://r.example.com/x\n", "baseurl=https://r.example.com/x\n"},
		{"", ""},
	} {
		if got := editRepo(c.text, ours); got != c.want {
			t.Errorf("%q:\n got %q\nwant %q", c.text, got, c.want)
		}
	}
}

func editRepo(text string, ours func(string) bool) string {
	sections := splitRepo(text)
	for i, s := range sections {
		if s.serves(ours) != "" {
			sections[i] = s.checked("/k")
		}
	}
	return joinRepo(sections)
}

// FuzzRepoSections: an edit loses nothing of what others say, and made twice
// it is the same.
func FuzzRepoSections(f *testing.F) {
	f.Add([]byte("# x\n[a]\nbaseurl=https://r\n  https://s\ngpgkey=https://1\n  https://2\n[b]\nenabled=0\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if joinRepo(splitRepo(string(data))) != string(data) {
			t.Errorf("%q is put together otherwise", data)
		}
		all := func(string) bool { return true }
		once := editRepo(string(data), all)
		if again := editRepo(once, all); again != once {
			t.Errorf("%q became %q and then %q", data, once, again)
		}
		for _, s := range splitRepo(once) {
			if s.serves(all) != "" && (!slices.Equal(s.values("gpgkey"), []string{"file:///k"}) || !slices.Equal(s.values("gpgcheck"), []string{"1"})) {
				t.Errorf("%q became %q", data, once)
			}
		}
	})
}
