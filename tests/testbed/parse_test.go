package testbed

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestUsableDir(t *testing.T) {
	t.Parallel()
	long := "/tmp/" + strings.Repeat("x", maxSocketPath-len(longestSocket)-len("/tmp/"))
	for _, test := range []struct{ dir, wantErr string }{
		{dir: "/tmp/tb"},
		{dir: long},
		{dir: long + "x", wantErr: "too long"},
		{dir: "/tmp/a b", wantErr: "misread"},
		{dir: "/tmp/a:b", wantErr: "misread"},
		{dir: "/tmp/a'b", wantErr: "misread"},
		{dir: "/run/tb", wantErr: "lies in /run"},
		{dir: "/run", wantErr: "lies in /run"},
		{dir: "/running/tb"},
		{dir: "/etc/docker/tb", wantErr: "lies in /etc/docker"},
	} {
		err := usableDir(test.dir)
		if test.wantErr == "" && err != nil {
			t.Errorf("%s: %v", test.dir, err)
		}
		if test.wantErr != "" && (err == nil || !strings.Contains(err.Error(), test.wantErr)) {
			t.Errorf("%s: got %v, want %q in it", test.dir, err, test.wantErr)
		}
	}
}

func TestPrepareDirRefuses(t *testing.T) {
	t.Parallel()
	if _, err := Up(t.Context(), Options{}); err == nil {
		t.Error("no folder was taken for one")
	}
	dir := shortDir(t)
	if err := replaceFile(filepath.Dir(dir)+"/notes.txt", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := prepareDir(filepath.Dir(dir)); err == nil || !strings.Contains(err.Error(), "notes.txt") {
		t.Errorf("a folder with a file in it: %v", err)
	}
}

func TestParseStat(t *testing.T) {
	t.Parallel()
	line := "42 (a) R 1) S 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 200"
	got, err := parseStat(line)
	if err != nil || got != (procStat{state: "S", parent: 7, start: 98765}) {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := parseStat("42 (sh) S 7"); err == nil {
		t.Error("a short line was taken")
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add("42 (a) R 1) S 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 200")
	f.Add(")")
	f.Add("")
	f.Fuzz(func(t *testing.T, line string) {
		if got, err := parseStat(line); err == nil && got.state == "" {
			t.Errorf("%q has no state and no error", line)
		}
	})
}

func TestMountPoints(t *testing.T) {
	t.Parallel()
	got := mountPoints("22 1 254:0 / / rw - ext4 /dev/vda rw\n23 22 0:5 / /tmp/tb/data rw shared:2 - tmpfs x rw\nshort\n")
	if diff := cmp.Diff([]string{"/", "/tmp/tb/data"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseContainers(t *testing.T) {
	t.Parallel()
	got, err := parseContainers([]byte(`[
		{"Id": "a1", "Name": "/one", "Image": "sha256:1", "Config": {"Image": "app:1"},
		 "State": {"Status": "created", "StartedAt": "0001-01-01T00:00:00Z"}},
		{"Id": "b2", "Name": "/two", "Image": "sha256:2", "Config": {"Image": "app:2"},
		 "State": {"Status": "running", "StartedAt": "2026-01-02T03:04:05.5Z"}}]`))
	want := []Container{
		{ID: "a1", Name: "one", Image: "app:1", ImageID: "sha256:1", State: "created"},
		{
			ID: "b2", Name: "two", Image: "app:2", ImageID: "sha256:2", State: "running",
			Started: time.Date(2026, 1, 2, 3, 4, 5, 5e8, time.UTC),
		},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if _, err := parseContainers([]byte("<html>")); err == nil {
		t.Error("no JSON was taken")
	}
}

func FuzzParseContainers(f *testing.F) {
	f.Add([]byte(`[{"Id": "a1", "State": {"Status": "created"}}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, err := parseContainers(data); err != nil && got != nil {
			t.Errorf("%q gives both %v and %v", data, got, err)
		}
	})
}

func TestReference(t *testing.T) {
	t.Parallel()
	tb := &Testbed{registry: 20000}
	for name, want := range map[string]string{
		"app:1":                                 "localhost:20000/app:1",
		"team/app":                              "localhost:20000/team/app:latest",
		"localhost:20000/app:2":                 "localhost:20000/app:2",
		"App:1":                                 "",
		"":                                      "",
		"app@sha256:" + strings.Repeat("0", 64): "",
	} {
		ref, err := tb.reference(name)
		if (err == nil) != (want != "") || err == nil && ref.String() != want {
			t.Errorf("%q: got %v, %v, want %q", name, ref, err, want)
		}
	}
}

func TestSettingsYieldToDaemonJSON(t *testing.T) {
	t.Parallel()
	for _, engine := range []Engine{Docker, Moby} {
		keys := map[string]bool{}
		for _, s := range (&Testbed{dir: "/tmp/tb", engine: engine}).settings() {
			if keys[s.key] || !strings.HasPrefix(s.flag, "--") {
				t.Errorf("%s: setting %+v", engine, s)
			}
			keys[s.key] = true
		}
	}
	if _, err := parseDaemonJSON([]byte(`["a"]`)); err == nil {
		t.Error("a daemon.json that is no object was taken")
	}
}

func TestPackagesCoverPrograms(t *testing.T) {
	t.Parallel()
	for _, n := range needed {
		if !slices.Contains(Packages(), n.pkg) {
			t.Errorf("packages.txt lacks %s, which has %s", n.pkg, n.program)
		}
	}
	err := &MissingError{[]string{"dockerd (package docker.io)"}}
	if !strings.Contains(err.Error(), "dockerd") || !strings.Contains(err.Error(), "apt-get install") {
		t.Errorf("the error does not say what to do: %v", err)
	}
}

func TestFreePorts(t *testing.T) {
	t.Parallel()
	ports, err := freePorts(20)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(ports)
	if len(slices.Compact(ports)) != 20 || ports[0] < firstPort || ports[len(ports)-1] > lastPort {
		t.Errorf("ports %v", ports)
	}
}

func TestParseEngine(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]Engine{"": Docker, "docker": Docker, "moby": Moby, "podman": ""} {
		got, err := ParseEngine(name)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v", name, got, err)
		}
	}
}
