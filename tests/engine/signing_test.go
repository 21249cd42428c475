package engine

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust/trusttest"
	"github.com/docker-stig/docker-stig/tests/testbed"
	"github.com/google/go-cmp/cmp"
)

// TestSigningOnDocker and TestSigningOnMoby sign what the engine does not
// hold, and ask our verifier and `docker trust inspect` what they see.
func TestSigningOnDocker(t *testing.T) { testSigning(t, testbed.Docker) }

func TestSigningOnMoby(t *testing.T) { testSigning(t, testbed.Moby) }

// rootKeyLine is how docker stig tells the root key of a repository it began.
var rootKeyLine = regexp.MustCompile(`Its root key, for those who are to accept it: ([0-9a-f]{64})\n`)

// A signingBed is a bed in which docker stig signs.
type signingBed struct {
	*bed
	keys string // folder of public keys
}

func newSigningBed(t *testing.T, engine testbed.Engine) *signingBed {
	t.Helper()
	b := &signingBed{bed: newBed(t, engine), keys: t.TempDir()}
	b.stig(t, 0, "trust", "key", "generate", "qa", "--dir", b.keys)
	return b
}

// pushed makes images that only the registry holds.
func (b *signingBed) pushed(t *testing.T, names ...string) []testbed.Image {
	t.Helper()
	var images []testbed.Image
	for _, name := range names {
		image := b.must(t)(b.UnsignedImage(t.Context(), name))
		b.docker(t, "image", "rm", "--force", image.Ref)
		images = append(images, image)
	}
	return images
}

// pin makes the policy trust the root key that out names.
func (b *signingBed) pin(t *testing.T, out output, repositories ...string) {
	t.Helper()
	found := rootKeyLine.FindStringSubmatch(out.stdout)
	if found == nil {
		t.Fatalf("no root key in\n%s%s", out.stdout, out.stderr)
	}
	keys := map[string][]string{}
	for _, name := range repositories {
		keys[b.image(name)] = []string{found[1]}
	}
	b.withPolicy(t, map[string]any{"content-trust": map[string]any{"mode": "enforced", "trust-pinning": map[string]any{"root-keys": keys}}})
}

// inspected is what docker trust inspect says of a repository: digests and
// signers by tag.
func (b *signingBed) inspected(t *testing.T, name string) map[string]string {
	t.Helper()
	var answer []struct {
		SignedTags []struct {
			SignedTag, Digest string
			Signers           []string
		}
	}
	fromJSON(t, b.docker(t, "trust", "inspect", b.image(name)).stdout, &answer)
	tags := map[string]string{}
	for _, tag := range answer[0].SignedTags {
		slices.Sort(tag.Signers)
		tags[tag.SignedTag] = "sha256:" + strings.TrimPrefix(tag.Digest, "sha256:") + " " + strings.Join(tag.Signers, ",")
	}
	return tags
}

