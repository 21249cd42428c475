package documents

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/host/dtr"
	"github.com/docker-stig/docker-stig/cli-plugin/host/mgmt"
	"github.com/docker-stig/docker-stig/cli-plugin/host/ucp"
	"github.com/docker-stig/docker-stig/tests/doubles"
)

// A server is a double whose document is changed.
type server struct {
	document Document
	holds    func() string // what the double holds
	fault    func(doubles.Fault)
	told     *[]string
	setting  change.Setting
	secrets  func() []string
}

func options(t *testing.T, url string, pem []byte) mgmt.Options {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem, 0o600); err != nil {
		t.Fatal(err)
	}
	account := doubles.DefaultAccounts()[0]
	return mgmt.Options{URL: url, CAFile: ca, Username: account.Username, Password: account.Password, Timeout: time.Minute}
}

func opened(t *testing.T, p Places, target string) Document {
	t.Helper()
	document, err := p.Open(target)
	if err != nil {
		t.Fatal(err)
	}
	return document
}

func startUCP(t *testing.T) server {
	t.Helper()
	double, err := doubles.NewUCP(t.Context(), doubles.UCPOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = double.Close() })
	client, err := ucp.New(options(t, double.URL(), double.CA()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	var told []string
	return server{
		document: opened(t, Places{UCP: client, Talk: func(text string) { told = append(told, text) }}, change.UCPConfig),
		holds:    func() string { return string(double.Config()) },
		fault:    func(f doubles.Fault) { double.SetFault(f) },
		told:     &told,
		setting:  change.Setting{Pointer: "/auth/sessions/lifetime_minutes", Value: []byte("10")},
		secrets:  func() []string { return append(double.Secrets(), doubles.CanarySecret) },
	}
}

func startDTR(t *testing.T) server {
	t.Helper()
	double, err := doubles.NewDTR(t.Context(), doubles.DTROptions{Settings: map[string]any{"createRepositoryOnPush": true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = double.Close() })
	client, err := dtr.New(dtr.Options{Options: options(t, double.URL(), double.CA())})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	var told []string
	return server{
		document: opened(t, Places{DTR: client, Talk: func(text string) { told = append(told, text) }}, change.DTRSettings),
		holds: func() string {
			raw, err := json.Marshal(double.Settings())
			if err != nil {
				t.Error(err)
			}
			return string(raw)
		},
		fault:   func(f doubles.Fault) { double.SetFault(f) },
		told:    &told,
		setting: change.Setting{Pointer: "/createRepositoryOnPush", Value: []byte("false")},
		secrets: func() []string { return append(double.Secrets(), doubles.CanarySecret) },
	}
}

// TestServersForthAndBack changes UCP and DTR, and takes it back.
func TestServersForthAndBack(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*testing.T) server{"UCP": startUCP, "DTR": startDTR} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			original := s.holds()
			before, after := s.edit(t)
			for _, way := range []struct{ from, to []byte }{{before, after}, {after, before}} {
				if err := s.document.Put(t.Context(), way.from, way.to); err != nil {
					t.Fatal(err)
				}
				if now, err := s.document.Read(t.Context()); err != nil || !s.document.Same(now, way.to) {
					t.Errorf("it is %s, want %s (%v)", now, way.to, err)
				}
			}
			if s.holds() != original || len(*s.told) > 0 {
				t.Errorf("it is not what it was; told %v", *s.told)
			}
		})
	}
}

func (s server) edit(t *testing.T) (before, after []byte) {
	t.Helper()
	before, err := s.document.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	after, err = s.document.Edit(before, []change.Setting{s.setting})
	if err != nil || s.document.Same(before, after) {
		t.Fatalf("%v", err)
	}
	return before, after
}

