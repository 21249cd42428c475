package testbed

import (
	"encoding/json"
	"fmt"
	"maps"
)

// WritePolicy writes the policy file: permissive, with the testbed's Notary
// server and its CA, and with each of sections in the place of the one of
// that name. Sections are those of the policy's first level.
func (tb *Testbed) WritePolicy(sections map[string]any) error {
	policy := map[string]any{
		"content-trust": map[string]any{"mode": "permissive"},
		"notary": map[string]any{
			"servers": map[string][]string{tb.Registry(): {tb.NotaryURL()}},
			"ca":      map[string]string{tb.Registry(): tb.CA()},
		},
		"engine": tb.host(),
	}
	maps.Copy(policy, sections)
	data, err := json.MarshalIndent(policy, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the policy: %w", err)
	}
	return replaceFile(tb.PolicyFile(), append(data, '\n'), 0o644)
}

// Pin writes a policy of that mode which trusts each of repositories by the
// root key that signed it here, and nothing else.
func (tb *Testbed) Pin(mode string, repositories ...string) error {
	keys := map[string][]string{}
	for _, name := range repositories {
		ref, err := tb.reference(name)
		if err != nil {
			return err
		}
		id, err := tb.RootKeyID(name)
		if err != nil {
			return err
		}
		keys[ref.Name()] = []string{id}
	}
	return tb.WritePolicy(map[string]any{"content-trust": map[string]any{
		"mode":          mode,
		"trust-pinning": map[string]any{"root-keys": keys},
	}})
}