func testSigning(t *testing.T, engine testbed.Engine) {
	t.Helper()
	b := newSigningBed(t, engine)
	images := b.pushed(t, "prod/app:1", "prod/app:2", "prod/web:1")
	var refs []string
	for _, image := range images {
		refs = append(refs, image.Ref)
	}

	out := b.stig(t, 1, append([]string{"trust", "sign", "--signer", "qa"}, refs...)...)
	if !strings.Contains(out.stderr, "nobody is there to ask") || !strings.Contains(out.stdout, images[0].Digest) {
		t.Fatalf("want the list and a question\n%s%s", out.stdout, out.stderr)
	}
	b.stig(t, 1, "trust", "sign", "--yes", refs[0]) // nobody said who begins it
	out = b.stig(t, 0, append([]string{"trust", "sign", "--yes", "--signer", "qa"}, refs...)...)
	if !strings.Contains(out.stderr, "[2/2] ") || strings.Count(out.stdout, "\nsigned: ") != 3 {
		t.Errorf("want three tags in two repositories\n%s%s", out.stdout, out.stderr)
	}
	b.pin(t, out, "prod/app", "prod/web")
	for _, image := range images {
		if out := b.stig(t, 0, "trust", "verify", image.Ref); !strings.Contains(out.stdout, image.Digest) {
			t.Errorf("another digest than %s\n%s", image.Digest, out.stdout)
		}
	}
	want := map[string]string{"1": images[0].Digest + " qa", "2": images[1].Digest + " qa"}
	if diff := cmp.Diff(want, b.inspected(t, "prod/app")); diff != "" {
		t.Errorf("docker trust inspect (-want +got):\n%s", diff)
	}

	t.Run("once more changes nothing", func(t *testing.T) {
		out := b.stig(t, 0, "trust", "sign", "--yes", "--signer", "qa", refs[0])
		if !strings.Contains(out.stdout, "signed before: ") {
			t.Error(out.stdout)
		}
	})
	t.Run("what docker trust has begun", func(t *testing.T) {
		b.must(t)(b.Sign(t.Context(), "prod/theirs:1", "security"))
		image := b.pushed(t, "prod/theirs:2")[0]
		b.stig(t, 0, "trust", "sign", "--yes", image.Ref)
		if got := b.inspected(t, "prod/theirs")["2"]; got != image.Digest+" security" {
			t.Errorf("docker trust inspect: %s", got)
		}
	})
	t.Run("docker trust goes on with ours", func(t *testing.T) {
		b.must(t)(b.Sign(t.Context(), "prod/web:theirs", "qa"))
		if got := b.inspected(t, "prod/web"); len(got) != 2 {
			t.Errorf("docker trust inspect: %v", got)
		}
	})
	t.Run("by digest", func(t *testing.T) {
		image := b.pushed(t, "prod/app:3")[0]
		b.pushed(t, "prod/app:3") // moves the tag
		b.stig(t, 0, "trust", "sign", "--yes", image.Ref+"@"+image.Digest)
		if got := b.inspected(t, "prod/app")["3"]; got != image.Digest+" qa" {
			t.Errorf("docker trust inspect: %s", got)
		}
	})
	t.Run("revoke", func(t *testing.T) {
		b.stig(t, 0, "trust", "revoke", "--yes", refs[1])
		if out := b.stig(t, 2, "trust", "verify", refs[1]); !strings.Contains(out.stdout, "unsigned") {
			t.Error(out.stdout)
		}
		if got := b.inspected(t, "prod/app"); got["2"] != "" || got["1"] == "" {
			t.Errorf("docker trust inspect: %v", got)
		}
		if out := b.stig(t, 1, "trust", "revoke", "--yes", refs[1]); !strings.Contains(out.stderr, "nothing was signed") {
			t.Error(out.stderr)
		}
		b.stig(t, 0, "trust", "revoke", "--yes", b.image("prod/web"))
		if got := b.inspected(t, "prod/web"); len(got) != 0 {
			t.Errorf("docker trust inspect: %v", got)
		}
	})
}

