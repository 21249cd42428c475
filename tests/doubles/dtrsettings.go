package doubles

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// DefaultSettings are DTR's as the guide wants them, and others beside them,
// CanarySecret in one.
func DefaultSettings() map[string]any {
	return map[string]any{
		"dtrHost": "dtr.example.com", "createRepositoryOnPush": false, "reportAnalytics": false, "anonymizeAnalytics": true,
		"scanningEnabled": true, "scanningSyncOnline": true, "httpsProxy": "https://proxy:" + CanarySecret + "@proxy.example.com",
		"webTLSKey": CanarySecret, "replicaID": "5f2a0c7e91bd",
	}
}

// DefaultScanStatus is that of a scanner whose database is up to date, with
// the fields as DISA's text writes them.
func DefaultScanStatus() map[string]any {
	return map[string]any{
		"state": 0, "scannerVersion": 3, "dbVersion": 279, "dbUpdatedAt": "2024-07-24T12:00:00Z",
		"lastDBUpdateFailed": false, "lastVulnOverridesDBUpdateFailed": false, "replicas": map[string]any{"5f2a0c7e91bd": map[string]any{"replica_id": CanarySecret}},
	}
}

// DefaultAccess is what the teams of DefaultTeams may do.
func DefaultAccess() map[string]map[string]string {
	return map[string]map[string]string{
		"ops/release": {"prod/web": "read-write", "prod/empty": "admin"},
		"ops/web":     {"prod/web": "read-only"},
	}
}

// over lays values over others; nil takes one away.
func over(base, values map[string]any) map[string]any {
	maps.Copy(base, values)
	maps.DeleteFunc(base, func(_ string, value any) bool { return value == nil })
	return base
}

// administrators answers those with a document.
func (d *DTR) administrators(document map[string]any) func(http.ResponseWriter, *http.Request, Account) {
	return func(w http.ResponseWriter, _ *http.Request, account Account) {
		if !account.Admin {
			writeError(w, http.StatusForbidden, "NOT_AUTHORIZED", "this account is no administrator of the double")
			return
		}
		writeJSON(w, http.StatusOK, document)
	}
}

// teamAccess lists what a team may do, in the order of repositories.
func (d *DTR) teamAccess(w http.ResponseWriter, r *http.Request, account Account) {
	team := r.PathValue("org") + "/" + r.PathValue("team")
	access, ok := d.access[team]
	if !ok || !account.Admin {
		writeError(w, http.StatusNotFound, "NO_SUCH_TEAM", "the double has no such team for this account")
		return
	}
	entries := []any{}
	for _, repository := range slices.Sorted(maps.Keys(access)) {
		namespace, name, _ := strings.Cut(repository, "/")
		entries = append(entries, map[string]any{
			"accessLevel": access[repository],
			"repository":  map[string]any{"id": id(namespace, name), "namespace": namespace, "name": name, "visibility": "private"},
		})
	}
	if page, ok := d.page(w, r, entries); ok {
		writeJSON(w, http.StatusOK, map[string]any{
			"team": map[string]any{"id": id(team), "clientUserIsMember": false}, "repositoryAccessList": page,
		})
	}
}
