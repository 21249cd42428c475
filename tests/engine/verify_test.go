package engine

import (
	"encoding/json"
	"encoding/pem"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/tests/testbed"
	"github.com/google/go-cmp/cmp"
)

// TestVerify runs docker stig trust verify against a real Notary server, and
// holds what it says against docker trust inspect.
func TestVerify(t *testing.T) {
	b := newBed(t, testbed.Docker)
	signed := b.must(t)(b.Sign(t.Context(), "prod/app:1", "qa", "security"))
	b.must(t)(b.UnsignedImage(t.Context(), "prod/app:unsigned"))
	b.must(t)(b.Sign(t.Context(), "prod/moved:1"))
	b.must(t)(b.MoveTag(t.Context(), "prod/moved:1"))
	if err := b.Pin("enforced", "prod/app", "prod/moved"); err != nil {
		t.Fatal(err)
	}

	t.Run("as docker trust inspect", func(t *testing.T) {
		type inspected []struct {
			SignedTags []struct {
				SignedTag, Digest string
				Signers           []string
			}
		}
		var ours, theirs inspected
		fromJSON(t, b.stig(t, 0, "trust", "verify", "--format", "json", signed.Ref).stdout, &ours)
		fromJSON(t, b.docker(t, "trust", "inspect", signed.Ref).stdout, &theirs)
		if diff := cmp.Diff(theirs, ours); diff != "" {
			t.Errorf("docker trust inspect says otherwise (-docker +ours):\n%s", diff)
		}
	})
	t.Run("table", func(t *testing.T) {
		out := b.stig(t, 0, "trust", "verify", signed.Ref)
		for _, want := range []string{"signed", signed.Digest, "qa, security", b.image("prod/app"), "holds this content"} {
			if !strings.Contains(out.stdout, want) {
				t.Errorf("want %q in\n%s", want, out.stdout)
			}
		}
	})
	t.Run("refused", func(t *testing.T) {
		for image, want := range map[string]string{
			b.image("prod/app:unsigned"): "unsigned: nobody signed tag unsigned",
			b.image("prod/moved:1"):      "holds other content",
			b.image("other:1"):           "no-scope",
			b.image("prod/app@" + "sha256:0000000000000000000000000000000000000000000000000000000000000000"): "unsigned",
		} {
			if out := b.stig(t, 2, "trust", "verify", image); !strings.Contains(out.stdout, want) {
				t.Errorf("%s: want %q in\n%s", image, want, out.stdout)
			}
		}
	})
	t.Run("by image ID", func(t *testing.T) {
		if out := b.stig(t, 0, "trust", "verify", signed.ID); !strings.Contains(out.stdout, signed.Digest) {
			t.Error(out.stdout)
		}
		b.stig(t, 3, "trust", "verify", "sha256:"+strings.Repeat("0", 64))
	})
	t.Run("signers of the policy", func(t *testing.T) {
		b.withPolicy(t, map[string]any{"signers": map[string][]string{b.image("prod/app"): {"qa", "security"}}})
		b.stig(t, 0, "trust", "verify", signed.Ref)
		b.withPolicy(t, map[string]any{"signers": map[string][]string{b.image("prod/app"): {"qa", "legal"}}})
		if out := b.stig(t, 2, "trust", "verify", signed.Ref); !strings.Contains(out.stdout, "unknown-signer, role targets/legal") {
			t.Error(out.stdout)
		}
		b.withPolicy(t, map[string]any{"signers": map[string][]string{}})
	})
	t.Run("certificate pin", func(t *testing.T) {
		id, err := b.RootCertID("prod/app")
		if err != nil {
			t.Fatal(err)
		}
		b.withPolicy(t, map[string]any{"content-trust": map[string]any{"mode": "enforced", "trust-pinning": map[string]any{"cert-ids": map[string][]string{b.image("prod/app"): {id}}}}})
		b.stig(t, 0, "trust", "verify", signed.Ref)
		b.withPolicy(t, map[string]any{"content-trust": map[string]any{"mode": "enforced", "trust-pinning": map[string]any{"cert-ids": map[string][]string{b.image("prod/app"): {strings.Repeat("0", 64)}}}}})
		if out := b.stig(t, 2, "trust", "verify", signed.Ref); !strings.Contains(out.stdout, "unknown-signer, role root") {
			t.Error(out.stdout)
		}
	})
}

// withPolicy replaces parts of the testbed's policy.
func (b *bed) withPolicy(t *testing.T, parts map[string]any) {
	t.Helper()
	raw, err := os.ReadFile(b.PolicyFile())
	if err != nil {
		t.Fatal(err)
	}
	var whole map[string]any
	fromJSON(t, string(raw), &whole)
	maps.Copy(whole, parts)
	if err := b.WritePolicy(whole); err != nil {
		t.Fatal(err)
	}
}

