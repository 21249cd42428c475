package ucp

import (
	"errors"
	"fmt"
)

// The keys of content trust, as the UCP configuration guide names them.
const (
	trustTable = "trust_configuration"
	requireKey = "require_content_trust"
	fromKey    = "require_signature_from"
)

// Config is the part of a UCP configuration that is about content trust, and
// what DISA's text of V-235847 names beside it.
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
	parsed, err := ParseDocument(doc)
	if err != nil {
		return Config{}, err
	}
	return parsed.Config()
}

// Config is what the document says of content trust, and beside it.
func (d Document) Config() (Config, error) {
	var config Config
	var errs [4]error
	config.RequireContentTrust, config.HasRequireContentTrust, errs[0] = Lookup[bool](d, trustTable+"."+requireKey)
	config.RequireSignatureFrom, errs[1] = d.strings(trustTable + "." + fromKey)
	config.AuthBackend, _, errs[2] = Lookup[string](d, "auth.backend")
	config.AuditLevel, _, errs[3] = Lookup[string](d, "audit_log_configuration.level")
	if err := errors.Join(errs[:]...); err != nil {
		return Config{}, err
	}
	return config, nil
}
