package access_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/docker-stig/docker-stig/shared/trust/access"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// auth is what docker writes for alice.
var auth = strings.TrimPrefix(basicOf, "Basic ")

func TestFileLogin(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "auth.json")
	writeFile(t, path, `{"auths": {
		"dtr.example.com": {"auth": "`+auth+`"},
		"https://index.docker.io/v1/": {"auth": "`+auth+`"},
		"https://old.example.com/v1/": {"username": "alice", "password": "`+password+`"},
		"both.example.com": {"auth": "YWxpY2U6", "identitytoken": "`+identity+`"},
		"helper.example.com": {},
		"list.example.com": [1],
		"number.example.com": {"auth": 12345678},
		"base64.example.com": {"auth": "`+password+`!"},
		"colon.example.com": {"auth": "YWxpY2U="}
	}, "credsStore": "pass"}`)
	file := access.OpenFile(path)
	for host, want := range map[string]access.Login{
		"dtr.example.com": alice, "docker.io": alice, "old.example.com": alice,
		"both.example.com":  {Username: "alice", IdentityToken: identity},
		"other.example.com": {}, "dtr.example.com:443": {}, "": {},
	} {
		if got, err := file.Login(host); err != nil || got != want {
			t.Errorf("%s: another login than wanted, or %v", host, err)
		}
	}
	for host, want := range map[string]string{
		"helper.example.com": "listed without name and password",
		"list.example.com":   "want {",
		"number.example.com": "want {",
		"base64.example.com": "is not the base64 of NAME:PASSWORD",
		"colon.example.com":  "is not the base64 of NAME:PASSWORD; run: docker stig authz login colon.example.com",
	} {
		_, err := file.Login(host)
		told(t, err, want)
		told(t, err, path)
	}
}

func TestFileThatCannotBeRead(t *testing.T) {
	t.Parallel()
	secret := `{"auths": {"dtr.example.com": {"auth": "` + auth + `"}}}`
	for name, test := range map[string]struct {
		text string
		mode os.FileMode
		want string
	}{
		"read by all":      {secret, 0o644, "(mode 0644): run: chmod 0600 PATH"},
		"read by group":    {secret, 0o640, "(mode 0640): run: chmod 0600 PATH"},
		"written by group": {secret, 0o620, "(mode 0620): run: chmod 0600 PATH"},
		"empty":            {"", 0o600, "PATH:1:1: want JSON"},
		"truncated":        {secret[:len(secret)-2], 0o600, fmt.Sprintf("PATH:1:%d: want JSON", len(secret)-2)},
		"a line below":     {"{\n  \"auths\": {,}\n}", 0o600, "PATH:2:13: want JSON"},
		"two documents":    {secret + "x", 0o600, fmt.Sprintf("PATH:1:%d: want JSON", len(secret)+1)},
		"comments":         {"// no\n" + secret, 0o600, "PATH:1:1: want JSON"},
		"a list":           {"[]", 0o600, "PATH: want an object"},
		"auths a list":     {`{"auths": ["` + password + `"]}`, 0o600, "PATH: auths: want an object"},
		"auths twice":      {`{"auths": {}, "auths": {}}`, 0o600, `PATH: want an object as in docker's config.json: key "auths" stands there twice`},
		"a host twice":     {`{"auths": {"a": {}, "a": {}}}`, 0o600, `PATH: auths: want an object with a member for each host: key "a" stands there twice`},
		"endless":          {secret + strings.Repeat(" ", 5<<20), 0o600, "PATH is larger than 4 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "auth.json")
			writeFile(t, path, test.text)
			if err := os.Chmod(path, test.mode); err != nil {
				t.Fatal(err)
			}
			file := access.OpenFile(path)
			want := strings.ReplaceAll(test.want, "PATH", path)
			_, err := file.Login("dtr.example.com")
			told(t, err, want)
			told(t, file.Set("dtr.example.com", alice), want)
			told(t, file.Remove("dtr.example.com"), want)
			if raw, err := os.ReadFile(path); err != nil || string(raw) != test.text {
				t.Errorf("the file was changed: %v", err)
			}
		})
	}
	pipe := filepath.Join(t.TempDir(), "auth.json")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := access.OpenFile(pipe).Login("dtr.example.com")
	told(t, err, pipe+" is not a file")
}

