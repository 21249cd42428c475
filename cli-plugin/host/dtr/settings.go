package dtr

import (
	"context"
	"net/http"

	"github.com/docker-stig/docker-stig/cli-plugin/host/mgmt"
)

const maxSettings = 4 << 20 // bytes; they hold certificates and a proxy's address

// Settings are the judged ones of DTR; nil is one that DTR does not tell.
// The others may hold secrets and are not kept.
type Settings struct {
	CreateRepositoryOnPush *bool `json:"createRepositoryOnPush"`
	ReportAnalytics        *bool `json:"reportAnalytics"`
	ScanningEnabled        *bool `json:"scanningEnabled"`
}

// Settings reads them once.
func (c *Client) Settings(ctx context.Context) (Settings, error) {
	return c.settings.Get(func() (Settings, error) {
		answer, err := c.session.Do(ctx, mgmt.Request{
			Method: http.MethodGet,
			Path:   []string{"api", "v0", "meta", "settings"},
			Accept: "application/json",
			Limit:  maxSettings,
		})
		if err != nil {
			return Settings{}, err
		}
		var settings Settings
		err = answer.JSON(&settings)
		return settings, err
	})
}

// ScanStatus is the state of DTR's vulnerability database; nil is what DTR
// does not tell.
type ScanStatus struct {
	UpdateFailed    *bool // of the database
	OverridesFailed *bool // of the corrections to it
	Version         *int  // of the database; 0: there never was one
}

// ScanStatus asks the scanner. DISA's text writes its fields in camel case;
// public clients of DTR read them with underscores, so both are taken.
func (c *Client) ScanStatus(ctx context.Context) (ScanStatus, error) {
	answer, err := c.session.Do(ctx, mgmt.Request{
		Method: http.MethodGet,
		Path:   []string{"api", "v0", "imagescan", "status"},
		Accept: "application/json",
		Limit:  maxSettings,
	})
	if err != nil {
		return ScanStatus{}, err
	}
	var said struct {
		Update     *bool `json:"lastDBUpdateFailed"`
		Update2    *bool `json:"last_db_update_failed"`
		Overrides  *bool `json:"lastVulnOverridesDBUpdateFailed"`
		Overrides2 *bool `json:"last_vuln_overrides_db_update_failed"`
		Version    *int  `json:"dbVersion"`
		Version2   *int  `json:"db_version"`
	}
	if err := answer.JSON(&said); err != nil {
		return ScanStatus{}, err
	}
	if differ(said.Update, said.Update2) || differ(said.Overrides, said.Overrides2) || differ(said.Version, said.Version2) {
		return ScanStatus{}, answer.Malformed("a field stands in it in both spellings, with two values")
	}
	return ScanStatus{either(said.Update, said.Update2), either(said.Overrides, said.Overrides2), either(said.Version, said.Version2)}, nil
}

func differ[T comparable](a, b *T) bool { return a != nil && b != nil && *a != *b }

// either is the one that is there.
func either[T any](a, b *T) *T {
	if a != nil {
		return a
	}
	return b
}
