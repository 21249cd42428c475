package change

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docker-stig/docker-stig/cli-plugin/change/disk"
	"github.com/docker-stig/docker-stig/cli-plugin/host/daemon"
	"github.com/docker-stig/docker-stig/shared/stig"
)

const config = "/etc/docker/daemon.json"

func option(pointer, value string, rule stig.ID) Change {
	c := RemoveOption(config, pointer, rule)
	if value != "" {
		c.Option.Value, c.Disruption = json.RawMessage(value), disruptionOf(pointer)
	}
	return c
}

func owner(path, user, mode string, rule stig.ID) Change {
	return Change{Serves: []stig.ID{rule}, Disruption: None, Owner: &Owner{Path: path, User: user, Mode: mode}}
}

func TestContradictions(t *testing.T) {
	t.Parallel()
	dtr, err := SetSetting(DTRSettings, "DTR", "/createRepositoryOnPush", true, "A")
	if err != nil {
		t.Fatal(err)
	}
	file := Change{Serves: []stig.ID{"A"}, File: &File{Path: "/f", Content: "x"}}
	other := Change{Serves: []stig.ID{"B"}, File: &File{Path: "/f", Content: "y"}}
	lines := Change{Serves: []stig.ID{"B"}, Lines: &Lines{Path: "/f", Add: []string{"x"}}}
	for name, test := range map[string]struct {
		changes []Change
		want    string // of one contradiction; "": there is none
		rules   []stig.ID
	}{
		"one value":             {[]Change{option("/debug", "false", "A"), option("/debug", " false", "B")}, "", nil},
		"two values":            {[]Change{option("/debug", "false", "A"), option("/debug", "true", "B")}, "/debug of " + config + " is to be false, and true", []stig.ID{"A", "B"}},
		"set and taken out":     {[]Change{option("/debug", "false", "B"), option("/debug", "", "A")}, "false, and gone", []stig.ID{"A", "B"}},
		"one inside of another": {[]Change{option("/log-opts", "{}", "A"), option("/log-opts/max-size", `"1m"`, "B")}, "inside of each other", []stig.ID{"A", "B"}},
		"neighbours":            {[]Change{option("/log-opts/max-file", `"3"`, "A"), option("/log-opts/max-size", `"1m"`, "B")}, "", nil},
		"a name that begins so": {[]Change{option("/tls", "true", "A"), option("/tlsverify", "true", "B")}, "", nil},
		"owner and mode":        {[]Change{owner("/f", "root", "", "A"), owner("/f", "", "0644", "B")}, "", nil},
		"two modes":             {[]Change{owner("/f", "", "0600", "A"), owner("/f", "", "0644", "B")}, "the mode of /f is to be 0600, and 0644", []stig.ID{"A", "B"}},
		"two contents":          {[]Change{file, other}, "the whole of /f", []stig.ID{"A", "B"}},
		"content and lines":     {[]Change{file, lines}, "the whole of /f", []stig.ID{"A", "B"}},
		"content and owner":     {[]Change{file, owner("/f", "root", "", "B")}, "", nil},
		"repositories on push":  {[]Change{dtr}, "createRepositoryOnPush", []stig.ID{"A"}},
		"volumes of UCP":        {[]Change{owner("/var/lib/docker/volumes/ucp-node-certs/_data/ca.pem", "root", "", "A")}, "volumes of UCP", []stig.ID{"A"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found := Contradictions(test.changes)
			if test.want == "" {
				if len(found) > 0 {
					t.Errorf("got %+v", found)
				}
				return
			}
			if len(found) != 1 || !strings.Contains(found[0].What, test.want) || !cmp.Equal(found[0].Rules, test.rules) {
				t.Errorf("got %+v, want %q of %v", found, test.want, test.rules)
			}
		})
	}
}

func TestEngineRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		config, flags string
		changes       []Change
		want          string
		rules         []stig.ID
	}{
		"good":             {config: `{"log-opts":{"max-size":"1m"}}`},
		"local rotates":    {config: `{"log-driver":"local","log-opts":{"max-file":"2"}}`},
		"syslog does not":  {`{"log-driver":"syslog","log-opts":{"max-size":"1m"}}`, "", []Change{option("/log-driver", `"syslog"`, "A"), option("/log-opts/max-size", `"1m"`, "B"), option("/debug", "true", "C")}, "log-opts max-size", []stig.ID{"A", "B"}},
		"syslog by a flag": {`{"log-opts":{"max-size":"1m"}}`, "--log-driver=syslog", []Change{option("/log-opts/max-size", `"1m"`, "B")}, "with syslog", []stig.ID{"B"}},
		"hosts beside -H":  {`{"hosts":["unix:///x"]}`, "-H fd://", []Change{option("/hosts", `["unix:///x"]`, "A"), option("/debug", "true", "C")}, "hosts: set both", []stig.ID{"A"}},
		"so before":        {`{"hosts":["unix:///x"]}`, "-H fd://", []Change{option("/debug", "true", "C")}, "hosts: set both", nil},
		"no daemon.json":   {`[]`, "", nil, "not an object", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, refused := EngineRefuses([]byte(test.config), daemon.ParseFlags(strings.Fields(test.flags)), test.changes)
			if refused != (test.want != "") || !strings.Contains(got.What, test.want) || !cmp.Equal(got.Rules, test.rules) {
				t.Errorf("got %t, %+v, want %q of %v", refused, got, test.want, test.rules)
			}
		})
	}
}

