package dtr

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/docker-stig/docker-stig/cli-plugin/host/mgmt"
)

const maxSettings = 4 << 20 // bytes; they hold certificates and a proxy's address

// Settings are the judged ones of DTR; nil is one that DTR does not tell.
// The others may hold secrets and are not kept.
type Settings struct {
	CreateRepositoryOnPush *bool `json:"createRepositoryOnPush,omitempty"`
	ReportAnalytics        *bool `json:"reportAnalytics,omitempty"`
	ScanningEnabled        *bool `json:"scanningEnabled,omitempty"`
}

var settingsPath = []string{"api", "v0", "meta", "settings"}

// Settings are read once for everybody who asks, and again after a change.
func (c *Client) Settings(ctx context.Context) (Settings, error) {
	return c.settings.Get(func() (Settings, error) { return c.ReadSettings(ctx) })
}

// ReadSettings asks for them now.
func (c *Client) ReadSettings(ctx context.Context) (Settings, error) {
	answer, err := c.session.Do(ctx, mgmt.Request{
		Method: http.MethodGet,
		Path:   settingsPath,
		Accept: "application/json",
		Limit:  maxSettings,
	})
	if err != nil {
		return Settings{}, err
	}
	var settings Settings
	err = answer.JSON(&settings)
	return settings, err
}

// PostSettings changes those that are not nil. DISA's text of V-235798 and
// V-235840 prints it so: a POST of the settings that change, alone. An error
// does not tell that DTR kept the old ones: read them again to know.
func (c *Client) PostSettings(ctx context.Context, changed Settings) error {
	body, err := json.Marshal(changed)
	if err != nil {
		return fmt.Errorf("preparing settings for DTR: %w", err)
	}
	defer c.settings.Forget()
	_, err = c.session.Do(ctx, mgmt.Request{
		Method: http.MethodPost,
		Path:   settingsPath,
		Body:   body,
		Type:   "application/json",
		Accept: "application/json",
		Limit:  maxSettings,
	})
	return err
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
