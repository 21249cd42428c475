package doubles

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// A Grant of the double. Role and Object are IDs of UCP or paths of
// collections: "scheduler", "/Shared". The double makes up the ID of what is
// not built in.
type Grant struct {
	Subject string // "alice", "ops", "ops/web"
	Role    string
	Object  string
	Unnamed bool // the double does not tell who the subject is
}

// DefaultGrants are those of a fresh cluster, and a team's.
func DefaultGrants() []Grant {
	return []Grant{
		{Subject: "docker-datacenter", Role: "scheduler", Object: "/Shared"},
		{Subject: "ops/web", Role: "restrictedcontrol", Object: "/Shared/Web"},
		{Subject: "system:serviceaccount:kube-system:tiller", Role: "fullcontrol", Object: "kubernetesnamespaces"},
	}
}

// DefaultTeams are an organization with two teams and one, UCP's own, with
// none.
func DefaultTeams() map[string][]string {
	return map[string][]string{"ops/release": {"alice", "bob"}, "ops/web": {"carol"}, "docker-datacenter": nil}
}

// builtIn are the IDs of UCP that are names, too.
var builtIn = map[string]string{
	"none": "None", "viewonly": "View Only", "restrictedcontrol": "Restricted Control", "scheduler": "Scheduler", "fullcontrol": "Full Control",
	"/": "swarm", "/Shared": "shared", "/System": "system", "kubernetesnamespaces": "kubernetesnamespaces",
}

func (u *UCP) lists(mux *http.ServeMux) {
	mux.HandleFunc("GET /collectionGrants", u.admins(u.listGrants))
	mux.HandleFunc("GET /roles", u.admins(u.listRoles))
	mux.HandleFunc("GET /collections", u.admins(u.listCollections))
	mux.HandleFunc("GET /accounts", u.admins(u.listAccounts))
	mux.HandleFunc("GET /accounts/{name}", u.accountDetails)
	mux.HandleFunc("GET /accounts/{org}/teams", u.admins(u.listTeams))
	mux.HandleFunc("GET /accounts/{org}/teams/{team}/members", u.admins(u.listMembers))
}

func (u *UCP) listGrants(w http.ResponseWriter, r *http.Request) {
	var grants, subjects []any
	for _, g := range u.grants {
		subject, object := id("subject", g.Subject), cmp.Or(builtIn[g.Object], id("collection", g.Object))
		if strings.HasPrefix(g.Subject, "system:") {
			subject = g.Subject
		}
		grants = append(grants, map[string]any{"subjectID": subject, "roleID": g.roleID(), "objectID": object})
		if g.Unnamed || subject == g.Subject {
			continue
		}
		org, team, _ := strings.Cut(g.Subject, "/")
		described := map[string]any{"id": subject, "subject_type": "account", "account": map[string]any{"id": id("subject", org), "name": org}}
		if team != "" {
			described["subject_type"], described["team"] = "team", map[string]any{"id": subject, "orgID": id("subject", org), "name": team}
		}
		subjects = append(subjects, described)
	}
	page, ok := u.page(w, r, grants)
	if ok {
		writeJSON(w, http.StatusOK, map[string]any{"grants": page, "subjects": subjects})
	}
}

// roleID is a built-in role's ID, or one made up for a custom role.
func (g Grant) roleID() string {
	if _, ok := builtIn[g.Role]; ok {
		return g.Role
	}
	return id("role", g.Role)
}

func (u *UCP) listRoles(w http.ResponseWriter, _ *http.Request) {
	roles := []any{}
	for _, role := range []string{"none", "viewonly", "restrictedcontrol", "scheduler", "fullcontrol"} {
		roles = append(roles, map[string]any{"id": role, "name": builtIn[role], "system_role": true})
	}
	for _, g := range u.grants {
		if _, ok := builtIn[g.Role]; !ok {
			roles = append(roles, map[string]any{"id": g.roleID(), "name": g.Role, "system_role": false})
		}
	}
	writeJSON(w, http.StatusOK, roles)
}