// TestSigners adds signers, takes them away, and rotates keys.
func TestSigners(t *testing.T) {
	b := newSigningBed(t, testbed.Docker)
	image := b.pushed(t, "prod/app:1")[0]
	b.pin(t, b.stig(t, 0, "trust", "sign", "--yes", "--signer", "qa", image.Ref), "prod/app")

	t.Run("UCP client bundle", func(t *testing.T) {
		for name, write := range map[string]func(*testing.T, string){"alice": rsaBundle, "bob": ecdsaBundle} {
			dir := t.TempDir()
			write(t, dir)
			b.stig(t, 0, "trust", "key", "load", "--name", name, filepath.Join(dir, "key.pem"))
			b.stig(t, 0, "trust", "signer", "add", "--key", filepath.Join(dir, "cert.pem"), name, b.image("prod/app"))
		}
		b.stig(t, 0, "trust", "sign", "--yes", image.Ref)
		if got := b.inspected(t, "prod/app")["1"]; got != image.Digest+" alice,bob,qa" {
			t.Errorf("docker trust inspect: %s", got)
		}
		b.withPolicy(t, map[string]any{"signers": map[string][]string{b.image("prod/app"): {"alice", "bob"}}})
		b.stig(t, 0, "trust", "verify", image.Ref)
		b.withPolicy(t, map[string]any{"signers": map[string][]string{}})
	})
	t.Run("key that others may read", func(t *testing.T) {
		dir := t.TempDir()
		ecdsaBundle(t, dir)
		if err := os.Chmod(filepath.Join(dir, "key.pem"), 0o644); err != nil {
			t.Fatal(err)
		}
		if out := b.stig(t, 1, "trust", "key", "load", "--name", "carol", filepath.Join(dir, "key.pem")); !strings.Contains(out.stderr, "chmod 600") {
			t.Error(out.stderr)
		}
	})
	t.Run("remove", func(t *testing.T) {
		lone := b.pushed(t, "prod/app:lone")[0]
		b.stig(t, 0, "trust", "sign", "--yes", "--signer", "qa", lone.Ref)
		b.stig(t, 0, "trust", "verify", lone.Ref)
		out := b.stig(t, 1, "trust", "signer", "remove", "qa", b.image("prod/app"))
		if !strings.Contains(out.stdout, lone.Digest) || strings.Contains(out.stdout, image.Digest) || !strings.Contains(out.stderr, "nobody is there to ask") {
			t.Errorf("want a list of one tag, and a question\n%s%s", out.stdout, out.stderr)
		}
		b.stig(t, 0, "trust", "verify", lone.Ref)
		b.stig(t, 0, "trust", "signer", "remove", "--yes", "qa", b.image("prod/app"))
		b.stig(t, 0, "trust", "verify", image.Ref)
		b.stig(t, 2, "trust", "verify", lone.Ref)
		if got := b.inspected(t, "prod/app"); got["1"] != image.Digest+" alice,bob" || got["lone"] != "" {
			t.Errorf("docker trust inspect: %s", got)
		}
		b.stig(t, 1, "trust", "sign", "--yes", "--signer", "qa", image.Ref)
	})
	t.Run("remove and keep", func(t *testing.T) {
		lone := b.pushed(t, "prod/app:lone")[0]
		b.stig(t, 0, "trust", "sign", "--yes", "--signer", "bob", lone.Ref)
		out := b.stig(t, 0, "trust", "signer", "remove", "--yes", "--keep", "bob", b.image("prod/app"))
		if !strings.Contains(out.stdout, "they are signed by alice:") || !strings.Contains(out.stdout, lone.Digest) {
			t.Errorf("want a list of one tag\n%s", out.stdout)
		}
		b.stig(t, 0, "trust", "verify", image.Ref, lone.Ref)
		if got := b.inspected(t, "prod/app")["lone"]; got != lone.Digest+" alice" {
			t.Errorf("docker trust inspect: %s", got)
		}
		if out := b.stig(t, 1, "trust", "signer", "remove", "alice", b.image("prod/app")); !strings.Contains(out.stderr, "last signer") {
			t.Error(out.stderr)
		}
	})
	t.Run("rotate", func(t *testing.T) {
		for _, role := range []string{"snapshot", "timestamp", "targets", "root"} {
			out := b.stig(t, 0, "trust", "key", "rotate", "--yes", role, b.image("prod/app"))
			if !strings.Contains(out.stdout, "has the "+role+" key ") {
				t.Error(out.stdout)
			}
			b.stig(t, 0, "trust", "verify", image.Ref)
		}
		next := b.pushed(t, "prod/app:rotated")[0]
		b.stig(t, 0, "trust", "sign", "--yes", next.Ref)
		if got := b.inspected(t, "prod/app")["rotated"]; got != next.Digest+" alice" {
			t.Errorf("docker trust inspect: %s", got)
		}
	})
	t.Run("backup", func(t *testing.T) { b.backUp(t, image.Ref) })
}

