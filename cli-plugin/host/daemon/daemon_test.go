package daemon_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docker-stig/docker-stig/cli-plugin/host/daemon"
)

func spec(t *testing.T, name string) daemon.Spec {
	t.Helper()
	s, ok := daemon.Lookup(name)
	if !ok {
		t.Fatalf("no option is called %s", name)
	}
	return s
}

func TestParseFlags(t *testing.T) {
	t.Parallel()
	cases := []struct {
		args   string
		option string
		want   daemon.Value
	}{
		{"-H fd:// --host=tcp://1.2.3.4:2375", "hosts", daemon.Value{"fd://", "tcp://1.2.3.4:2375"}},
		{"-Htcp://:2375", "hosts", daemon.Value{"tcp://:2375"}},
		{"-H=tcp://:2375", "hosts", daemon.Value{"tcp://:2375"}},
		{"-DH tcp://:2375", "hosts", daemon.Value{"tcp://:2375"}},
		{"--host tcp://:2375", "hosts", daemon.Value{"tcp://:2375"}},
		{"--label --host", "hosts", nil},
		{"-H", "hosts", daemon.Value{""}},
		{"--userland-proxy=false", "userland-proxy", daemon.Truth(false)},
		{"--userland-proxy=F --debug", "userland-proxy", daemon.Truth(false)},
		{"--userland-proxy=false --userland-proxy", "userland-proxy", daemon.Truth(true)},
		{"--userland-proxy -H fd://", "userland-proxy", daemon.Truth(true)},
		{"--userland-proxy=maybe", "userland-proxy", daemon.Value{"maybe"}},
		{"--userland-proxy-path=/x", "userland-proxy", nil},
		{"--insecure-registry a --insecure-registry=b", "insecure-registries", daemon.Value{"a", "b"}},
		{"--log-opt max-size=1m --log-opt=max-file=2 --log-opt max-size=3m", "log-opts", daemon.Value{"max-file=2", "max-size=3m"}},
		{"--log-driver syslog", "log-driver", daemon.Value{"syslog"}},
		{"-s overlay2", "storage-driver", daemon.Value{"overlay2"}},
		{"--of-tomorrow x --experimental", "experimental", daemon.Truth(true)},
		{"--of-tomorrow --experimental", "experimental", daemon.Truth(true)},
		{"-- --experimental", "experimental", nil},
		{"", "experimental", nil},
	}
	for _, c := range cases {
		t.Run(c.args+" "+c.option, func(t *testing.T) {
			t.Parallel()
			got := daemon.ParseFlags(strings.Fields(c.args)).Value(spec(t, c.option))
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestParseConfig(t *testing.T) {
	t.Parallel()
	good := map[string]daemon.Config{
		"":     {},
		" \n ": {},
		"{}":   {},
		`{"userland-proxy": false, "mtu": 1400, "log-opts": {"b": "2", "a": "1"}, "hosts": [], "of-tomorrow": 3}`: {
			"userland-proxy": daemon.Truth(false), "mtu": {"1400"}, "log-opts": {"a=1", "b=2"}, "hosts": {}, "of-tomorrow": {"(set)"},
		},
	}
	for text, want := range good {
		got, err := daemon.ParseConfig([]byte(text))
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v, -want +got:\n%s", text, err, diff)
		}
	}
	bad := map[string]string{
		"\xef\xbb\xbf{}":                        "byte order mark",
		"{\n// off\n}":                          "line 2: it is not JSON",
		`{"debug": true`:                        "it is not JSON",
		`{"debug": true} {}`:                    "more behind the object",
		`[]`:                                    "not an object",
		`null`:                                  "not an object",
		"{\"debug\": true,\n\"debug\": false}":  `line 2: "debug" stands there twice`,
		`{"log-opts": {"a": "1", "a": "2"}}`:    `"a" stands there twice`,
		`{"userland-proxy": "false"}`:           "userland-proxy is not true or false",
		`{"log-opts": {"max-file": 3}}`:         "log-opts is not an object of texts",
		`{"insecure-registries": "a"}`:          "insecure-registries is not a list",
		`{"mtu": "1400"}`:                       "mtu is not a whole number",
		`{"mtu": 1.5}`:                          "mtu is not a whole number",
		`{"log-driver": null}`:                  "log-driver is null",
		`{"log-driver": 7}`:                     "log-driver is not a text",
		`{"x": ` + strings.Repeat("[", 100_000): "nested",
	}
	for text, want := range bad {
		if _, err := daemon.ParseConfig([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %q", text, err, want)
		}
	}
}

// TestMessagesHoldNoValues spoils a file with a secret in every way.
func TestMessagesHoldNoValues(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{"log-opts": {"splunk-token": canary}}`, `{"log-opts": {"splunk-token": ["canary"]}}`, `{"log-opts": "canary"}`,
		`{"log-opts": {"splunk-token": "canary", "splunk-token": "canary"}}`, `{"log-opts": {"splunk-token": "canary`,
	} {
		if _, err := daemon.ParseConfig([]byte(text)); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestTold(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		args, file, option string
		want               daemon.Value
		source, refusal    string
	}{
		"default":        {option: "userland-proxy", want: daemon.Truth(true), source: "default"},
		"file":           {file: `{"userland-proxy": false}`, option: "userland-proxy", want: daemon.Truth(false), source: "daemon.json"},
		"flag":           {args: "--userland-proxy=false", option: "userland-proxy", want: daemon.Truth(false), source: "--userland-proxy"},
		"both":           {args: "--userland-proxy=false", file: `{"userland-proxy": true}`, option: "userland-proxy", want: daemon.Truth(false), source: "--userland-proxy", refusal: "userland-proxy: set both"},
		"both of a list": {args: "-H fd://", file: `{"hosts": []}`, option: "hosts", want: daemon.Value{"fd://"}, source: "--host", refusal: "hosts: set both"},
		"runtimes merge": {args: "--add-runtime a=b", file: `{"runtimes": {}}`, option: "hosts", want: daemon.Value{daemon.DefaultHost}, source: "default"},
		"empty text":     {file: `{"log-driver": ""}`, option: "log-driver", want: daemon.Value{"json-file"}, source: "default"},
		"empty hosts":    {file: `{"hosts": []}`, option: "hosts", want: daemon.Value{daemon.DefaultHost}, source: "default"},
		"empty list":     {file: `{"insecure-registries": []}`, option: "insecure-registries", want: daemon.Value{}, source: "daemon.json"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config, err := daemon.ParseConfig([]byte(c.file))
			if err != nil {
				t.Fatal(err)
			}
			told := daemon.Told{Flags: daemon.ParseFlags(strings.Fields(c.args)), File: config}
			value, source := told.Value(spec(t, c.option))
			if diff := cmp.Diff(c.want, value); diff != "" || source != c.source {
				t.Errorf("from %s, want %s; -want +got:\n%s", source, c.source, diff)
			}
			if got := told.Refusal(); (got == "") != (c.refusal == "") || !strings.Contains(got, c.refusal) {
				t.Errorf("refusal %q, want %q", got, c.refusal)
			}
		})
	}
}

func TestHosts(t *testing.T) {
	t.Parallel()
	got := daemon.Hosts(daemon.Value{"fd://", "unix:///x", "0.0.0.0:2375", ":2375", "tcp://:1", ""})
	want := []string{"fd://", "unix:///x", "tcp://0.0.0.0:2375", "tcp://:2375", "tcp://:1", daemon.DefaultHost}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestUnit(t *testing.T) {
	t.Parallel()
	const packaged = "# docker\n[Unit]\nExecStart=/no\n[Service]\nEnvironmentFile=-/etc/default/docker\nExecStart=/usr/bin/dockerd -H fd:// \\\n# in between\n  --containerd=/run/c.sock $DOCKER_OPTS\n"
	cases := map[string]struct {
		files       []string
		environment string
		want        []string
	}{
		"packaged":         {files: []string{packaged}, environment: "# DOCKER_OPTS=x\n", want: []string{"/usr/bin/dockerd", "-H", "fd://", "--containerd=/run/c.sock"}},
		"options":          {files: []string{packaged}, environment: "DOCKER_OPTS=\"-H tcp://:2375 --label 'a b'\"\n", want: []string{"/usr/bin/dockerd", "-H", "fd://", "--containerd=/run/c.sock", "-H", "tcp://:2375", "--label", "a b"}},
		"drop-in replaces": {files: []string{packaged, "[Service]\nExecStart=\nExecStart=-/usr/bin/dockerd -H 'tcp://0.0.0.0:2375'\n"}, want: []string{"/usr/bin/dockerd", "-H", "tcp://0.0.0.0:2375"}},
		"variables":        {files: []string{"[Service]\nEnvironment=A=1 \"B=2 3\"\nEnvironment=C=${A}\nExecStart=dockerd --x=${A}${B} $B $NONE $$A ${NONE}x\n"}, want: []string{"dockerd", "--x=12 3", "2", "3", "$A", "x"}},
		"taken back":       {files: []string{"[Service]\nEnvironment=A=1\nEnvironment=\nExecStart=dockerd ${A}x\n"}, want: []string{"dockerd", "x"}},
		"own name":         {files: []string{"[Service]\nExecStart=@/usr/bin/dockerd docker -D\n"}, want: []string{"/usr/bin/dockerd", "-D"}},
		"verbatim":         {files: []string{"[Service]\nEnvironment=A=1\nExecStart=:dockerd ${A}\n"}, want: []string{"dockerd", "${A}"}},
		"nothing":          {files: []string{"[Service]\n"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var files [][]byte
			for _, file := range c.files {
				files = append(files, []byte(file))
			}
			got, err := daemon.ParseUnit(files...).Command([]byte(c.environment))
			if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
				t.Errorf("%v, -want +got:\n%s", err, diff)
			}
		})
	}
}

func TestUnitSockets(t *testing.T) {
	t.Parallel()
	unit := daemon.ParseUnit([]byte("[Socket]\nListenStream=/run/docker.sock\n"), []byte("[Socket]\nListenStream=2375\n"))
	if diff := cmp.Diff([]string{"/run/docker.sock", "2375"}, unit.ListenStream); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestParseEnvironment(t *testing.T) {
	t.Parallel()
	got := daemon.ParseEnvironment([]byte("# A=0\nA=1\nexport B='2 3'\nC=\"4 \\\n5\"\nno name=6\nD\n"))
	if diff := cmp.Diff(map[string]string{"A": "1", "B": "2 3", "C": "4  5"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
