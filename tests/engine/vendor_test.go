package engine

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/docker-stig/docker-stig/tests/testbed"
)

// TestVendorImages signs docker.io/docker/ucp on the testbed's Notary server,
// as its vendor did on the public one, and reaches each status of the image
// half of V-235788 with images that the engine really holds.
func TestVendorImages(t *testing.T) {
	b := newBed(t, testbed.Docker)
	const gun = "docker.io/docker/ucp"
	signed := b.must(t)(b.UnsignedImage(t.Context(), "mirror/ucp:3.2.1")) // the vendor's content, in a mirror
	other := b.must(t)(b.UnsignedImage(t.Context(), "mirror/other:1"))
	root := b.vendor(t, gun, "3.2.1", signed.Digest)
	policy := func(key string) { b.pinVendor(t, gun, key) }
	policy(root)
	site := filepath.Join(t.TempDir(), "site.yaml")
	if err := os.WriteFile(site, []byte("approved-keys: ["+b.distributionKey(t)+"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.env = []string{"STIG_SITE=" + site}
	tag := func(image, name string) {
		t.Helper()
		if out := b.docker(t, "tag", image, name); out.code != 0 {
			t.Fatal(out.stderr)
		}
	}
	wants := func(code int, words ...string) {
		t.Helper()
		out := b.stig(t, code, "check", "V-235788")
		for _, want := range words {
			if !strings.Contains(out.stdout, want) {
				t.Errorf("want %q in\n%s", want, out.stdout)
			}
		}
	}
	wants(0, "mirror/ucp:3.2.1 (engine): signed tag with digest "+signed.Digest)
	tag(signed.ID, "docker/ucp:3.2.1")
	wants(0, "docker.io/docker/ucp:3.2.1 (engine): signed tag with digest "+signed.Digest)
	tag(other.ID, "docker/ucp:3.2.1")
	wants(2, "docker.io/docker/ucp:3.2.1 (engine): ", "digest-mismatch")
	tag(other.ID, "docker/ucp:9.9.9")
	wants(2, "nobody signed tag 9.9.9")
	for _, name := range []string{"docker/ucp:9.9.9", "docker/ucp:3.2.1"} {
		b.docker(t, "image", "rm", name)
	}
	policy(strings.Repeat("0", 64))
	wants(2, "unknown-signer")
	policy(root)
	b.env = append(b.env, "STIG_STATE="+t.TempDir())
	if err := b.StopNotary(t.Context()); err != nil {
		t.Fatal(err)
	}
	wants(3, "Not_Reviewed", "unreachable")

	archive := filepath.Join(t.TempDir(), "images.tar")
	if out := b.docker(t, "save", "--output", archive, b.image("mirror/ucp:3.2.1")); out.code != 0 {
		t.Fatal(out.stderr)
	}
	out := b.stig(t, 3, "check", "V-235788", "--images", archive)
	if !strings.Contains(out.stdout, "(images.tar)") {
		t.Errorf("the archive was not looked at:\n%s", out.stdout)
	}
}

// TestVendorArchive judges an archive that a current engine saved: an OCI
// layout, which keeps the manifest that the vendor signed.
func TestVendorArchive(t *testing.T) {
	b := newBed(t, testbed.Moby)
	const gun = "docker.io/docker/ucp"
	signed := b.must(t)(b.UnsignedImage(t.Context(), "mirror/ucp:3.2.1"))
	other := b.must(t)(b.UnsignedImage(t.Context(), "mirror/other:1"))
	b.pinVendor(t, gun, b.vendor(t, gun, "3.2.1", signed.Digest))
	for image, want := range map[string]string{
		signed.ID: "signed tag with digest " + signed.Digest,
		other.ID:  "docker/ucp:3.2.1 is not vouched for (digest-mismatch)",
	} {
		archive := filepath.Join(t.TempDir(), "images.tar")
		for _, args := range [][]string{{"tag", image, "docker/ucp:3.2.1"}, {"save", "--output", archive, "docker/ucp:3.2.1"}, {"image", "rm", "docker/ucp:3.2.1"}} {
			if out := b.docker(t, args...); out.code != 0 {
				t.Fatalf("docker %s: %s", strings.Join(args, " "), out.stderr)
			}
		}
		// The engine of the testbed was built by hand, so the package half is open.
		if out := b.stig(t, 2, "check", "V-235788", "--images", archive, "--format", "json"); !strings.Contains(out.stdout, want) {
			t.Errorf("want %q in\n%s", want, out.stdout)
		}
	}
}

// pinVendor writes a policy that trusts one repository on the testbed's
// Notary server, whatever registry it is of.
func (b *bed) pinVendor(t *testing.T, gun, key string) {
	t.Helper()
	host, _, _ := strings.Cut(gun, "/")
	if err := b.WritePolicy(map[string]any{
		"content-trust": map[string]any{"mode": "enforced", "trust-pinning": map[string]any{"root-keys": map[string][]string{gun: {key}}}},
		"notary":        map[string]any{"servers": map[string][]string{host: {b.NotaryURL()}}, "ca": map[string]string{host: b.CA()}},
	}); err != nil {
		t.Fatal(err)
	}
}

// vendor signs a digest into a repository of another registry, which docker
// trust would push to, and gives the canonical ID of its root key.
func (b *bed) vendor(t *testing.T, gun, tag, digest string) string {
	t.Helper()
	dir := t.TempDir()
	notary := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "notary", append([]string{"--server", b.NotaryURL(), "--tlscacert", b.CA(), "--trustDir", dir}, args...)...)
		cmd.Env = append(os.Environ(), "NOTARY_ROOT_PASSPHRASE=root", "NOTARY_TARGETS_PASSPHRASE=targets", "NOTARY_SNAPSHOT_PASSPHRASE=snapshot")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("notary %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	notary("init", gun, "--publish")
	notary("addhash", gun, tag, strconv.Itoa(1000), "--sha256", strings.TrimPrefix(digest, "sha256:"), "--publish")
	for line := range strings.Lines(notary("key", "list")) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "root" {
			return fields[1]
		}
	}
	t.Fatal("notary lists no root key")
	return ""
}

// distributionKey is the key that signed this machine's own engine package.
func (b *bed) distributionKey(t *testing.T) string {
	t.Helper()
	_, key, found := strings.Cut(b.docker(t, "stig", "check", "V-235788").stdout, "approve fingerprint ")
	key, _, _ = strings.Cut(key, " ")
	if !found || len(key) != 40 {
		t.Fatal("docker stig check names no key to approve")
	}
	return key
}
