package site

import (
	"reflect"
	"strings"
	"testing"
)

// uncomment takes the marks away, as a person does who approves of all.
func uncomment(draft string) string {
	var lines []string
	for line := range strings.Lines(draft) {
		rest, ok := strings.CutPrefix(line, "# ")
		key, _, _ := strings.Cut(strings.TrimLeft(rest, " -"), ":")
		if ok && strings.Contains(rest, ":") && !strings.ContainsAny(key, " ,(") {
			lines = append(lines, rest)
		}
	}
	return strings.Join(lines, "")
}

// TestDraft: what is drafted says nothing; with its marks taken away it is a
// site.yaml.
func TestDraft(t *testing.T) {
	t.Parallel()
	draft := Draft(Seen{
		Host: "dkr01\nucp: {}", Edition: "Docker Engine - Community 29.2.0",
		Capabilities: []string{"SYS_TIME", "NET_ADMIN", "NET_ADMIN"}, Ports: []string{"web:443/tcp"}, Devices: []string{"/dev/fuse:rwm"},
		Ulimits: []string{"nofile=1024:2048"}, PlainNetworks: []string{"front: \"x\""}, Asked: []Asked{{"DKER-EE-002410", "Secrets are in the plan"}},
		Unseen: []string{"the swarm: no answer"},
	})
	quiet, err := Parse("site.yaml", []byte(draft))
	if err != nil || quiet.Answers != nil || quiet.Containers.Ports != nil || quiet.UCP.URL != "" {
		t.Errorf("a draft says something: %+v, %v", quiet, err)
	}
	text := strings.NewReplacer("YYYY-MM-DD", "2027-01-01", "dkr01 ucp: {}", "dkr01").Replace(uncomment(draft))
	approved, err := Parse("site.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if got := strings.Join(approved.Containers.Capabilities, " "); got != "NET_ADMIN SYS_TIME" {
		t.Errorf("capabilities %q", got)
	}
	if approved.Answers["DKER-EE-002410"].By != "NAME" || approved.Swarm.EncryptedByApplication[0] != `front: "x"` || approved.AssessedIn == nil || approved.DTR.Access["ORG/TEAM"] == nil || approved.UCP.Subject == "" || approved.Swarm.Secrets == nil || len(approved.Waivers) != 1 {
		t.Errorf("got %+v", approved)
	}
}

// TestDraftHasEveryKey that site.yaml can have, so that nobody has to guess.
func TestDraftHasEveryKey(t *testing.T) {
	t.Parallel()
	draft := Draft(Seen{Asked: []Asked{{"DKER-EE-002410", "x"}}})
	var keys func(of reflect.Type) []string
	keys = func(of reflect.Type) []string {
		for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice || of.Kind() == reflect.Map {
			of = of.Elem()
		}
		if of.Kind() != reflect.Struct {
			return nil
		}
		var found []string
		for field := range of.Fields() {
			if key, _, _ := strings.Cut(field.Tag.Get("yaml"), ","); key != "" {
				found = append(found, key)
			}
			if field.Tag.Get("yaml") != "" {
				found = append(found, keys(field.Type)...)
			}
		}
		return found
	}
	for _, key := range keys(reflect.TypeFor[Site]()) {
		if !strings.Contains(draft, key+":") {
			t.Errorf("the draft has no %s", key)
		}
	}
}