// backUp writes the keys to a file, loses them, and gets them back.
func (b *signingBed) backUp(t *testing.T, signed string) {
	t.Helper()
	dir := t.TempDir()
	closed, opened, passphrase := filepath.Join(dir, "closed"), filepath.Join(dir, "open"), filepath.Join(dir, "passphrase")
	for folder, mode := range map[string]os.FileMode{closed: 0o700, opened: 0o755} {
		if err := errors.Join(os.Mkdir(folder, mode), os.Chmod(folder, mode)); err != nil {
			t.Fatal(err)
		}
	}
	writeSecret(t, passphrase, []byte("correct horse battery\n"))
	file, private := filepath.Join(closed, "keys.pem"), filepath.Join(b.variable("DOCKER_CONFIG"), "trust", "private")
	if out := b.stig(t, 1, "trust", "key", "backup", "--passphrase-file", passphrase, filepath.Join(opened, "keys.pem")); !strings.Contains(out.stderr, "everybody can enter") {
		t.Error(out.stderr)
	}
	b.stig(t, 0, "trust", "key", "backup", "--passphrase-file", passphrase, file)
	b.stig(t, 1, "trust", "key", "backup", "--passphrase-file", passphrase, file)
	raw, err := os.ReadFile(file)
	if err != nil || bytes.Contains(raw, []byte("PRIVATE KEY")) {
		t.Fatalf("the backup shows its keys, or %v", err)
	}
	before := files(t, private)
	if err := os.RemoveAll(private); err != nil {
		t.Fatal(err)
	}
	b.stig(t, 1, "trust", "revoke", "--yes", signed)
	wrong := filepath.Join(dir, "wrong")
	writeSecret(t, wrong, []byte("correct horse stable\n"))
	if out := b.stig(t, 1, "trust", "key", "restore", "--passphrase-file", wrong, file); !strings.Contains(out.stderr, "passphrase is wrong") {
		t.Error(out.stderr)
	}
	b.stig(t, 0, "trust", "key", "restore", "--passphrase-file", passphrase, file)
	if diff := cmp.Diff(before, files(t, private)); diff != "" {
		t.Errorf("restored otherwise (-want +got):\n%s", diff)
	}
	for name := range before {
		writeSecret(t, filepath.Join(private, name), []byte("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"))
		break
	}
	if out := b.stig(t, 1, "trust", "key", "restore", "--passphrase-file", passphrase, file); !strings.Contains(out.stderr, "nothing was restored") {
		t.Error(out.stderr)
	}
}

func writeSecret(t *testing.T, path string, raw []byte) {
	t.Helper()
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// files are those of a folder, by name.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	content := map[string]string{}
	for _, entry := range entries {
		raw, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		content[entry.Name()] = string(raw)
	}
	return content
}

// rsaBundle writes cert.pem and key.pem as UCP 2 has them in client bundles.
func rsaBundle(t *testing.T, dir string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	clientBundle(t, dir, key.Public(), key, &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
}

// ecdsaBundle writes them as UCP 3 has them.
func ecdsaBundle(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	clientBundle(t, dir, key.Public(), key, &pem.Block{Type: "EC PRIVATE KEY", Bytes: raw})
}

func clientBundle(t *testing.T, dir string, public, private any, key *pem.Block) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a user"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	writeSecret(t, filepath.Join(dir, "cert.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}))
	writeSecret(t, filepath.Join(dir, "key.pem"), pem.EncodeToMemory(key))
}

