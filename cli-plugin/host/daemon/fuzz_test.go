package daemon_test

import (
	"strings"
	"testing"

	"github.com/docker-stig/docker-stig/cli-plugin/host/daemon"
)

// FuzzParseFlags reads any command line. What is set stands in it.
func FuzzParseFlags(f *testing.F) {
	f.Add("-H\x00fd://\x00--userland-proxy=false\x00--log-opt\x00a=b")
	f.Add("-DHtcp://:1\x00--\x00--debug")
	f.Fuzz(func(t *testing.T, line string) {
		flags := daemon.ParseFlags(strings.Split(line, "\x00"))
		hosts, _ := daemon.Lookup("hosts")
		for _, host := range flags.Value(hosts) {
			if !strings.Contains(line, host) {
				t.Errorf("%q is not in %q", host, line)
			}
		}
	})
}

// FuzzParseConfig reads any daemon.json. It accepts nothing twice: what is
// accepted reads the same again.
func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(`{"userland-proxy": false, "log-opts": {"a": "b"}, "hosts": ["fd://"], "mtu": 1}`))
	f.Add([]byte("\xef\xbb\xbf{}"))
	f.Add([]byte(`{"a": [[[{"b": null}]]], "a": 1}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		config, err := daemon.ParseConfig(raw)
		if (config == nil) == (err == nil) {
			t.Errorf("%v and %v", config, err)
		}
		for key, value := range config {
			if value == nil {
				t.Errorf("%s is there and not set", key)
			}
		}
		told := daemon.Told{File: config}
		if refusal := told.Refusal(); refusal != "" {
			t.Errorf("without flags: %s", refusal)
		}
	})
}

// FuzzParseUnit reads any unit and any environment file.
func FuzzParseUnit(f *testing.F) {
	f.Add([]byte("[Service]\nEnvironment=\"A=1 2\"\nExecStart=-/usr/bin/dockerd -H fd:// $A ${A}x\n"), []byte("A='3'\n"))
	f.Add([]byte("[Socket]\nListenStream=1\\\n2\n"), []byte("export B=\"\\\n"))
	f.Fuzz(func(t *testing.T, unit, environment []byte) {
		args, err := daemon.ParseUnit(unit).Command(environment)
		if err != nil && args != nil {
			t.Errorf("%q and %v", args, err)
		}
		daemon.ParseFlags(args)
	})
}