func TestFileSetKeepsTheRest(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "auth.json")
	writeFile(t, path, `{"HttpHeaders": {"X": "<1>"}, "auths": {"b.example.com": {"auth": "YTpi", "email": "x"},
		"https://index.docker.io/v1/": {"auth": "YTpi"}, "docker.io": {"auth": "YTpi"}}, "unknown": [1.50, null]}`)
	if err := access.OpenFile(path).Set("docker.io", alice); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := `{
	"auths": {
		"b.example.com": {
			"auth": "YTpi",
			"email": "x"
		},
		"https://index.docker.io/v1/": {
			"auth": "` + auth + `"
		}
	},
	"HttpHeaders": {
		"X": "<1>"
	},
	"unknown": [
		1.50,
		null
	]
}
`
	if diff := cmp.Diff(want, string(raw)); diff != "" {
		t.Errorf("the file (-want +got):\n%s", diff)
	}
}

func TestFileIsForItsOwner(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "etc", "docker-stig")
	path := filepath.Join(folder, "auth.json")
	file := access.OpenFile(path)
	if login, err := file.Login("docker.io"); err != nil || login != (access.Login{}) {
		t.Fatalf("no file yet: %v", err)
	}
	if err := file.Remove("docker.io"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("removing nothing made a file: %v", err)
	}
	for _, login := range []access.Login{alice, {IdentityToken: identity}} {
		if err := file.Set("docker.io", login); err != nil {
			t.Fatal(err)
		}
		if got, err := file.Login("docker.io"); err != nil || got != login {
			t.Errorf("another login than was set, or %v", err)
		}
	}
	for of, want := range map[string]os.FileMode{folder: 0o700 | os.ModeDir, path: 0o600} {
		if info, err := os.Stat(of); err != nil || info.Mode() != want {
			t.Errorf("%s: mode %v, want %v (%v)", of, info.Mode(), want, err)
		}
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != 1 {
		t.Errorf("something was left behind: %v, %v", entries, err)
	}
}

func TestFileRemovesEveryName(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "auth.json")
	entry := `{"auth": "` + auth + `"}`
	writeFile(t, path, `{"auths": {"docker.io": `+entry+`, "https://index.docker.io/v1/": `+entry+`, "registry-1.docker.io": `+entry+
		`, "https://dtr.example.com": `+entry+`, "dtr.example.com": `+entry+`, "dtr.example.com:443": `+entry+`}}`)
	file := access.OpenFile(path)
	want := []string{"docker.io", "dtr.example.com", "dtr.example.com:443"}
	for _, host := range append([]string{""}, want...) {
		if host != "" {
			if err := file.Remove(host); err != nil {
				t.Fatal(err)
			}
			want = want[1:]
		}
		if got, err := file.Hosts(); err != nil || !cmp.Equal(append([]string{}, got...), append([]string{}, want...)) {
			t.Errorf("after removing %q: %q, want %q (%v)", host, got, want, err)
		}
		if login, err := file.Login(host); err != nil || login != (access.Login{}) {
			t.Errorf("%q still has a login, or %v", host, err)
		}
	}
}

func TestFileIsReadAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "auth.json")
	reader, writer := access.OpenFile(path), access.OpenFile(path)
	for i := range 50 {
		want := access.Login{Username: "alice", Password: fmt.Sprint("password-", i)}
		if err := writer.Set("dtr.example.com", want); err != nil {
			t.Fatal(err)
		}
		if got, err := reader.Login("dtr.example.com"); err != nil || got != want {
			t.Fatalf("change %d was not seen: %v", i, err)
		}
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := reader.Login("dtr.example.com")
	told(t, err, "chmod 0600")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got, err := reader.Login("dtr.example.com"); err != nil || got != (access.Login{}) {
		t.Errorf("the file is gone: %v", err)
	}
}

func TestFileLosesNoWrite(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "auth.json")
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			file := access.OpenFile(path) // as another process would
			if err := file.Set(fmt.Sprintf("host-%02d.example.com", i), alice); err != nil {
				t.Error(err)
			}
			if _, err := file.Hosts(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if hosts, err := access.OpenFile(path).Hosts(); err != nil || len(hosts) != 20 {
		t.Errorf("%d hosts are left of 20: %v", len(hosts), err)
	}
}

func TestFileKeepsALink(t *testing.T) {
	t.Parallel()
	target, link := filepath.Join(t.TempDir(), "secret.json"), filepath.Join(t.TempDir(), "auth.json")
	writeFile(t, target, "{}")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	if err := access.OpenFile(link).Set("docker.io", alice); err != nil {
		t.Fatal(err)
	}
	if to, err := os.Readlink(link); err != nil || to != target {
		t.Errorf("the link was replaced: %q, %v", to, err)
	}
	if login, err := access.OpenFile(target).Login("docker.io"); err != nil || login != alice {
		t.Errorf("its target has no login: %v", err)
	}
}

