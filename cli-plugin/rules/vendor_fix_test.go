package rules_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/packages"
	"github.com/docker-stig/docker-stig/cli-plugin/rules"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// dockerKey is the key that Docker publishes for its packages for Debian.
const dockerKey = "../host/packages/testdata/docker-ce-deb.asc"

// unvouched is a host on disk whose engine's package nobody vouches for.
func unvouched(t *testing.T, files map[string]string) *host.Host {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		full := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	h := newHost()
	h.Engine = engineWith("example.com/app:1", signedDigest)
	h.Files, h.Now = host.NewDisk(root), time.Now
	h.Package = func(context.Context) (packages.Proof, error) {
		return packages.Proof{}, &packages.Refused{Reason: "docker-ce comes from nowhere", Advice: "mend it"}
	}
	return h
}

func vendorFix(t *testing.T, h *host.Host) (change.Wanted, error) {
	t.Helper()
	rule, _ := rules.For(stig.VendorSigned)
	wanted, err := rule.Fix(t.Context(), h)
	for _, c := range wanted.Changes {
		if err := c.Check(); err != nil {
			t.Error(err)
		}
	}
	return wanted, err
}

// holds wants words in one of several texts.
func holds(t *testing.T, texts []string, words string) {
	t.Helper()
	if !strings.Contains(strings.Join(texts, "\n"), words) {
		t.Errorf("%q is not in %q", words, texts)
	}
}

const installedDocker = "Package: docker-ce\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5:26.1.4-1~debian.12~bookworm\n"

// debian has docker-ce installed, and no repository for it.
var debian = map[string]string{
	"var/lib/dpkg/status":              installedDocker,
	"var/lib/dpkg/info/docker-ce.list": "/usr/bin/dockerd\n",
	"etc/os-release":                   "ID=debian\nVERSION_CODENAME=bookworm\n",
	"etc/apt/keyrings/README":          "",
}

func TestFixVendorKey(t *testing.T) {
	t.Parallel()
	h := unvouched(t, debian)
	wanted, err := vendorFix(t, h)
	if err != nil || len(wanted.Changes) > 0 {
		t.Errorf("without a key: %+v, %v", wanted, err)
	}
	holds(t, wanted.Person, "docker-ce comes from nowhere: mend it")
	holds(t, wanted.Person, "--vendor-key FILE")

	h.Site.VendorKey = dockerKey
	wanted, err = vendorFix(t, h)
	if err != nil || len(wanted.Changes) != 2 {
		t.Fatalf("got %+v, %v", wanted, err)
	}
	const ring = "/etc/apt/keyrings/docker-engine-8d81803c0ebfcd88.asc"
	key, entry := wanted.Changes[0].File, wanted.Changes[1].File
	if key.Path != ring || entry.Path != "/etc/apt/sources.list.d/docker-engine.sources" || wanted.Changes[0].Disruption != change.None {
		t.Errorf("got %+v", wanted.Changes)
	}
	holds(t, []string{entry.Content}, "URIs: https://download.docker.com/linux/debian/\nSuites: bookworm\nComponents: stable\nArchitectures: amd64\nSigned-By: "+ring+"\n")
	holds(t, wanted.Notes, "has the fingerprint 9DC858229FC7DD38854AE2D88D81803C0EBFCD88, which is that of Docker Release (CE deb)")
	holds(t, wanted.Person, "apt-get update, which has to take https://download.docker.com/linux/debian/ bookworm without a warning: apt holds no lists")
	holds(t, wanted.Person, "apt-get install --reinstall docker-ce=5:26.1.4-1~debian.12~bookworm")

	closed := filepath.Join(h.Files.(*host.Disk).Root, "etc/apt/keyrings")
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	wanted, err = vendorFix(t, h)
	if err != nil || len(wanted.Changes) != 3 || wanted.Changes[2].Owner.Mode != "0755" || wanted.Changes[2].Owner.Path != "/etc/apt/keyrings" {
		t.Errorf("a folder that apt cannot look into: %+v, %v", wanted.Changes, err)
	}
}

