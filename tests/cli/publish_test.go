package cli

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust/trusttest"
	"github.com/opencontainers/go-digest"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/theupdateframework/notary/tuf/data"
)

// registry is the host of all repositories that publish signs. There is no
// such host: the policy says where its trust server is.
const registry = "registry.test"

// A trustServer is a Notary that begins with its first repository.
type trustServer struct {
	t            *testing.T
	notary       *trusttest.Notary
	repositories map[string]*trusttest.Repository
}

func (s *trustServer) start() *trusttest.Notary {
	if s.notary == nil {
		s.notary = trusttest.NewNotary(s.t)
		s.repositories = map[string]*trusttest.Repository{}
	}
	return s.notary
}

func (s *trustServer) repository(path string) *trusttest.Repository {
	notary := s.start()
	if s.repositories[path] == nil {
		s.repositories[path] = notary.NewRepository(s.t, data.GUN(registry+"/"+path))
	}
	return s.repositories[path]
}

// publish PATH [TAG[:SIGNER...]...] signs tags of the repository PATH, each by
// the repository key or by signers, and sets ROOT_KEY and ROOT_CERT to the IDs
// of its root. The digest of tag T is that of the text "PATH:T".
func publish(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: publish PATH [TAG[:SIGNER...]...]")
	}
	r := ts.Value(stageKey{}).(*stage).trust.repository(args[0])
	for _, text := range args[1:] {
		words := strings.Split(text, ":")
		roles := []data.RoleName{data.CanonicalTargetsRole}
		if len(words) > 1 {
			roles = []data.RoleName{delegated(r, "releases")}
			for _, signer := range words[1:] {
				roles = append(roles, delegated(r, signer))
			}
		}
		content := digest.FromString(args[0] + ":" + words[0])
		r.Sign(words[0], content, roles...)
		ts.Setenv("DIGEST", string(content))
	}
	r.Publish()
	ts.Setenv("ROOT_KEY", r.RootKeyID())
	ts.Setenv("ROOT_CERT", r.RootKey().ID())
}

// delegated is the role of a signer, who comes to be with the first tag.
func delegated(r *trusttest.Repository, signer string) data.RoleName {
	role := data.RoleName("targets/" + signer)
	if _, ok := r.TUF.Targets[role]; !ok {
		r.Delegate(role)
	}
	return role
}

// expire PATH ROLE DURATION publishes a role that is good for so long.
func expire(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: expire PATH ROLE DURATION")
	}
	lasts, err := time.ParseDuration(args[2])
	ts.Check(err)
	r := ts.Value(stageKey{}).(*stage).trust.repository(args[0])
	r.Expires[data.RoleName(args[1])] = time.Now().Add(lasts)
	r.Publish()
}

// silence makes the trust server answer nothing any more.
func silence(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Value(stageKey{}).(*stage).trust.start().Fault(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
	})
}

// policy FILE [PATH...] [KEY=JSON...] writes a policy that knows the trust
// server, pins the root keys of repositories, and says what else is given.
func writePolicy(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: policy FILE [PATH...]")
	}
	s := &ts.Value(stageKey{}).(*stage).trust
	notary := s.start()
	pins := map[string][]string{}
	text := map[string]any{
		"content-trust": map[string]any{"mode": "enforced", "trust-pinning": map[string]any{"root-keys": pins}},
		"notary": map[string]any{
			"servers": map[string][]string{registry: {notary.URL}},
			"ca":      map[string]string{registry: notary.CA},
		},
	}
	for _, arg := range args[1:] {
		if key, value, more := strings.Cut(arg, "="); more {
			text[key] = json.RawMessage(value)
			continue
		}
		pins[registry+"/"+arg] = []string{s.repository(arg).RootKeyID()}
	}
	raw, err := json.MarshalIndent(text, "", "  ")
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), append(raw, '\n'), 0o600))
}
