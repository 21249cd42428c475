package documents

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/change/jsonedit"
	"github.com/docker-stig/docker-stig/cli-plugin/host/dtr"
)

// dtrSettings are those of DTR's settings that requirements are about, as JSON.
// The others hold secrets, and are neither kept nor sent.
type dtrSettings struct {
	client *dtr.Client
	talk   func(string)
}

// Read asks for them.
func (d dtrSettings) Read(ctx context.Context) ([]byte, error) {
	settings, err := d.client.ReadSettings(ctx)
	if err != nil {
		return nil, err
	}
	return json.MarshalIndent(settings, "", "  ")
}

// Edit sets those that DTR has told of.
func (dtrSettings) Edit(doc []byte, settings []change.Setting) ([]byte, error) {
	for _, s := range settings {
		switch had, err := jsonedit.Get(doc, s.Pointer); {
		case err != nil:
			return nil, err
		case had == nil:
			return nil, fmt.Errorf("%s: DTR does not tell this setting, so whether it takes it is unknown: set it in DTR's web console", s.Pointer)
		}
	}
	after, err := editJSON(doc, settings)
	if err != nil {
		return nil, err
	}
	_, err = parseSettings(after)
	return after, err
}

// parseSettings reads a document, which has no other members.
func parseSettings(doc []byte) (dtr.Settings, error) {
	var settings dtr.Settings
	decoder := json.NewDecoder(bytes.NewReader(doc))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&settings); err != nil {
		return dtr.Settings{}, fmt.Errorf("these are no settings of DTR: %w: please report this", err)
	}
	return settings, nil
}

// Same compares what the two say.
func (dtrSettings) Same(a, b []byte) bool { return jsonedit.Same(a, b) }

// Put sends the settings that change, and no others, and reads them back
// whatever DTR answered: only what it holds afterwards counts.
func (d dtrSettings) Put(ctx context.Context, before, after []byte) error {
	was, err := parseSettings(before)
	if err != nil {
		return err
	}
	wanted, err := parseSettings(after)
	if err != nil {
		return err
	}
	putErr := d.client.PostSettings(ctx, dtr.Settings{
		CreateRepositoryOnPush: changed(was.CreateRepositoryOnPush, wanted.CreateRepositoryOnPush),
		ReportAnalytics:        changed(was.ReportAnalytics, wanted.ReportAnalytics),
		ScanningEnabled:        changed(was.ScanningEnabled, wanted.ScanningEnabled),
	})
	now, err := d.Read(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("sent, but DTR's state is unknown because it cannot be read back: %w", errors.Join(putErr, err))
	case d.Same(now, after):
		despite(d.talk, "DTR", putErr)
		return nil
	}
	return state("DTR", d.Same(now, before), putErr)
}

// changed is the value that is wanted, nil where it is there already.
func changed(was, wanted *bool) *bool {
	if was != nil && wanted != nil && *was == *wanted {
		return nil
	}
	return wanted
}
