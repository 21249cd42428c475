package policy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// protecting parses a policy with the given object for "protect".
func protecting(object string) (*Policy, error) {
	return Parse("policy.json", []byte("{\"content-trust\": {\"mode\": \"enforced\"},\n\"protect\": "+object+"}"))
}

func TestProtectDefaults(t *testing.T) {
	t.Parallel()
	want := defaultProtect()
	for _, d := range []Disposition{want.Privileged, want.HostNamespaces, want.Devices, want.SecurityOptions, want.ExecPrivileged} {
		if d != Deny {
			t.Errorf("a default of %q opens what nobody asked to open", d)
		}
	}
	for _, text := range []string{"{}", `{"privileged": "deny"}`} {
		p, err := protecting(text)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, p.Protect); diff != "" {
			t.Errorf("%s: -want +got:\n%s", text, diff)
		}
	}
}

// TestProtectListsReplace: a list that is given is the whole list.
func TestProtectListsReplace(t *testing.T) {
	t.Parallel()
	p, err := protecting(`{"capabilities": ["cap_sys_time"], "runtimes": [], "paths": ["/srv/keys"], "binds": ["/srv/app", "/home/ci/**", "/home/ci/work", "/srv/app/**"],
		"security-options": "allow", "except": {"a.io/agent": ["privileged", "paths"]}}`)
	if err != nil {
		t.Fatal(err)
	}
	want := defaultProtect()
	want.Capabilities, want.Runtimes, want.SecurityOptions = []string{"cap_sys_time"}, []string{}, Allow
	want.Paths, want.Binds = []string{"/srv/keys"}, []string{"/srv/app", "/home/ci/**", "/home/ci/work", "/srv/app/**"}
	want.Except = map[string][]Setting{"a.io/agent": {SettingPrivileged, SettingPaths}}
	if diff := cmp.Diff(want, p.Protect); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"IPC_LOCK", "IPC_OWNER", "LEASE", "NET_ADMIN", "NET_BROADCAST", "SYS_NICE"}, defaultProtect().Capabilities); diff != "" {
		t.Errorf("the next policy has other defaults: %s", diff)
	}
}

func TestProtectErrors(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"privileged": "maybe"}`:              `policy.json:2:27: protect/privileged: "maybe": want allow or deny`,
		`{"security-options": "verify"}`:       `protect/security-options: "verify": want allow or deny`,
		`{"capabilities": ["NET ADMIN"]}`:      `policy.json:2:30: protect/capabilities: "NET ADMIN": want a capability`,
		`{"runtimes": ["runc", ""]}`:           `protect/runtimes: "": want the name of a runtime`,
		`{"paths": ["srv"]}`:                   `protect/paths: "srv": want a full path`,
		`{"binds": ["/srv/../etc"]}`:           `protect/binds: "/srv/../etc": want a full path`,
		`{"binds": ["/srv/../etc/**"]}`:        `protect/binds: "/srv/../etc/**": want a full path`,
		`{"binds": ["/**"]}`:                   `protect/binds: "/**": want a full path`,
		`{"binds": ["/"]}`:                     `protect/binds: "/": want a full path`,
		`{"binds": ["/srv/*/data"]}`:           `protect/binds: "/srv/*/data": want a full path`,
		`{"binds": ["/srv/**/**"]}`:            `protect/binds: "/srv/**/**": want a full path`,
		`{"binds": ["/srv/a/b", "/srv/a"]}`:    `policy.json:2:23: protect/binds: "/srv/a/b": whoever has /srv/a can put something else there; list /srv/a/** in its place`,
		`{"binds": ["/srv/a", "/srv/a/b/**"]}`: `protect/binds: "/srv/a/b/**": whoever has /srv/a can`,
		`{"except": {"agent": []}}`:            `write "docker.io/library/agent"`,
		`{"except": {"a.io/x": ["path"]}}`:     `policy.json:2:35: protect/except/a.io/x: "path" is no setting of protect: the settings are privileged, host-namespaces, devices, capabilities, runtimes, security-options, paths, binds, exec-privileged`,
		`{"except": {"a.io/x": ["except"]}}`:   `"except" is no setting`,
		`{"except": {"a.io/x": "privileged"}}`: `want a list`,
	} {
		if _, err := protecting(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\ngot  %v\nwant %s", text, err, want)
		}
	}
}

func TestMap(t *testing.T) {
	t.Parallel()
	m := NewMap(map[string]int{"a.io/**": 1, "a.io/prod/*": 2, "a.io/prod/app": 3})
	for name, want := range map[string]int{"a.io/x": 1, "a.io/prod/x": 2, "a.io/prod/app": 3, "b.io/x": 0} {
		if got, ok := m.Find(name); got != want || ok != (want > 0) {
			t.Errorf("%s: got %d, %v, want %d", name, got, ok, want)
		}
	}
}
