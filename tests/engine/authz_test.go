package engine

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/docker-stig/docker-stig/tests/testbed"
)

func TestAuthzOnDocker(t *testing.T) { testAuthz(t, testbed.Docker) }

func TestAuthzOnMoby(t *testing.T) { testAuthz(t, testbed.Moby) }

// testAuthz goes through what must run and what must not, on one engine. It
// begins with what was there before the plugin came.
func testAuthz(t *testing.T, engine testbed.Engine) {
	t.Helper()
	b := newBed(t, engine)
	signed := b.must(t)(b.Sign(t.Context(), "prod/app:1"))
	b.must(t)(b.Sign(t.Context(), "prod/app:moved"))
	b.must(t)(b.MoveTag(t.Context(), "prod/app:moved"))
	unsigned := b.must(t)(b.UnsignedImage(t.Context(), "prod/app:unsigned"))
	stranger := b.must(t)(b.UnsignedImage(t.Context(), "other/app:1"))
	if err := b.Pin("enforced", "prod/app"); err != nil {
		t.Fatal(err)
	}
	old := b.docker(t, "create", "--network", "none", unsigned.Ref)
	if old.code != 0 {
		t.Fatalf("without the plugin an unsigned image could not be used: %s", old.stderr)
	}
	b.enforce(t)

	t.Run("signed runs", func(t *testing.T) {
		before := len(b.containers(t))
		out := b.docker(t, "run", "--network", "none", signed.Ref)
		if out.code != 0 || !strings.Contains(out.stdout, "prod/app:1") {
			t.Fatalf("exit code %d: %s%s", out.code, out.stdout, out.stderr)
		}
		list, err := b.Containers(t.Context())
		if err != nil || len(list) != before+1 {
			t.Errorf("%d containers, want one more than %d (%v)", len(list), before, err)
		}
	})
	t.Run("signed digest runs", func(t *testing.T) {
		name, _, _ := strings.Cut(signed.Ref, ":1")
		if out := b.docker(t, "run", "--rm", "--network", "none", name+"@"+signed.Digest); out.code != 0 {
			t.Errorf("exit code %d: %s", out.code, out.stderr)
		}
	})
	t.Run("signed image ID runs", func(t *testing.T) {
		if out := b.docker(t, "run", "--rm", "--network", "none", signed.ID); out.code != 0 {
			t.Errorf("exit code %d: %s", out.code, out.stderr)
		}
	})
	t.Run("docker run alone pulls what is signed", func(t *testing.T) {
		if out := b.docker(t, "image", "rm", "--force", signed.Ref); out.code != 0 {
			t.Fatal(out.stderr)
		}
		if out := b.docker(t, "run", "--rm", "--network", "none", signed.Ref); out.code != 0 {
			t.Errorf("exit code %d: %s", out.code, out.stderr)
		}
	})
	for name, test := range map[string]struct{ image, reason string }{
		"unsigned tag":          {unsigned.Ref, "unsigned"},
		"signed tag moved":      {b.image("prod/app:moved"), "digest-mismatch"},
		"unsigned image ID":     {unsigned.ID, "unsigned"},
		"prefix of an image ID": {strings.TrimPrefix(unsigned.ID, "sha256:")[:12], "unsigned"},
		"unsigned digest":       {b.image("prod/app@" + unsigned.Digest), "unsigned"},
		"under no scope":        {stranger.Ref, "no-scope"},
		"unsigned, not here":    {b.image("prod/app:never"), "unsigned"},
		"from the hub":          {"alpine:3", "no-scope"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, command := range []string{"run", "create"} {
				b.untouched(t, func() { b.refused(t, test.reason, command, "--network", "none", test.image) })
			}
		})
	}
	t.Run("unsigned content tagged as the signed", func(t *testing.T) {
		if out := b.docker(t, "tag", unsigned.ID, signed.Ref); out.code != 0 {
			t.Fatal(out.stderr)
		}
		b.untouched(t, func() { b.refused(t, "digest-mismatch", "run", "--network", "none", signed.Ref) })
	})
	t.Run("container older than the plugin", func(t *testing.T) {
		b.untouched(t, func() { b.refused(t, "unsigned", "start", strings.TrimSpace(old.stdout)) })
	})
	t.Run("requests no client makes", func(t *testing.T) { b.rawRequests(t, unsigned.Ref, strings.TrimSpace(old.stdout)) })
	t.Run("trust server away", func(t *testing.T) {
		if err := b.StopNotary(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.untouched(t, func() {
			b.docker(t, "run", "--network", "none", unsigned.Ref)
			b.refused(t, "", "run", "--network", "none", b.image("prod/app:other"))
		})
		if out := b.docker(t, "ps", "--all"); out.code != 0 {
			t.Errorf("docker ps: %s", out.stderr)
		}
	})
}

