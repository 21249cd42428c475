package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/docker-stig/docker-stig/shared/trust/manifests"
	"github.com/docker-stig/docker-stig/tests/testbed"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

func TestCoveringOnDocker(t *testing.T) { testCovering(t, testbed.Docker) }

func TestCoveringOnMoby(t *testing.T) { testCovering(t, testbed.Moby) }

// testCovering signs a list of two platforms, and has the engine hold one of
// them by its own digest. The registry that can tell what belongs to the list
// wants a login, by basic authentication or for a token.
func testCovering(t *testing.T, engine testbed.Engine) {
	t.Helper()
	b := newBed(t, engine)
	tokens := testbed.NewTokens(t, b.Testbed, user, password, identity)
	basic, err := b.StartBasicRegistry(t.Context(), user, password)
	if err != nil {
		t.Fatal(err)
	}
	token, err := b.StartTokenRegistry(t.Context(), tokens)
	if err != nil {
		t.Fatal(err)
	}
	realm, err := url.Parse(tokens.URL)
	if err != nil {
		t.Fatal(err)
	}
	b.openDoor(t, realm.Host)
	// Both registries have what the testbed's has.
	image := b.must(t)(b.UnsignedImage(t.Context(), "multi:1"))
	b.ok(t, "image", "rm", "--force", image.Ref)
	platform, list := digest.Digest(image.Digest), b.pushList(t, "multi", digest.Digest(image.Digest))
	for name, host := range map[string]string{"basic": basic.Host, "token": token.Host} {
		b.openDoor(t, host)
		b.vouch(t, filepath.Join(b.variable("DOCKER_CONFIG"), "tls", host))
		t.Run(name, func(t *testing.T) {
			gun := host + "/multi"
			asList := sign(t, b.NotaryURL(), b.trusting(t), gun, map[string]string{"1": string(list)})
			b.pin(t, map[string]string{gun: asList}, map[string]string{host: b.NotaryURL()})
			b.config(t, "{}")
			b.ok(t, "login", "--username", user, "--password", password, host)
			b.ok(t, "pull", gun+"@"+string(platform))
			b.covered(t, gun, platform, list)
		})
	}
	t.Run("the reverse", func(t *testing.T) {
		gun := b.image("multi")
		asPlatform := sign(t, b.NotaryURL(), b.trusting(t), gun, map[string]string{"1": string(platform)})
		b.pin(t, map[string]string{gun: asPlatform}, map[string]string{b.Registry(): b.NotaryURL()})
		b.env = []string{"STIG_STATE=" + t.TempDir()}
		b.ok(t, "pull", gun+"@"+string(list))
		if out := b.stig(t, 2, "trust", "verify", gun+"@"+string(list)); !strings.Contains(out.stdout, "unsigned: nobody signed digest "+string(list)) {
			t.Error(out.stdout)
		}
		b.ok(t, "pull", gun+"@"+string(platform))
		b.stig(t, 0, "trust", "verify", gun+"@"+string(platform))
	})
}

// covered wants the platform accepted for its list, by whoever may ask the
// registry, and nobody else.
func (b *bed) covered(t *testing.T, gun string, platform, list digest.Digest) {
	t.Helper()
	asked := gun + "@" + string(platform)
	b.env = []string{"STIG_STATE=" + t.TempDir()}
	var verdicts []struct {
		Verdict, Digest, Method string
		Engine                  struct{ Matches bool }
	}
	fromJSON(t, b.stig(t, 0, "trust", "verify", "--format", "json", asked).stdout, &verdicts)
	if len(verdicts) != 1 || verdicts[0].Verdict != "signed" || verdicts[0].Digest != string(list) || !verdicts[0].Engine.Matches {
		t.Errorf("%s: got %+v, want it signed as %s", asked, verdicts, list)
	}
	b.config(t, "{}")
	if out := b.stig(t, 2, "trust", "verify", asked); !strings.Contains(out.stdout, "unsigned: nobody signed digest "+string(platform)) {
		t.Errorf("without a login for the registry:\n%s", out.stdout)
	}
}

