package doubles

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
)

const (
	dtrToken        = "/auth/token"
	defaultPageSize = 10 // DTR's default for a request that names none
)

// A Repository of the double.
type Repository struct {
	Namespace string
	Name      string
	Private   bool // seen by administrators and by accounts that see its namespace
	Tags      []Tag
}

// A Tag of a Repository. The zero values are a tag that nobody signed.
type Tag struct {
	Name         string
	Digest       string // empty: made up from the names
	InNotary     bool
	HashMismatch bool
}

// DTROptions say what the double of DTR plays.
type DTROptions struct {
	ServerOptions
	Repositories []Repository // nil: DefaultRepositories
	MaxPageSize  int          // entries in a page, whatever is asked for; 0: 100
	// Settings and ScanStatus are laid over what DefaultSettings and
	// DefaultScanStatus say; a nil value takes a field away.
	Settings   map[string]any
	ScanStatus map[string]any
	// Access is what teams may do: ORG/TEAM to repository to level; nil:
	// DefaultAccess.
	Access map[string]map[string]string
}

// DefaultRepositories have a tag of each sort: signed, unsigned, and signed
// before other content was pushed under it.
func DefaultRepositories() []Repository {
	return []Repository{
		{Namespace: "admin", Name: "base", Tags: []Tag{{Name: "1.0", InNotary: true}, {Name: "1.1", InNotary: true}}},
		{Namespace: "carol", Name: "app", Private: true, Tags: []Tag{{Name: "dev"}}},
		{Namespace: "prod", Name: "empty"},
		{Namespace: "prod", Name: "web", Private: true, Tags: []Tag{
			{Name: "2.3", InNotary: true},
			{Name: "2.4", InNotary: true, HashMismatch: true},
			{Name: "latest"},
		}},
	}
}

// DTR is a double of DTR: GET /auth/token, /api/v0/repositories, their tags,
// what dtrsettings.go has, and of the account service behind it
// /enzi/v0/accounts/{name}.
type DTR struct {
	*server

	mu       sync.Mutex
	settings map[string]any
	posts    int // of settings, that took effect

	scanStatus   map[string]any
	access       map[string]map[string]string
	repositories []Repository
	maxPageSize  int
	fresh        atomic.Int64 // counts the names that RepeatedPage makes up
}

// NewDTR starts the double. It serves until Close, not until ctx ends.
func NewDTR(ctx context.Context, opts DTROptions) (*DTR, error) {
	double := &DTR{
		repositories: opts.Repositories, maxPageSize: opts.MaxPageSize, access: opts.Access,
		settings: over(DefaultSettings(), opts.Settings), scanStatus: over(DefaultScanStatus(), opts.ScanStatus),
	}
	if double.access == nil {
		double.access = DefaultAccess()
	}
	if double.repositories == nil {
		double.repositories = DefaultRepositories()
	}
	if double.maxPageSize <= 0 {
		double.maxPageSize = 100
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+dtrToken, double.token)
	mux.HandleFunc("GET /api/v0/repositories", double.signedIn(double.list))
	mux.HandleFunc("GET /api/v0/repositories/{namespace}/{name}/tags", double.signedIn(double.tags))
	mux.HandleFunc("GET /api/v0/meta/settings", double.signedIn(double.administrators(double.Settings)))
	mux.HandleFunc("POST /api/v0/meta/settings", double.signedIn(double.post))
	mux.HandleFunc("GET /api/v0/imagescan/status", double.signedIn(double.administrators(func() map[string]any { return double.scanStatus })))
	mux.HandleFunc("GET /api/v0/accounts/{org}/teams/{team}/repositoryAccess", double.signedIn(double.teamAccess))
	mux.HandleFunc("GET /enzi/v0/accounts/{name}", double.accountDetails)
	mux.HandleFunc("GET /_ping", func(http.ResponseWriter, *http.Request) {})
	var err error
	double.server, err = start(ctx, "DTR", dtrToken, opts.ServerOptions, mux)
	return double, err
}

func (d *DTR) token(w http.ResponseWriter, r *http.Request) {
	account, ok := d.basic(r)
	if !ok {
		writeError(w, http.StatusUnauthorized, "UNAUTHORIZED", "the double has no such account")
		return
	}
	word := d.issue(account)
	writeJSON(w, http.StatusOK, map[string]any{"token": word, "access_token": word, "expires_in": 300})
}

func (d *DTR) basic(r *http.Request) (Account, bool) {
	username, password, ok := r.BasicAuth()
	if !ok {
		return Account{}, false
	}
	return d.account(username, password)
}

func (d *DTR) signedIn(next func(http.ResponseWriter, *http.Request, Account)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		account, ok := d.bearer(r)
		if !ok {
			writeError(w, http.StatusUnauthorized, "UNAUTHORIZED", "the double does not know this token")
			return
		}
		next(w, r, account)
	}
}