// TestSigningFails has signing go wrong in each way that it can, and wants
// that nothing was published and that the reason is told.
func TestSigningFails(t *testing.T) {
	b := newSigningBed(t, testbed.Docker)
	image := b.pushed(t, "prod/app:1")[0]
	b.pin(t, b.stig(t, 0, "trust", "sign", "--yes", "--signer", "qa", image.Ref), "prod/app")
	next := b.pushed(t, "prod/app:2")[0]
	fresh := b.pushed(t, "prod/fresh:1")[0]
	secret := "Tr0ub4dor-and-3"
	for name, c := range map[string]struct {
		env  []string
		args []string
		want string
	}{
		"wrong passphrase":         {[]string{"DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE=" + secret}, []string{next.Ref}, "the one in DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE is wrong"},
		"no passphrase, no person": {[]string{"DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE="}, []string{next.Ref}, "nobody is there to ask: set DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE"},
		"wrong root passphrase":    {[]string{"DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE=" + secret}, []string{"--signer", "qa", fresh.Ref}, "the one in DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE is wrong"},
		"unknown signer":           {nil, []string{"--signer", "mallory", next.Ref}, "mallory is no signer of"},
		"signer without a key":     {nil, []string{"--signer", "mallory", fresh.Ref}, "there is no key of the signer mallory"},
		"no such tag":              {nil, []string{b.image("prod/app:none")}, "the registry has no such tag"},
		"absent server":            {nil, []string{"--server", "https://localhost:1", next.Ref}, "nobody listens there"},
		"plain server":             {nil, []string{"--server", "http://localhost:1", next.Ref}, "not of the form https://"},
		"server without Notary":    {nil, []string{"--server", otherServer(t), next.Ref}, "certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			b.env = c.env
			defer func() { b.env = nil }()
			out := b.stig(t, 1, append([]string{"trust", "sign", "--yes"}, c.args...)...)
			if !strings.Contains(out.stdout+out.stderr, c.want) {
				t.Errorf("want %q in\n%s%s", c.want, out.stdout, out.stderr)
			}
			if strings.Contains(out.stdout+out.stderr, secret) {
				t.Error("the passphrase is told")
			}
		})
	}
	if got := b.inspected(t, "prod/app"); len(got) != 1 {
		t.Errorf("docker trust inspect: %v", got)
	}
	t.Run("one of two repositories", func(t *testing.T) {
		out := b.stig(t, 1, "trust", "sign", "--yes", next.Ref, fresh.Ref) // fresh lacks --signer
		if !strings.Contains(out.stdout, "\nsigned: "+next.Ref) || !strings.Contains(out.stdout, "\nnot signed: "+fresh.Ref) {
			t.Error(out.stdout)
		}
		b.stig(t, 0, "trust", "verify", next.Ref)
	})
	t.Run("server lost its data", func(t *testing.T) {
		other := b.image("prod/app:1")
		tokens := testbed.NewTokens(t, b.Testbed, "alice", "wonderland", "identity")
		empty, err := b.StartTokenNotary(t.Context(), tokens)
		if err != nil {
			t.Fatal(err)
		}
		b.trustServer(t, strings.TrimPrefix(empty.URL, "https://"), strings.TrimPrefix(tokens.URL, "https://"))
		if out := b.stig(t, 1, "trust", "sign", "--yes", "--server", empty.URL, other); !strings.Contains(out.stdout, "wants a login for ") {
			t.Errorf("nobody has logged in\n%s", out.stdout)
		}
		b.logIn("alice", "wonderland")
		if out := b.stig(t, 1, "trust", "sign", "--yes", "--server", empty.URL, other); !strings.Contains(out.stdout, "no longer has the signatures") {
			t.Error(out.stdout)
		}
		b.stig(t, 0, "trust", "sign", "--yes", "--signer", "qa", "--server", empty.URL, fresh.Ref)
		asked := tokens.Requests()
		if len(asked) == 0 || !slices.Contains(asked[len(asked)-1].Scopes, "repository:"+b.image("prod/fresh")+":push,pull") {
			t.Errorf("the tokens asked for: %v", asked)
		}
	})
}

// otherServer speaks TLS with a certificate that nobody vouches for.
func otherServer(t *testing.T) string {
	t.Helper()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	return server.URL
}

// trustServer lays the testbed's authority down for more hosts.
func (b *signingBed) trustServer(t *testing.T, hosts ...string) {
	t.Helper()
	raw, err := os.ReadFile(b.CA())
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range hosts {
		host, _, _ = strings.Cut(host, "/")
		dir := filepath.Join(b.variable("DOCKER_CONFIG"), "tls", host)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		writeSecret(t, filepath.Join(dir, "ca.crt"), raw)
	}
}

// logIn gives docker stig the login for the testbed's registry.
func (b *signingBed) logIn(user, password string) {
	login := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	b.env = []string{`DOCKER_AUTH_CONFIG={"auths":{"` + b.Registry() + `":{"auth":"` + login + `"}}}`}
}

// TestSigningAtOnce has many sign one repository at the same time, one of them
// the first. No signature gets lost.
func TestSigningAtOnce(t *testing.T) {
	b := newSigningBed(t, testbed.Docker)
	names := []string{"prod/app:1", "prod/app:2", "prod/app:3", "prod/app:4", "prod/app:5"}
	images := b.pushed(t, names...)
	var group sync.WaitGroup
	for _, image := range images {
		group.Go(func() { b.stig(t, 0, "trust", "sign", "--yes", "--signer", "qa", image.Ref) })
	}
	group.Wait()
	got := b.inspected(t, "prod/app")
	for i, image := range images {
		if tag := strings.TrimPrefix(names[i], "prod/app:"); got[tag] != image.Digest+" qa" {
			t.Errorf("tag %s: %q", tag, got[tag])
		}
	}
	roots := 0
	for _, key := range files(t, filepath.Join(b.variable("DOCKER_CONFIG"), "trust", "private")) {
		roots += strings.Count(key, "role: root\n")
	}
	if roots != 1 {
		t.Errorf("%d root keys were made, want one", roots)
	}
}

