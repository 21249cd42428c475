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
type ucpConfig struct {
	client *ucp.Client
	talk   func(string)
}

// Read exports it.
func (d ucpConfig) Read(ctx context.Context) ([]byte, error) { return d.client.ConfigTOML(ctx) }

// Same compares what the two say, and not how: UCP lays out anew.
func (ucpConfig) Same(a, b []byte) bool {
	differs, err := ucp.Differences(a, b)
	return err == nil && len(differs) == 0
}

// Edit sets keys in the document's bytes.
func (ucpConfig) Edit(doc []byte, settings []change.Setting) ([]byte, error) {
	var wanted []ucp.Setting
	for _, s := range settings {
		value, err := tomlValue(s.Value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Pointer, err)
		}
		wanted = append(wanted, ucp.Setting{Path: pathOf(s.Pointer), Value: value})
	}
	return ucp.Set(doc, wanted...)
}

// pathOf splits a pointer as RFC 6901, 4 says.
func pathOf(pointer string) []string {
	path := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	for i := range path {
		path[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(path[i])
	}
	return path
}

// tomlValue reads the value of a plan, which is JSON.
func tomlValue(raw []byte) (any, error) {
	var flag bool
	var number int64
	var text string
	var list []string
	switch {
	case string(raw) == "null":
	case json.Unmarshal(raw, &flag) == nil:
		return flag, nil
	case json.Unmarshal(raw, &number) == nil:
		return number, nil
	case json.Unmarshal(raw, &text) == nil:
		return text, nil
	case json.Unmarshal(raw, &list) == nil:
		return list, nil
	}
	return nil, errors.New("want true or false, a whole number, a string or a list of strings: please report this")
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
		despite(d.talk, "UCP", putErr)
		return nil
	case d.Same(now, before):
		return state("UCP", true, putErr)
	}
	return fmt.Errorf("UCP holds something else than was uploaded, in %s: compare it with your own copy and put right what is missing: %w",
		strings.Join(differs, ", "), errors.Join(putErr, errors.New("the configuration is not the one that was meant")))
}