// TestFixVendorKeyRefused: what is wrong with the key or the repository is said
// to the person who brought it, and nothing is changed.
func TestFixVendorKeyRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		spoil func(h *host.Host)
		says  string
	}{
		"no key":         {func(h *host.Host) { h.Site.VendorKey = "testdata/nothing.txtar" }, "is no OpenPGP key"},
		"not there":      {func(h *host.Host) { h.Site.VendorKey = "nowhere.asc" }, "no such file"},
		"no repository":  {func(h *host.Host) { h.Site.VendorRepository = "mirror" }, "is no repository"},
		"short approval": {func(h *host.Host) { h.Site.ApprovedKeys = []string{"0EBFCD88"} }, "short key ID"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := unvouched(t, debian)
			h.Site.VendorKey = dockerKey
			test.spoil(h)
			wanted, err := vendorFix(t, h)
			if err != nil || len(wanted.Changes) > 0 {
				t.Errorf("got %+v, %v", wanted, err)
			}
			holds(t, wanted.Person, test.says)
		})
	}
	h := unvouched(t, debian)
	h.Site.VendorKey, h.Files = dockerKey, nil
	if wanted, err := vendorFix(t, h); err == nil || !strings.Contains(err.Error(), "on the engine's own host") {
		t.Errorf("of a host that cannot be seen: %+v, %v", wanted, err)
	}
}

// TestFixVendorKeyDistribution: a distribution's own build is exchanged, and
// its repositories stay as they are.
func TestFixVendorKeyDistribution(t *testing.T) {
	t.Parallel()
	h := unvouched(t, map[string]string{
		"var/lib/dpkg/status":              strings.ReplaceAll(installedDocker, "docker-ce", "docker.io"),
		"var/lib/dpkg/info/docker.io.list": "/usr/sbin/dockerd\n",
		"etc/os-release":                   "ID=debian\nVERSION_CODENAME=bookworm\n",
		"etc/apt/sources.list":             "deb http://deb.example.com/debian bookworm main\n",
		"var/lib/apt/lists/deb.example.com_debian_dists_bookworm_main_binary-amd64_Packages": strings.ReplaceAll(installedDocker, "docker-ce", "docker.io"),
	})
	h.Site.VendorKey = dockerKey
	wanted, err := vendorFix(t, h)
	if err != nil || len(wanted.Changes) != 2 || wanted.Changes[1].File.Path != "/etc/apt/sources.list.d/docker-engine.sources" {
		t.Errorf("got %+v, %v", wanted.Changes, err)
	}
	holds(t, wanted.Person, "apt-get install docker-ce docker-ce-cli containerd.io")
}

// TestFixVendorImages: an image that its vendor did not sign is exchanged by a
// person, who hears how.
func TestFixVendorImages(t *testing.T) {
	t.Parallel()
	h := unvouched(t, nil)
	h.Package = func(context.Context) (packages.Proof, error) {
		return packages.Proof{Package: "docker-ce", Installed: true}, nil
	}
	h.Engine = engineWith("mirantis/ucp:3.3.2", otherDigest)
	h.Trust = vouching{"docker.io/mirantis/ucp:3.3.2": signedDigest}
	wanted, err := vendorFix(t, h)
	if err != nil || len(wanted.Changes) > 0 || len(wanted.Person) != 1 {
		t.Fatalf("got %+v, %v", wanted, err)
	}
	holds(t, wanted.Person, "docker stig trust inspect mirantis/ucp:3.3.2")
	holds(t, wanted.Person, "docker pull mirantis/ucp@DIGEST")
	holds(t, wanted.Person, "docker image inspect --format '{{.RepoDigests}}' mirantis/ucp:3.3.2")
	h.Trust = vouching{"docker.io/mirantis/ucp:3.3.2": otherDigest}
	if wanted, err = vendorFix(t, h); err != nil || len(wanted.Changes)+len(wanted.Person) > 0 {
		t.Errorf("a signed one: %+v, %v", wanted, err)
	}
}
