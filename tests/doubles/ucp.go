package doubles

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/pelletier/go-toml/v2"
)

// CanarySecret stands in the double's configuration. It must appear nowhere
// else.
const CanarySecret = "canary-4f9d2b7e-ucp-config"

const ucpLogin = "/auth/login"

// UCPOptions say what the double of UCP plays. The zero value is a cluster
// without content trust.
type UCPOptions struct {
	ServerOptions
	Config []byte              // the configuration; nil: DefaultConfig(false)
	Grants []Grant             // nil: DefaultGrants
	Teams  map[string][]string // members by ORG/TEAM; nil: DefaultTeams. An ORG alone has no teams
}

// UCP is a double of UCP: POST /auth/login, GET and PUT /api/ucp/config-toml,
// GET /_ping, and the lists in ucplists.go. It keeps the document it is given byte for byte; whether UCP
// does is not documented.
type UCP struct {
	*server

	grants []Grant
	teams  map[string][]string

	mu     sync.Mutex
	config []byte
	puts   int
}

// NewUCP starts the double. It serves until Close, not until ctx ends.
func NewUCP(ctx context.Context, opts UCPOptions) (*UCP, error) {
	double := &UCP{config: opts.Config, grants: opts.Grants, teams: opts.Teams}
	if double.config == nil {
		double.config = DefaultConfig(false)
	}
	if double.grants == nil {
		double.grants = DefaultGrants()
	}
	if double.teams == nil {
		double.teams = DefaultTeams()
	}
	mux := http.NewServeMux()
	double.lists(mux)
	mux.HandleFunc("POST "+ucpLogin, double.login)
	mux.HandleFunc("GET /api/ucp/config-toml", double.admins(double.export))
	mux.HandleFunc("PUT /api/ucp/config-toml", double.admins(double.upload))
	mux.HandleFunc("GET /_ping", func(http.ResponseWriter, *http.Request) {})
	var err error
	double.server, err = start(ctx, "UCP", ucpLogin, opts.ServerOptions, mux)
	return double, err
}

// Config is the document the double holds.
func (u *UCP) Config() []byte {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.config
}

// Puts counts the uploads that took effect.
func (u *UCP) Puts() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.puts
}

func (u *UCP) login(w http.ResponseWriter, r *http.Request) {
	var sent struct {
		Username string `json:"username"`
		Password string `json:"password"`
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, maxUpload)).Decode(&sent); err != nil {
		writeError(w, http.StatusBadRequest, "INVALID_JSON", "the double cannot read the login")
		return
	}
	account, ok := u.account(sent.Username, sent.Password)
	if !ok {
		writeError(w, http.StatusUnauthorized, "AUTHENTICATION_ERROR", "the double has no such account")
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"auth_token": u.issue(account)})
}

// admins lets administrators pass.
func (u *UCP) admins(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		account, ok := u.bearer(r)
		if !ok {
			writeError(w, http.StatusUnauthorized, "UNAUTHORIZED", "the double does not know this token")
			return
		}
		if !account.Admin {
			writeError(w, http.StatusForbidden, "NOT_AUTHORIZED", "this account is no administrator of the double")
			return
		}
		next(w, r)
	}
}

func (u *UCP) export(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/toml")
	_, _ = w.Write(u.Config()) // the client may be gone
}

func (u *UCP) upload(w http.ResponseWriter, r *http.Request) {
	doc, err := io.ReadAll(io.LimitReader(r.Body, maxUpload))
	var parsed map[string]any
	if err != nil || toml.Unmarshal(doc, &parsed) != nil {
		writeError(w, http.StatusBadRequest, "INVALID_CONFIG", "the double cannot parse this configuration")
		return
	}
	fault := u.fault(r.URL.Path, ucpLogin)
	if fault == PutFails {
		writeError(w, http.StatusInternalServerError, "INTERNAL_ERROR", "the double did not take the configuration")
		return
	}
	if fault != PutIgnored {
		u.keep(doc, fault)
	}
	if fault == PutTakesEffectThen500 {
		writeError(w, http.StatusInternalServerError, "INTERNAL_ERROR", "the double took the configuration and says it did not")
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"message": "the double took the configuration"})
}

// keep stores a document, or what a fault leaves of it.
func (u *UCP) keep(doc []byte, fault Fault) {
	lines := strings.SplitAfter(string(doc), "\n")
	ldap := false
	var kept strings.Builder
	for _, line := range lines {
		text := strings.TrimSpace(line)
		if strings.HasPrefix(text, "[") {
			ldap = strings.HasPrefix(text, "[auth.ldap") || strings.HasPrefix(text, "[[auth.ldap")
		}
		if fault == PutDropsLDAP && ldap || fault == PutDropsComments && strings.HasPrefix(text, "#") {
			continue
		}
		kept.WriteString(line)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.config = []byte(kept.String())
	u.puts++
}