// TestServersFaults holds that whoever puts is told what a server holds then,
// whatever it answered.
func TestServersFaults(t *testing.T) {
	t.Parallel()
	for fault, test := range map[doubles.Fault]struct {
		kept  bool // the old settings are in force
		err   string
		hears string
	}{
		doubles.PutFails:              {true, "kept its old configuration, so nothing has changed: POST|PUT", ""},
		doubles.PutIgnored:            {true, "kept its old configuration, so nothing has changed: DTR|UCP answered that all went well", ""},
		doubles.PutTakesEffectThen500: {false, "", "answered with an error, and holds what was meant all the same"},
		doubles.ServerError:           {true, "state is unknown because it cannot be read back", ""},
	} {
		for name, start := range map[string]func(*testing.T) server{"UCP": startUCP, "DTR": startDTR} {
			t.Run(name+" "+string(fault), func(t *testing.T) {
				t.Parallel()
				s := start(t)
				original := s.holds()
				before, after := s.edit(t)
				s.fault(fault)
				err := s.document.Put(t.Context(), before, after)
				if !says(err, test.err) {
					t.Errorf("got %v, want %q", err, test.err)
				}
				if told := strings.Join(*s.told, "\n"); !strings.Contains(told, test.hears) || (told == "") != (test.hears == "") {
					t.Errorf("told %q, want %q", told, test.hears)
				}
				if kept := s.holds() == original; kept != test.kept {
					t.Errorf("the old settings are in force: %t, want %t", kept, test.kept)
				}
				for _, secret := range s.secrets() {
					if err != nil && strings.Contains(err.Error(), secret) || strings.Contains(strings.Join(*s.told, ""), secret) {
						t.Errorf("a secret is repeated: %v, %v", err, *s.told)
					}
				}
			})
		}
	}
}

// says reports whether an error says want, of which a word may be one of two:
// "POST|PUT". Without a want there is to be no error.
func says(err error, want string) bool {
	if err == nil || want == "" {
		return err == nil && want == ""
	}
	for _, pick := range []int{0, 1} {
		words := strings.Fields(want)
		for i, word := range words {
			if either := strings.Split(word, "|"); len(either) > 1 {
				words[i] = either[pick]
			}
		}
		if strings.Contains(err.Error(), strings.Join(words, " ")) {
			return true
		}
	}
	return false
}

// TestDTRKeepsNoSecret holds that what is kept of DTR's settings, and sent,
// are those that are judged.
func TestDTRKeepsNoSecret(t *testing.T) {
	t.Parallel()
	s := startDTR(t)
	doc, err := s.document.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const want = "{\n  \"createRepositoryOnPush\": true,\n  \"reportAnalytics\": false,\n  \"scanningEnabled\": true\n}"
	if diff := cmp.Diff(want, string(doc)); diff != "" {
		t.Error(diff)
	}
	for setting, want := range map[string]string{"/webTLSKey": "does not tell", "/createRepositoryOnPush/x": "mend it"} {
		if _, err := s.document.Edit(doc, []change.Setting{{Pointer: setting, Value: []byte("true")}}); !says(err, want) {
			t.Errorf("%s: %v", setting, err)
		}
	}
	if _, err := s.document.Edit(doc, []change.Setting{{Pointer: "/reportAnalytics", Value: []byte("1")}}); !says(err, "no settings of DTR") {
		t.Errorf("a number: %v", err)
	}
}

// TestUCPValues holds which values of a plan can be set.
func TestUCPValues(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"true": "b = true\n", "-3": "b = -3\n", `"x"`: "b = \"x\"\n", `["x", "y"]`: "b = [\"x\", \"y\"]\n", "[]": "b = []\n",
		"null": "", "1.5": "", "{}": "", "[1]": "", "1e99": "", "": "",
	} {
		got, err := ucpConfig{}.Edit([]byte("[a.'c/d']\n"), []change.Setting{{Pointer: "/a/c~1d/b", Value: []byte(value)}})
		if want == "" && (err == nil || !strings.Contains(err.Error(), "/a/c~1d/b: want true or false")) {
			t.Errorf("%q: %s, %v", value, got, err)
		}
		if want != "" && string(got) != "[a.'c/d']\n"+want {
			t.Errorf("%q: %q, %v", value, got, err)
		}
	}
}
