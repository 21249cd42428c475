package documents

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/host/ucp"
)

// ucpConfig is ucp-config.toml, as UCP exports and imports it.
type ucpConfig struct{ client *ucp.Client }

// Read exports it.
func (d ucpConfig) Read(ctx context.Context) ([]byte, error) { return d.client.ConfigTOML(ctx) }

// Same compares what the two say, and not how: UCP lays out anew.
func (ucpConfig) Same(a, b []byte) bool {
	differs, err := ucp.Differences(a, b)
	return err == nil && len(differs) == 0
}

// Edit splices the settings of content trust, and knows no others.
func (ucpConfig) Edit(doc []byte, settings []change.Setting) ([]byte, error) {
	var require bool
	var from []string
	for _, s := range settings {
		var err error
		switch s.Pointer {
		case change.RequireContentTrust:
			err = json.Unmarshal(s.Value, &require)
		case change.RequireSignatureFrom:
			err = json.Unmarshal(s.Value, &from)
		default:
			err = errors.New("it cannot be set yet: set it in UCP")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Pointer, err)
		}
	}
	if !require {
		return nil, errors.New("content trust is only ever turned on: please report this")
	}
	return ucp.SetTrust(doc, from)
}

// Put uploads it and reads it back whole, whatever UCP answered: only what it
// holds afterwards counts.
func (d ucpConfig) Put(ctx context.Context, before, after []byte) error {
	putErr := d.client.PutConfigTOML(ctx, after)
	now, err := d.client.ConfigTOML(ctx)
	if err != nil {
		return fmt.Errorf("uploaded, but UCP's state is unknown because it cannot be read back: %w", errors.Join(putErr, err))
	}
	differs, err := ucp.Differences(after, now)
	switch {
	case err != nil:
		return fmt.Errorf("uploaded, but what UCP holds now does not parse: %w", errors.Join(putErr, err))
	case len(differs) == 0:
		return nil
	case string(now) == string(before):
		return state("UCP", now, before, putErr)
	}
	return fmt.Errorf("UCP holds something else than was uploaded, in %s: compare it with your own copy and put right what is missing: %w",
		strings.Join(differs, ", "), errors.Join(putErr, errors.New("the configuration is not the one that was meant")))
}