// pushList makes an image for another platform of the layers of this one, and
// a list of both.
func (b *bed) pushList(t *testing.T, repository string, platform digest.Digest) digest.Digest {
	t.Helper()
	raw, mediaType := b.getManifest(t, repository, platform)
	var manifest map[string]any
	fromJSON(t, string(raw), &manifest)
	config := []byte(`{"architecture":"s390x","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}`)
	b.pushBlob(t, repository, config)
	described := manifest["config"].(map[string]any) //nolint:forcetypeassert // a manifest has one
	described["digest"], described["size"] = digest.FromBytes(config), len(config)
	other, err := json.Marshal(manifest)
	if err != nil {
		t.Fatal(err)
	}
	b.pushManifest(t, repository, mediaType, other)
	listType := manifests.DockerList
	if mediaType == ocispec.MediaTypeImageManifest {
		listType = ocispec.MediaTypeImageIndex
	}
	entry := func(raw []byte, architecture string) ocispec.Descriptor {
		return ocispec.Descriptor{
			MediaType: mediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw)),
			Platform: &ocispec.Platform{OS: "linux", Architecture: architecture},
		}
	}
	list, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": listType,
		"manifests": []ocispec.Descriptor{entry(raw, runtime.GOARCH), entry(other, "s390x")},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.pushManifest(t, repository, listType, list)
}

func (b *bed) getManifest(t *testing.T, repository string, dgst digest.Digest) (raw []byte, mediaType string) {
	t.Helper()
	resp, raw := b.registryDo(t, http.MethodGet, "/v2/"+repository+"/manifests/"+string(dgst), "", nil)
	if digest.FromBytes(raw) != dgst {
		t.Fatalf("the registry gives for %s: %s %s", dgst, resp.Status, raw)
	}
	return raw, resp.Header.Get("Content-Type")
}

func (b *bed) pushManifest(t *testing.T, repository, mediaType string, raw []byte) digest.Digest {
	t.Helper()
	dgst := digest.FromBytes(raw)
	resp, said := b.registryDo(t, http.MethodPut, "/v2/"+repository+"/manifests/"+string(dgst), mediaType, raw)
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("pushing %s: %s %s", dgst, resp.Status, said)
	}
	return dgst
}

func (b *bed) pushBlob(t *testing.T, repository string, raw []byte) {
	t.Helper()
	resp, said := b.registryDo(t, http.MethodPost, "/v2/"+repository+"/blobs/uploads/", "", nil)
	location, err := resp.Location()
	if err != nil {
		t.Fatalf("opening an upload: %s %s", resp.Status, said)
	}
	query := location.Query()
	query.Set("digest", string(digest.FromBytes(raw)))
	resp, said = b.registryDo(t, http.MethodPut, location.Path+"?"+query.Encode(), "application/octet-stream", raw)
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("uploading: %s %s", resp.Status, said)
	}
}

// registryDo makes one exchange with the testbed's own registry.
func (b *bed) registryDo(t *testing.T, method, path, mediaType string, body []byte) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+b.Registry()+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header["Accept"] = []string{manifests.DockerManifest, manifests.DockerList, ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex}
	if mediaType != "" {
		req.Header.Set("Content-Type", mediaType)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, raw
}

// openDoor lets the engine, which has a network of its own, reach a server on
// this host's loopback under the same name.
func (b *bed) openDoor(t *testing.T, host string) {
	t.Helper()
	pid, err := b.EnginePID()
	if err != nil {
		t.Fatal(err)
	}
	root := fmt.Sprintf("/proc/%d", pid)
	b.vouch(t, filepath.Join(root, "root/etc/docker/certs.d", host))
	_, port, err := net.SplitHostPort(host)
	if err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort("127.0.0.1", port)
	listener, err := listenIn(t, root+"/ns/net", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			inside, err := listener.Accept()
			if err != nil {
				return
			}
			go passOn(inside, address)
		}
	}()
}

// vouch puts the testbed's authority into a folder of certificates.
func (b *bed) vouch(t *testing.T, folder string) {
	t.Helper()
	ca, err := os.ReadFile(b.CA())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "ca.crt"), ca, 0o600); err != nil {
		t.Fatal(err)
	}
}

// passOn joins a connection with a new one, until either side has said all.
func passOn(inside net.Conn, address string) {
	defer func() { _ = inside.Close() }()
	outside, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer func() { _ = outside.Close() }()
	done := make(chan struct{}, 2)
	for _, pair := range [][2]net.Conn{{inside, outside}, {outside, inside}} {
		go func() {
			_, _ = io.Copy(pair[0], pair[1])
			done <- struct{}{}
		}()
	}
	<-done
}

// listenIn listens in another network namespace: a socket belongs to the one
// of the thread that makes it.
func listenIn(t *testing.T, namespace, address string) (net.Listener, error) {
	t.Helper()
	file, err := os.Open(namespace)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	type result struct {
		net.Listener
		error
	}
	made := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlock it: the thread ends with this function
		if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
			made <- result{error: err}
			return
		}
		listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", address)
		made <- result{listener, err}
	}()
	r := <-made
	return r.Listener, r.error
}