func TestFileRefusesLogins(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "auth.json")
	file := access.OpenFile(path)
	for name, test := range map[string]struct {
		host  string
		login access.Login
		want  string
	}{
		"nobody":              {"dtr.example.com", access.Login{}, "want a name and a password"},
		"no password":         {"dtr.example.com", access.Login{Username: "alice"}, "want a name and a password"},
		"colon in the name":   {"dtr.example.com", access.Login{Username: "a:b", Password: password}, "cannot contain a colon"},
		"line break":          {"dtr.example.com", access.Login{Username: "a", Password: password + "\n"}, "a line break at its end"},
		"an address":          {"https://dtr.example.com", alice, "is no host of images"},
		"a path":              {"dtr.example.com/prod", alice, "is no host of images"},
		"a name, not a host":  {"registry", alice, "is no host of images"},
		"another name of Hub": {"index.docker.io", alice, "or docker.io"},
		"nothing":             {"", alice, "is no host of images"},
	} {
		t.Run(name, func(t *testing.T) { told(t, file.Set(test.host, test.login), test.want) })
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("a file was made: %v", err)
	}
}

func TestDockerReadsTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "auth.json")
	if err := access.OpenFile(path).Set("docker.io", alice); err != nil {
		t.Fatal(err)
	}
	raw, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	config := configfile.New("config.json")
	if err := config.LoadFromReader(raw); err != nil {
		t.Fatal(err)
	}
	if login, err := access.DockerConfig(config).Login("docker.io"); err != nil || login != alice {
		t.Errorf("docker finds another login, or %v", err)
	}
}

func TestDaemonFile(t *testing.T) {
	if got := access.DaemonFile(); got != "/etc/docker-stig/auth.json" {
		t.Error(got)
	}
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	if got := access.DaemonFile(); got != "/etc/docker-stig/auth.json" {
		t.Error(got)
	}
	writeFile(t, filepath.Join(dir, "auth.json"), `{"auths": {"dtr.example.com": {"auth": "`+auth+`"}}}`)
	if got := access.DaemonFile(); got != filepath.Join(dir, "auth.json") {
		t.Error(got)
	}
	file := access.OpenFile(access.DaemonFile())
	if login, err := file.Login("dtr.example.com"); err != nil || login != alice {
		t.Error(err)
	}
	told(t, file.Set("dtr.example.com", alice), "change the file that LoadCredential= names")
}

// FuzzAuthFile: whatever the bytes, reading them ends; no error quotes them;
// and what can be read can be changed and read again, the rest untouched.
func FuzzAuthFile(f *testing.F) {
	f.Add([]byte(`{"auths": {"dtr.example.com": {"auth": "` + auth + `"}}, "x": 1}`))
	f.Add([]byte(`{"auths": {"https://index.docker.io/v1/": {"identitytoken": "` + identity + `"}}}`))
	f.Add([]byte(`{"auths": null, "a": {"b": [1, {}]}, "\u0061": 2}`))
	f.Add([]byte(`{"auths": {"http://[::1": {}, "://": {}, "a://b:c:1/": {}}}`))
	f.Add([]byte("{"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		path := filepath.Join(t.TempDir(), "auth.json")
		writeFile(t, path, string(raw))
		file := access.OpenFile(path)
		if _, err := file.Login("dtr.example.com"); err != nil && leaks(err.Error()) != "" {
			t.Fatalf("the error quotes the file: %v", err)
		}
		before, err := file.Hosts()
		if err != nil {
			return
		}
		if err := file.Set("dtr.example.com", alice); err != nil {
			t.Fatalf("what was read cannot be changed: %v", err)
		}
		if got, err := file.Login("dtr.example.com"); err != nil || got != alice {
			t.Fatalf("the login is not there: %v", err)
		}
		if err := file.Remove("dtr.example.com"); err != nil {
			t.Fatal(err)
		}
		after, err := file.Hosts()
		if err != nil {
			t.Fatal(err)
		}
		others := []string{}
		for _, host := range before {
			if host != "dtr.example.com" {
				others = append(others, host)
			}
		}
		if diff := cmp.Diff(others, append([]string{}, after...)); diff != "" {
			t.Fatalf("other hosts (-before +after):\n%s", diff)
		}
		if diff := cmp.Diff(rest(t, raw), rest(t, mustRead(t, path))); diff != "" {
			t.Fatalf("the rest (-before +after):\n%s", diff)
		}
	})
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// rest is what a file holds beside its logins.
func rest(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	all := map[string]any{}
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	delete(all, "auths")
	return all
}