// must gives a way to unwrap what the testbed returns.
func (b *bed) must(t *testing.T) func(testbed.Image, error) testbed.Image {
	t.Helper()
	return func(image testbed.Image, err error) testbed.Image {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return image
	}
}

// refused wants a docker command denied by the plugin, for a reason.
func (b *bed) refused(t *testing.T, reason string, args ...string) {
	t.Helper()
	out := b.docker(t, args...)
	if out.code == 0 {
		t.Errorf("docker %s was let through", strings.Join(args, " "))
	}
	for _, want := range []string{"denied by plugin docker-stig-authz", "(" + reason} {
		if !strings.Contains(out.stderr, want) {
			t.Errorf("docker %s: want %q in\n%s", strings.Join(args, " "), want, out.stderr)
		}
	}
}

// rawRequests are ones that only somebody with the socket in hand makes.
func (b *bed) rawRequests(t *testing.T, image, container string) {
	t.Helper()
	socket := strings.TrimPrefix(b.variable("DOCKER_HOST"), "unix://")
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	defer client.CloseIdleConnections()
	for name, test := range map[string]struct{ method, path, body string }{
		"empty body":             {http.MethodPost, "/containers/create", ""},
		"no image":               {http.MethodPost, "/containers/create", `{"Cmd":["sh"]}`},
		"empty image":            {http.MethodPost, "/v1.41/containers/create", `{"Image":""}`},
		"image named twice":      {http.MethodPost, "/v1.41/containers/create", `{"Image":"` + b.image("prod/app:1") + `","image":"` + image + `"}`},
		"data behind the body":   {http.MethodPost, "/v1.41/containers/create", `{"Image":"` + b.image("prod/app:1") + `"}{"Image":"` + image + `"}`},
		"percent-encoded path":   {http.MethodPost, "/v1.41/%63ontainers/create", `{"Image":"` + image + `"}`},
		"start with a body":      {http.MethodPost, "/v1.41/containers/" + container + "/start", `{"Privileged":true}`},
		"restart":                {http.MethodPost, "/v1.41/containers/" + container + "/restart", ""},
		"restart policy":         {http.MethodPost, "/v1.41/containers/" + container + "/update", `{"RestartPolicy":{"Name":"always"}}`},
		"build":                  {http.MethodPost, "/v1.41/build", ""},
		"plugin from anywhere":   {http.MethodPost, "/v1.41/plugins/pull?remote=x", `[]`},
		"pull of the unsigned":   {http.MethodPost, "/v1.41/images/create?fromImage=" + image, ""},
		"service without digest": {http.MethodPost, "/v1.41/services/create", `{"TaskTemplate":{"ContainerSpec":{"Image":"` + image + `"}}}`},
	} {
		t.Run(name, func(t *testing.T) {
			b.untouched(t, func() {
				req, err := http.NewRequestWithContext(t.Context(), test.method, "http://engine"+test.path, strings.NewReader(test.body))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Content-Type", "application/json")
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				text, err := io.ReadAll(resp.Body)
				if err != nil {
					t.Fatal(err)
				}
				if resp.StatusCode != http.StatusForbidden || !strings.Contains(string(text), "denied by plugin docker-stig-authz") {
					t.Errorf("%s: %s", resp.Status, text)
				}
			})
		})
	}
}
