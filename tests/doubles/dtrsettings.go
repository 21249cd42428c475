package doubles

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"reflect"
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

// Settings are those that the double holds.
func (d *DTR) Settings() map[string]any {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.settings)
}

// Posts counts the changes of settings that took effect.
func (d *DTR) Posts() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.posts
}

// post lays settings over those that there are, as the guide's commands have it
// done. A setting that the double does not know, or of another type, is
// refused.
func (d *DTR) post(w http.ResponseWriter, r *http.Request, account Account) {
	if !account.Admin {
		writeError(w, http.StatusForbidden, "NOT_AUTHORIZED", "this account is no administrator of the double")
		return
	}
	var sent map[string]any
	if err := json.NewDecoder(io.LimitReader(r.Body, maxUpload)).Decode(&sent); err != nil || !d.known(sent) {
		writeError(w, http.StatusBadRequest, "INVALID_JSON", "the double cannot read these settings")
		return
	}
	switch fault := d.fault(r.URL.Path, dtrToken); fault { //nolint:exhaustive // the others are none of settings
	case PutFails:
		writeError(w, http.StatusInternalServerError, "INTERNAL_ERROR", "the double did not take the settings")
		return
	case PutIgnored:
	default:
		d.keep(sent)
		if fault == PutTakesEffectThen500 {
			writeError(w, http.StatusInternalServerError, "INTERNAL_ERROR", "the double took the settings and says it did not")
			return
		}
	}
	w.WriteHeader(http.StatusAccepted)
}

func (d *DTR) known(sent map[string]any) bool {
	settings := d.Settings()
	for name, value := range sent {
		if had, ok := settings[name]; !ok || reflect.TypeOf(had) != reflect.TypeOf(value) {
			return false
		}
	}
	return true
}

func (d *DTR) keep(sent map[string]any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.Copy(d.settings, sent)
	d.posts++
}

// administrators answers those with a document.
func (d *DTR) administrators(document func() map[string]any) func(http.ResponseWriter, *http.Request, Account) {
	return func(w http.ResponseWriter, _ *http.Request, account Account) {
		if !account.Admin {
			writeError(w, http.StatusForbidden, "NOT_AUTHORIZED", "this account is no administrator of the double")
			return
		}
		writeJSON(w, http.StatusOK, document())
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