func (u *UCP) listCollections(w http.ResponseWriter, r *http.Request) {
	var collections []any
	paths := []string{"/", "/Shared", "/System"}
	for _, g := range u.grants {
		if strings.HasPrefix(g.Object, "/") && !slices.Contains(paths, g.Object) {
			paths = append(paths, g.Object)
		}
	}
	for _, path := range paths {
		collections = append(collections, map[string]any{"id": cmp.Or(builtIn[path], id("collection", path)), "path": path, "name": path[strings.LastIndexByte(path, '/')+1:]})
	}
	if page, ok := u.page(w, r, collections); ok {
		writeJSON(w, http.StatusOK, page)
	}
}

func (u *UCP) listAccounts(w http.ResponseWriter, r *http.Request) {
	orgs := map[string]bool{}
	for name := range u.teams {
		org, _, _ := strings.Cut(name, "/")
		orgs[org] = true
	}
	var accounts []any
	for _, org := range slices.Sorted(maps.Keys(orgs)) {
		accounts = append(accounts, map[string]any{"id": id("subject", org), "name": org, "isOrg": true})
	}
	if page, ok := u.page(w, r, accounts); ok {
		writeJSON(w, http.StatusOK, map[string]any{"accounts": page, "usersCount": len(u.common.Accounts), "orgsCount": len(accounts)})
	}
}

// accountDetails tells everybody of himself, and an administrator of all.
func (u *UCP) accountDetails(w http.ResponseWriter, r *http.Request) {
	asking, ok := u.bearer(r)
	name := r.PathValue("name")
	at := slices.IndexFunc(u.common.Accounts, func(a Account) bool { return a.Username == name })
	switch {
	case !ok:
		writeError(w, http.StatusUnauthorized, "UNAUTHORIZED", "the double does not know this token")
	case name != asking.Username && !asking.Admin:
		writeError(w, http.StatusForbidden, "NOT_AUTHORIZED", "this account may not ask about others")
	case at < 0:
		writeError(w, http.StatusNotFound, "NO_SUCH_ACCOUNT", "the double has no such account")
	default:
		writeJSON(w, http.StatusOK, map[string]any{"id": id("subject", name), "name": name, "isOrg": false, "isAdmin": u.common.Accounts[at].Admin})
	}
}

func (u *UCP) listTeams(w http.ResponseWriter, r *http.Request) {
	var teams []any
	for _, name := range slices.Sorted(maps.Keys(u.teams)) {
		if org, team, ok := strings.Cut(name, "/"); ok && org == r.PathValue("org") {
			teams = append(teams, map[string]any{"id": id("subject", name), "orgID": id("subject", org), "name": team, "description": "", "membersCount": len(u.teams[name])})
		}
	}
	if page, ok := u.page(w, r, teams); ok {
		writeJSON(w, http.StatusOK, map[string]any{"teams": page})
	}
}

func (u *UCP) listMembers(w http.ResponseWriter, r *http.Request) {
	members, ok := u.teams[r.PathValue("org")+"/"+r.PathValue("team")]
	if !ok {
		writeError(w, http.StatusNotFound, "NO_SUCH_TEAM", "the double has no such team")
		return
	}
	var entries []any
	for _, name := range members {
		entries = append(entries, map[string]any{"member": map[string]any{"id": id("subject", name), "name": name, "isOrg": false}, "isAdmin": false, "isPublic": true})
	}
	if page, ok := u.page(w, r, entries); ok {
		writeJSON(w, http.StatusOK, map[string]any{"members": page})
	}
}

// page cuts the page that limit and start ask for out of a list, and names the
// next.
func (u *UCP) page(w http.ResponseWriter, r *http.Request, entries []any) ([]any, bool) {
	limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
	if err != nil || limit <= 0 {
		limit = defaultPageSize
	}
	begin := 0
	if at := r.URL.Query().Get("start"); at != "" {
		if _, err := fmt.Sscanf(at, "entry-%d", &begin); err != nil || begin < 0 || begin > len(entries) {
			writeError(w, http.StatusBadRequest, "INVALID_PARAMETERS", "the double knows no such page")
			return nil, false
		}
	}
	end := min(begin+limit, len(entries))
	fault := u.fault(r.URL.Path, ucpLogin)
	switch {
	case fault == PagingLoop:
		w.Header().Set("X-Next-Page-Start", fmt.Sprintf("entry-%d", len(entries)))
	case end < len(entries) && fault != NoNextPage:
		w.Header().Set("X-Next-Page-Start", fmt.Sprintf("entry-%d", end))
	}
	return append([]any{}, entries[begin:end]...), true
}
