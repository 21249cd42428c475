package access_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker-stig/docker-stig/shared/trust/access"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/cli/cli/config/types"
)

// printed is a value in every form that somebody may log it in.
func printed(t *testing.T, value any) string {
	t.Helper()
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"} {
		fmt.Fprintf(&out, verb+"\n", value)
	}
	fmt.Fprintln(&out, value, []any{value}, map[string]any{"key": value}, struct{ Field any }{value})
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("message", slog.Any("value", value), slog.Group("group", slog.Any("value", value)))
	}
	raw, err := json.MarshalIndent(value, "", " ")
	if err != nil {
		fmt.Fprintln(&out, err) // functions, in an http.Client
	}
	out.Write(raw)
	return out.String()
}

func TestNothingPrintsASecret(t *testing.T) {
	tokens := &tokenServer{}
	auth := newSite(t, newHost("auth"), tokens.ServeHTTP)
	dtr := newSite(t, newHost("dtr"), guarded(tokens.current, auth.url+"/token"))
	notary := newSite(t, newHost("notary"), withBasic)
	path := filepath.Join(t.TempDir(), "auth.json")
	file := access.OpenFile(path)
	if err := file.Set(dtr.host, alice); err != nil {
		t.Fatal(err)
	}
	config := &configfile.ConfigFile{AuthConfigs: map[string]types.AuthConfig{dtr.host: {Username: "alice", Password: password}}}
	docker := access.DockerConfig(config)
	for name, creds := range map[string]access.Credentials{"auth.json": file, "config.json": docker} {
		opts := access.Options{Credentials: creds, CertDirs: []string{certs(t, dtr, auth, notary)}}
		c := access.New(opts)
		base, client := registry(t, c, dtr.host+"/app")
		mustGet(t, client, base+"/v2/")
		trusted := trustServer(t, c, notary.url, "", dtr.host+"/app")
		mustGet(t, trusted, notary.url+"/v2/")
		login, err := creds.Login(dtr.host)
		if err != nil || login != alice {
			t.Fatalf("%s: the login is lost: %v", name, err)
		}
		for _, value := range []any{
			// A login by %p is what go vet refuses.
			login, &login,
			struct{ Login access.Login }{login},
			map[string]access.Login{"host": login},
			creds, opts, &opts, c, client, *client, client.Transport, trusted, trusted.Transport,
		} {
			if found := leaks(printed(t, value)); found != "" {
				t.Errorf("%s: %T prints %q", name, value, found)
			}
		}
	}
	if raw, err := os.ReadFile(path); err != nil || leaks(string(raw)) == "" {
		t.Errorf("the file should hold what leaks looks for: %v", err)
	}
}

func TestLoginTellsWhetherItIsOne(t *testing.T) {
	t.Parallel()
	if got := fmt.Sprintf("%v %+v %#v", access.Login{}, alice, &alice); got != "access.Login{} access.Login{hidden} access.Login{hidden}" {
		t.Error(got)
	}
}

func TestDockerConfig(t *testing.T) {
	t.Setenv("PATH", helpers(t, map[string]string{
		"good":   `cat >/dev/null; echo '{"ServerURL":"x","Username":"<token>","Secret":"` + identity + `"}'`,
		"none":   `cat >/dev/null; echo "credentials not found in native keychain"; exit 1`,
		"leaky":  `cat >/dev/null; echo "cannot decrypt ` + password + `"; exit 1`,
		"broken": `cat >/dev/null; echo "` + password + `"`,
	}))
	config := &configfile.ConfigFile{
		AuthConfigs: map[string]types.AuthConfig{
			"https://index.docker.io/v1/":      {Username: "alice", Password: password},
			"https://old.example.com/v1/":      {Username: "alice", Password: password},
			"dtr.example.com:4443":             {Username: "alice", Password: password},
			"https://registry.example.org/v2/": {},
		},
		CredentialHelpers: map[string]string{
			"good.example.com": "good", "none.example.com": "none", "leaky.example.com": "leaky",
			"broken.example.com": "broken", "absent.example.com": "absent",
		},
	}
	creds := access.DockerConfig(config)
	for host, want := range map[string]access.Login{
		"docker.io": alice, "old.example.com": alice, "dtr.example.com:4443": alice, "dtr.example.com": {},
		"registry.example.org": {}, "good.example.com": {IdentityToken: identity}, "none.example.com": {},
	} {
		if got, err := creds.Login(host); err != nil || got != want {
			t.Errorf("%s: another login than wanted, or %v", host, err)
		}
	}
	for host, want := range map[string]string{
		"leaky.example.com":  "docker's credential helper: error getting credentials - err: exit status 1; try docker login again",
		"absent.example.com": "executable file not found",
		"broken.example.com": "docker's credential helper: ",
	} {
		_, err := creds.Login(host)
		told(t, err, want)
	}
	if login, err := access.DockerConfig(nil).Login("docker.io"); err != nil || login != (access.Login{}) {
		t.Errorf("no configuration: %v", err)
	}
}

func TestErrorsSayHowToLogIn(t *testing.T) {
	t.Parallel()
	dtr := newSite(t, newHost("dtr"), withBasic)
	for want, creds := range map[string]access.Credentials{
		"run: docker login " + dtr.host:             access.DockerConfig(nil),
		"run: docker stig authz login " + dtr.host:  access.OpenFile(filepath.Join(t.TempDir(), "auth.json")),
		"give this host a login for " + dtr.host:    nil,
		"is an identity token; give this host a lo": only(dtr.host, access.Login{IdentityToken: identity}),
	} {
		client := trustServer(t, access.New(access.Options{Credentials: creds}), dtr.url, dtr.ca, dtr.host+"/app")
		_, err := get(t, client, dtr.url+"/v2/")
		told(t, err, want)
	}
}

// helpers makes a folder of docker credential helpers, beside the shell's own
// programs.
func helpers(t *testing.T, scripts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, script := range scripts {
		path := filepath.Join(dir, "docker-credential-"+name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return strings.Join([]string{dir, "/usr/bin", "/bin"}, string(os.PathListSeparator))
}
