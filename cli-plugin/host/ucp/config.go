package ucp

import (
	"errors"
	"fmt"

	"github.com/pelletier/go-toml/v2"
)

// The keys that requirements judge, as the UCP configuration guide names them.
const (
	trustTable = "trust_configuration"
	requireKey = "require_content_trust"
	fromKey    = "require_signature_from"
)

// Config is the judged part of a UCP configuration.
type Config struct {
	RequireContentTrust    bool     // false too if the key is absent, as UCP has it
	HasRequireContentTrust bool     // whether the key is there
	RequireSignatureFrom   []string // org/team; nil if the key is absent
	AuthBackend            string   // "managed" or "ldap"; empty if absent, which is managed
	AuditLevel             string   // "metadata" or "request"; empty or absent is off
}

// A ParseError says where a document is no TOML. It repeats none of it: the
// document may hold secrets.
type ParseError struct {
	Line, Column int // from 1; 0 if unknown
}

// Error gives the place and what to do.
func (e *ParseError) Error() string {
	return fmt.Sprintf("the UCP configuration is no valid TOML at line %d, column %d: export it again, or correct that line", e.Line, e.Column)
}

// ParseConfig reads the judged part of a configuration. A judged key of
// another type than the documented one is an error, never a value.
func ParseConfig(doc []byte) (Config, error) {
	all, err := decode(doc)
	if err != nil {
		return Config{}, err
	}
	var config Config
	var errs [4]error
	config.RequireContentTrust, config.HasRequireContentTrust, errs[0] = lookup[bool](all, trustTable, requireKey)
	config.RequireSignatureFrom, errs[1] = lookupStrings(all, trustTable, fromKey)
	config.AuthBackend, _, errs[2] = lookup[string](all, "auth", "backend")
	config.AuditLevel, _, errs[3] = lookup[string](all, "audit_log_configuration", "level")
	if err := errors.Join(errs[:]...); err != nil {
		return Config{}, err
	}
	return config, nil
}

// decode parses a whole document, so that no part of it is broken unnoticed.
func decode(doc []byte) (map[string]any, error) {
	if len(doc) > maxConfig {
		return nil, fmt.Errorf("the UCP configuration is longer than %d bytes: this is not what UCP exports", maxConfig)
	}
	var all map[string]any
	err := toml.Unmarshal(doc, &all)
	if err == nil {
		return all, nil
	}
	var failed *toml.DecodeError
	if errors.As(err, &failed) {
		line, column := failed.Position()
		return nil, &ParseError{Line: line, Column: column}
	}
	return nil, &ParseError{}
}

// lookup finds a key of a table at the top of the document.
func lookup[T any](all map[string]any, table, key string) (value T, found bool, err error) {
	section, found := all[table]
	if !found {
		return value, false, nil
	}
	keys, ok := section.(map[string]any)
	if !ok {
		return value, false, fmt.Errorf("%s in the UCP configuration is no table: correct it in UCP", table)
	}
	raw, found := keys[key]
	if !found {
		return value, false, nil
	}
	value, ok = raw.(T)
	if !ok {
		return value, false, fmt.Errorf("%s.%s in the UCP configuration is no %T: correct it in UCP", table, key, value)
	}
	return value, true, nil
}

func lookupStrings(all map[string]any, table, key string) ([]string, error) {
	list, found, err := lookup[[]any](all, table, key)
	if err != nil || !found {
		return nil, err
	}
	out := make([]string, 0, len(list))
	for _, entry := range list {
		text, ok := entry.(string)
		if !ok {
			return nil, fmt.Errorf("%s.%s in the UCP configuration has an entry that is no string: correct it in UCP", table, key)
		}
		out = append(out, text)
	}
	return out, nil
}