func TestApplyTo(t *testing.T) {
	t.Parallel()
	absent := disk.State{}
	there := func(text string) disk.State { return disk.State{Mode: 0o600, UID: 7}.With([]byte(text)) }
	for name, test := range map[string]struct {
		change Change
		before disk.State
		want   disk.State
		err    string
	}{
		"a daemon.json is begun":    {option("/debug", "false", "A"), absent, disk.State{Mode: 0o644}.With([]byte("{\n  \"debug\": false\n}\n")), ""},
		"it keeps owner and mode":   {option("/debug", "false", "A"), there(`{"x":{"y":1}}`), there(`{"debug": false, "x":{"y":1}}`), ""},
		"nothing to do":             {option("/debug", "", "A"), there(`{"x": 1}`), there(`{"x": 1}`), ""},
		"nothing to take out":       {option("/debug", "", "A"), absent, absent, ""},
		"a byte order mark":         {option("/debug", "false", "A"), there("\xef\xbb\xbf{}"), absent, "byte order mark"},
		"a comment":                 {option("/debug", "false", "A"), there("{} // ours"), absent, "more behind the object"},
		"a key twice":               {option("/debug", "false", "A"), there(`{"x":{"a":1,"a":2}}`), absent, "twice"},
		"a key that dockerd lacks":  {option("/debugging", "false", "A"), absent, absent, "knows no key"},
		"a value of the wrong type": {option("/debug", `"no"`, "A"), absent, absent, "after the change"},
		"mode":                      {owner("/f", "", "0444", "A"), there("x"), disk.State{Mode: 0o444, UID: 7}.With([]byte("x")), ""},
		"owner by number":           {owner("/f", "0", "", "A"), there("x"), disk.State{Mode: 0o600}.With([]byte("x")), ""},
		"an owner nobody knows":     {owner("/f", "no such user", "", "A"), there("x"), absent, "knows no no such user"},
		"owner of nothing":          {owner("/f", "root", "", "A"), absent, absent, "not there"},
		"lines": {
			Change{Lines: &Lines{Path: "/f", Add: []string{"-w /a", "-w /b"}}}, there(" -w /b\n-w /c"), there(" -w /b\n-w /c\n-w /a\n"), "",
		},
		"removed": {Change{File: &File{Path: "/f", Remove: true}}, there("x"), absent, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := test.change.ApplyTo(test.before)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("got %v, want %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	ids := []stig.ID{"A"}
	for name, c := range map[string]Change{
		"of no kind":     {Serves: ids, Disruption: None},
		"of two kinds":   {Serves: ids, Disruption: None, Owner: &Owner{}, Lines: &Lines{}},
		"serves nobody":  {Disruption: None, Owner: &Owner{}},
		"no disruption":  {Serves: ids, Owner: &Owner{}},
		"not UTF-8":      {Serves: ids, Disruption: None, File: &File{Content: "\xff"}},
		"not taken back": {Serves: ids, Disruption: None, Publish: &Publish{}},
		"no way back":    {Serves: ids, Disruption: None, Program: &Program{Argv: []string{"true"}}},
		"no way to see":  {Serves: ids, Disruption: None, Program: &Program{Argv: []string{"true"}, Undo: []string{"true"}}},
	} {
		if c.Check() == nil {
			t.Errorf("%s: it passes", name)
		}
	}
	limit, err := SetLimit("abc", "web", "Memory", 0, 1<<20, "A")
	if err != nil || limit.Check() != nil || limit.Irrevocable == "" {
		t.Errorf("got %+v, %v", limit, err)
	}
	if limit, err = SetLimit("abc", "web", "PidsLimit", 0, 100, "A"); err != nil || limit.Irrevocable != "" {
		t.Errorf("got %+v, %v", limit, err)
	}
	if !Restart.Beyond(Reload) || Worst(Reload, None, Restart) != Restart || Worst() != None {
		t.Error("disruptions are out of order")
	}
}

// FuzzOption wants an edit of daemon.json to leave all other keys as they were.
func FuzzOption(f *testing.F) {
	f.Add([]byte(`{"labels":["a=b"],"log-opts":{"tag":"x"}}`), "/log-opts/max-size", `"10m"`)
	f.Add([]byte("{\r\n\t\"debug\" : true}\r\n"), "/debug", "false")
	f.Add([]byte(""), "/userland-proxy", "false")
	f.Fuzz(func(t *testing.T, raw []byte, pointer, value string) {
		got, err := option(pointer, value, "A").ApplyTo(disk.State{}.With(raw))
		if err != nil {
			return
		}
		before, err := daemon.ParseConfig(raw)
		if err != nil {
			t.Fatalf("%q was edited: %v", raw, err)
		}
		after, err := daemon.ParseConfig(got.Bytes)
		if err != nil {
			t.Fatalf("%q became %q: %v", raw, got.Bytes, err)
		}
		key, _, _ := strings.Cut(strings.TrimPrefix(pointer, "/"), "/")
		delete(before, key)
		delete(after, key)
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("%q became %q:\n%s", raw, got.Bytes, diff)
		}
	})
}