// TestSigningInterrupted sends SIGINT while the trust server has the change
// and does not answer: what was published is told, and signing once more goes on.
func TestSigningInterrupted(t *testing.T) {
	b := newSigningBed(t, testbed.Docker)
	images := b.pushed(t, "prod/app:1", "prod/web:1")
	url, reached, _ := b.slowServer(t, b.image("prod/web"))
	cmd := exec.CommandContext(t.Context(), filepath.Join(programs, "docker-stig"), "stig", "trust", "sign", "--yes", "--signer", "qa", "--server", url, images[0].Ref, images[1].Ref)
	cmd.Env = append(os.Environ(), b.Env()...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-reached
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(stdout.String(), "not signed: "+images[1].Ref) || !strings.Contains(stdout.String(), "given up before it answered") {
		t.Errorf("it ended with %v\n%s%s", err, stdout.String(), stderr.String())
	}
	if got := b.docker(t, "trust", "inspect", b.image("prod/web")); got.code == 0 && strings.Contains(got.stdout, images[1].Digest) {
		t.Errorf("it was published:\n%s", got.stdout)
	}
	out := b.stig(t, 0, "trust", "sign", "--yes", "--signer", "qa", images[0].Ref, images[1].Ref)
	b.pin(t, out, "prod/app", "prod/web")
	b.stig(t, 0, "trust", "verify", images[0].Ref, images[1].Ref)
}

// TestSigningReaderGone has whoever reads the output go away, as of | head,
// while the trust server has the change: what was begun is done all the same.
func TestSigningReaderGone(t *testing.T) {
	b := newSigningBed(t, testbed.Docker)
	images := b.pushed(t, "prod/app:1", "prod/web:1")
	url, reached, release := b.slowServer(t, b.image("prod/web"))
	cmd := exec.CommandContext(t.Context(), filepath.Join(programs, "docker-stig"), "stig", "trust", "sign", "--yes", "--signer", "qa", "--server", url, images[0].Ref, images[1].Ref)
	cmd.Env = append(os.Environ(), b.Env()...)
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = writer, writer
	if err := errors.Join(cmd.Start(), writer.Close()); err != nil {
		t.Fatal(err)
	}
	<-reached
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	release()
	exited := new(exec.ExitError)
	if err := cmd.Wait(); err != nil && (!errors.As(err, &exited) || !exited.Exited()) {
		t.Errorf("it ended with %v", err)
	}
	for i, name := range []string{"prod/app", "prod/web"} {
		if got := b.inspected(t, name)["1"]; got != images[i].Digest+" qa" {
			t.Errorf("%s: docker trust inspect: %s", name, got)
		}
	}
}

// slowServer is the way to the trust server on which nothing is published for
// one repository, until it is released. The channel tells that somebody tried.
func (b *signingBed) slowServer(t *testing.T, gun string) (string, <-chan struct{}, func()) {
	t.Helper()
	inner, err := url.Parse(b.NotaryURL())
	if err != nil {
		t.Fatal(err)
	}
	reached, released := make(chan struct{}, 1), make(chan struct{})
	proxy := httputil.NewSingleHostReverseProxy(inner)
	proxy.Transport = b.throughCA(t)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && strings.Contains(r.URL.Path, gun) {
			reached <- struct{}{}
			select {
			case <-r.Context().Done():
				return
			case <-t.Context().Done():
				return
			case <-released:
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	raw, err := os.ReadFile(certificate(t, server))
	if err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(server.URL, "https://")
	b.trustServer(t, host)
	writeSecret(t, filepath.Join(b.variable("DOCKER_CONFIG"), "tls", host, "ca.crt"), raw)
	return server.URL, reached, func() { close(released) }
}

// throughCA trusts the testbed's authority.
func (b *signingBed) throughCA(t *testing.T) http.RoundTripper {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusttest.Pool(t, b.CA()), MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}