// TestVerifyBadServers asks trust servers that do not answer as they should.
// Nothing is cached, so each answer is the server's.
func TestVerifyBadServers(t *testing.T) {
	b := newBed(t, testbed.Docker)
	signed := b.must(t)(b.Sign(t.Context(), "prod/app:1"))
	if err := b.Pin("enforced", "prod/app"); err != nil {
		t.Fatal(err)
	}
	answer := func(handler http.HandlerFunc) func(*testing.T) (string, string) {
		return func(t *testing.T) (string, string) {
			t.Helper()
			server := httptest.NewTLSServer(handler)
			t.Cleanup(server.Close)
			return server.URL, certificate(t, server)
		}
	}
	for name, test := range map[string]struct {
		server func(*testing.T) (url, ca string)
		want   string
	}{
		"wrong CA": {func(t *testing.T) (string, string) {
			t.Helper()
			_, ca := answer(nil)(t)
			return b.NotaryURL(), ca
		}, "unknown authority"},
		"CA file missing": {func(*testing.T) (string, string) { return b.NotaryURL(), "/nonexistent.pem" }, "reading its certificates"},
		"down":            {func(*testing.T) (string, string) { return "https://127.0.0.1:1", b.CA() }, "nobody listens there"},
		"no such name":    {func(*testing.T) (string, string) { return "https://notary.invalid", b.CA() }, "its name is unknown"},
		"401":             {answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }), "answers 401 and asks for a login"},
		"500":             {answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }), "answers 500"},
		"HTML":            {answer(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }), "web page"},
		"truncated JSON":  {answer(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"signed":`)) }), "truncated or broken JSON"},
		"broken off": {answer(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(`{"signed":`))
		}), "broke off"},
		"silence": {silentServer, "no answer within 2s"},
	} {
		t.Run(name, func(t *testing.T) {
			url, ca := test.server(t)
			b.withPolicy(t, map[string]any{"notary": map[string]any{
				"servers": map[string][]string{b.Registry(): {url}}, "ca": map[string]string{b.Registry(): ca}, "timeout": "2s",
			}})
			b.env = []string{"STIG_STATE=" + t.TempDir()}
			began := time.Now()
			out := b.stig(t, 3, "trust", "verify", signed.Ref)
			if !strings.Contains(out.stdout, test.want) || !strings.Contains(out.stdout, "unreachable") {
				t.Errorf("want %q in\n%s", test.want, out.stdout)
			}
			if took := time.Since(began); took > 9*time.Second {
				t.Errorf("it took %v with a timeout of 2 s", took)
			}
		})
	}
}

// silentServer takes connections and says nothing for as long as the test lasts.
func silentServer(t *testing.T) (url, ca string) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	other := httptest.NewTLSServer(nil)
	t.Cleanup(other.Close)
	return "https://" + listener.Addr().String(), certificate(t, other)
}

func certificate(t *testing.T, server *httptest.Server) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestCheck reaches both statuses of V-235788 with the engine that Debian
// packages, on the real signed repository of the distribution.
func TestCheck(t *testing.T) {
	b := newBed(t, testbed.Docker)
	var list struct {
		SchemaVersion string
		Results       []struct {
			StigID, Status, Details string
		}
	}
	out := b.stig(t, 2, "check", "--format", "json", "V-235788", "V-235846", "V-235847")
	fromJSON(t, out.stdout, &list)
	statuses := map[string]string{}
	for _, r := range list.Results {
		statuses[r.StigID] = r.Status
	}
	want := map[string]string{"DKER-EE-001770": "Open", "DKER-EE-004260": "Not_Applicable", "DKER-EE-004370": "Not_Applicable"}
	if diff := cmp.Diff(want, statuses); diff != "" {
		t.Errorf("%s\n%s", diff, out.stdout)
	}
	key := b.distributionKey(t)
	site := filepath.Join(t.TempDir(), "site.yaml")
	if err := os.WriteFile(site, []byte("approved-keys: ["+key+"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := b.stig(t, 0, "check", "V-235788", "--site", site); !strings.Contains(out.stdout, "NotAFinding") || !strings.Contains(out.stdout, "signed by "+key+" (") {
		t.Error(out.stdout)
	}
}

// TestCheckTwice: the same host gives the same bytes but for the times.
func TestCheckTwice(t *testing.T) {
	b := newBed(t, testbed.Docker)
	var texts []string
	for range 2 {
		var list map[string]any
		fromJSON(t, b.stig(t, 2, "check", "--format", "json").stdout, &list)
		delete(list, "started")
		delete(list, "ended")
		text, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	if diff := cmp.Diff(texts[0], texts[1]); diff != "" {
		t.Error(diff)
	}
}

// TestCheckMoby: an engine that was built by hand is nobody's package.
func TestCheckMoby(t *testing.T) {
	b := newBed(t, testbed.Moby)
	if out := b.stig(t, 2, "check", "V-235788"); !strings.Contains(out.stdout, "put there by hand") {
		t.Error(out.stdout)
	}
}
