package ucp

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docker-stig/docker-stig/cli-plugin/host/mgmt"
)

func TestNamesOf(t *testing.T) {
	t.Parallel()
	team := func(id, org, name string) subject {
		s := subject{ID: id}
		s.Team.OrgID, s.Team.Name = org, name
		return s
	}
	account := func(id, name string) subject {
		s := subject{ID: id}
		s.Account.ID, s.Account.Name = id, name
		return s
	}
	got := namesOf([]subject{account("1", "ops"), team("2", "1", "web"), team("3", "9", "lost"), account("4", "")})
	if diff := cmp.Diff(map[string]string{"1": "ops", "2": "ops/web", "4": ""}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestGrantIs: a plan may name each part or give its ID, and nothing else.
func TestGrantIs(t *testing.T) {
	t.Parallel()
	g := Grant{Subject: "ops/web", SubjectID: "s1", Role: "Full Control", RoleID: "fullcontrol", Collection: "/My Apps", CollectionID: "c1"}
	for _, text := range []string{"ops/web Full Control /My Apps", "s1 fullcontrol c1", " ops/web\tfullcontrol  /My Apps "} {
		if !g.Is(text) {
			t.Errorf("%q is not the grant", text)
		}
	}
	for _, text := range []string{"", "ops/web", "ops/web fullcontrol /", "ops/web full control /My Apps", "web fullcontrol c1"} {
		if g.Is(text) {
			t.Errorf("%q is the grant", text)
		}
	}
}

// answering is a client of a server that answers every list with a body.
func answering(t *testing.T, body string) *Client {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/auth/login" {
			_, _ = w.Write([]byte(`{"auth_token": "t"}`))
			return
		}
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := New(mgmt.Options{URL: server.URL, CAFile: ca, Username: "a", Password: "b"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// TestListsOfAnotherShape: what is not the documented shape is no list.
func TestListsOfAnotherShape(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`null`, `{}`, `[]`, `""`, `{"grants": null}`, `{"teams": [{}]}`, `{"members": [{"name": "x"}]}`, `{"accounts": [{"name": "x"}]}`} {
		client := answering(t, body)
		_, errOrgs := client.Organizations(t.Context())
		_, errTeams := client.Teams(t.Context(), "ops")
		_, errMembers := client.Members(t.Context(), "ops", "web")
		_, errGrants := client.Grants(t.Context())
		for _, err := range []error{errOrgs, errTeams, errMembers, errGrants, client.RequireAdmin(t.Context())} {
			if err == nil || !strings.Contains(err.Error(), "--ucp-") {
				t.Errorf("%s: error is %v, want one that says what to do", body, err)
			}
		}
	}
}

// FuzzGrants: whatever UCP answers, it is a list of whole grants or an error.
func FuzzGrants(f *testing.F) {
	f.Add(`{"grants": [{"subjectID": "a", "roleID": "b", "objectID": "c"}], "subjects": [{"id": "a", "account": {"name": "x"}}]}`)
	f.Add(`{"grants": [{}]}`)
	f.Add(`{"grants": 1}`)
	f.Fuzz(func(t *testing.T, body string) {
		grants, err := grantsOf(mgmt.Answer{Body: []byte(body)}, nil, nil)
		if err != nil && grants != nil {
			t.Error("an error came with grants")
		}
		if slices.ContainsFunc(grants, func(g Grant) bool { return g.Subject == "" || g.Role == "" || g.Collection == "" }) {
			t.Errorf("%q has a grant of nothing: %v", body, grants)
		}
	})
}