// accountDetails takes a name and a password only, as the account service
// does. Another's account is for administrators.
func (d *DTR) accountDetails(w http.ResponseWriter, r *http.Request) {
	asking, ok := d.basic(r)
	if !ok {
		writeError(w, http.StatusUnauthorized, "UNAUTHORIZED", "the double has no such account")
		return
	}
	name := r.PathValue("name")
	if name != asking.Username && !asking.Admin {
		writeError(w, http.StatusForbidden, "NOT_AUTHORIZED", "this account may not ask about others")
		return
	}
	at := slices.IndexFunc(d.common.Accounts, func(a Account) bool { return a.Username == name })
	if at < 0 {
		writeError(w, http.StatusNotFound, "NO_SUCH_ACCOUNT", "the double has no such account")
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"name": name, "id": id("account", name), "fullName": "", "isOrg": false,
		"isActive": true, "isAdmin": d.common.Accounts[at].Admin, "isImported": false,
	})
}

func (a Account) sees(r Repository) bool {
	return a.Admin || !r.Private || slices.Contains(a.Sees, r.Namespace)
}

func (d *DTR) list(w http.ResponseWriter, r *http.Request, account Account) {
	var entries []any
	for _, repo := range d.repositories {
		if !account.sees(repo) {
			continue
		}
		visibility := "public"
		if repo.Private {
			visibility = "private"
		}
		entries = append(entries, map[string]any{
			"id": id(repo.Namespace, repo.Name), "namespace": repo.Namespace, "namespaceType": "organization",
			"name": repo.Name, "shortDescription": "a repository of a double", "visibility": visibility,
			"scanOnPush": false, "immutableTags": false, "enableManifestLists": false, "pulls": 0, "pushes": 0, "tagLimit": 0,
		})
	}
	if page, ok := d.page(w, r, entries); ok {
		writeJSON(w, http.StatusOK, map[string]any{"repositories": page})
	}
}

func (d *DTR) tags(w http.ResponseWriter, r *http.Request, account Account) {
	at := slices.IndexFunc(d.repositories, func(repo Repository) bool {
		return repo.Namespace == r.PathValue("namespace") && repo.Name == r.PathValue("name")
	})
	if at < 0 || !account.sees(d.repositories[at]) {
		writeError(w, http.StatusNotFound, "NO_SUCH_REPOSITORY", "the double has no such repository")
		return
	}
	repo := d.repositories[at]
	fault := d.fault(r.URL.Path, dtrToken)
	entries := make([]any, 0, len(repo.Tags))
	for _, tag := range repo.Tags {
		entries = append(entries, tagEntry(repo, tag, r.URL.Query().Get("domain") != "", fault))
	}
	if page, ok := d.page(w, r, entries); ok {
		writeJSON(w, http.StatusOK, page)
	}
}

// tagEntry is a tag as DTR prints it. Without the domain that images are
// named with, DTR cannot look a name up in Notary.
func tagEntry(repo Repository, tag Tag, domain bool, fault Fault) map[string]any {
	digest := tag.Digest
	if digest == "" {
		digest = "sha256:" + id(repo.Namespace, repo.Name, tag.Name)
	}
	entry := map[string]any{
		"name": tag.Name, "digest": digest, "author": id("account", repo.Namespace),
		"createdAt": "2024-07-24T12:00:00Z", "updatedAt": "2024-07-24T12:00:00Z",
		"inNotary": tag.InNotary && domain, "hashMismatch": tag.HashMismatch && domain,
		"manifest": map[string]any{"digest": digest, "os": "linux", "architecture": "amd64", "size": 1234},
	}
	if fault == MissingInNotary {
		delete(entry, "inNotary")
	}
	return entry
}

// page cuts the page that was asked for out of a list, and names the next.
func (d *DTR) page(w http.ResponseWriter, r *http.Request, entries []any) ([]any, bool) {
	size, err := strconv.Atoi(r.URL.Query().Get("pageSize"))
	if err != nil || size <= 0 {
		size = defaultPageSize
	}
	size = min(size, d.maxPageSize)

	fault := d.fault(r.URL.Path, dtrToken)
	begin := 0
	if at := r.URL.Query().Get("pageStart"); at != "" && fault != RepeatedPage {
		if _, err := fmt.Sscanf(at, "entry-%d", &begin); err != nil || begin < 0 || begin > len(entries) {
			writeError(w, http.StatusBadRequest, "INVALID_PARAMETERS", "the double knows no such page")
			return nil, false
		}
	}
	end := min(begin+size, len(entries))
	w.Header().Set("X-Resource-Count", strconv.Itoa(len(entries)))
	switch {
	case fault == RepeatedPage:
		w.Header().Set("X-Next-Page-Start", fmt.Sprintf("entry-%d", d.fresh.Add(1)))
	case fault == PagingLoop:
		w.Header().Set("X-Next-Page-Start", fmt.Sprintf("entry-%d", len(entries)))
	case end < len(entries) && fault != NoNextPage:
		w.Header().Set("X-Next-Page-Start", fmt.Sprintf("entry-%d", end))
	}
	return append([]any{}, entries[begin:end]...), true
}

// id makes up 64 hexadecimal digits from names, the same each time.
func id(names ...string) string {
	return fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, names)))
}
