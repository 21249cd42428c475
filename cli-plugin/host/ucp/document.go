package ucp

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// A Document is a whole configuration, of which single keys are asked.
type Document struct{ tables map[string]any }

// ParseDocument reads a whole document, so that no part of it is broken
// unnoticed.
func ParseDocument(doc []byte) (Document, error) {
	tables, err := decode(doc)
	return Document{tables}, err
}

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

// knownTables are some that the configuration guide names. An export has at least
// one of them.
var knownTables = []string{
	"auth", "audit_log_configuration", "scheduling_configuration", "tracking_configuration",
	trustTable, "log_configuration", "license_configuration", "cluster_config",
}

// isExport reports whether the document has anything of a configuration in it.
// An empty answer is TOML too, and would make defaults of all keys.
func (d Document) isExport() bool {
	return slices.ContainsFunc(knownTables, func(name string) bool { return d.tables[name] != nil })
}

// sectionOf finds a table by its path. What stands in its place, or on the way
// to it, and is no table is an error.
func sectionOf(tables map[string]any, path []string) (section map[string]any, found bool, err error) {
	section = tables
	for i, key := range path {
		inner, there := section[key]
		if !there {
			return nil, false, nil
		}
		table, ok := inner.(map[string]any)
		if !ok {
			return nil, false, fmt.Errorf("%s in the UCP configuration is no table: correct it in UCP", strings.Join(path[:i+1], "."))
		}
		section = table
	}
	return section, true, nil
}

// HasTable reports whether the document has a table of this name, such as
// "auth.sessions".
func (d Document) HasTable(path string) bool {
	_, found, err := sectionOf(d.tables, strings.Split(path, "."))
	return found && err == nil
}

// Lookup finds a key by its path, such as "auth.sessions.per_user_limit". A
// value of another type is an error that does not repeat it.
func Lookup[T bool | int64 | string | []any](d Document, path string) (value T, found bool, err error) {
	keys := strings.Split(path, ".")
	section, found, err := sectionOf(d.tables, keys[:len(keys)-1])
	if err != nil || !found {
		return value, false, err
	}
	raw, found := section[keys[len(keys)-1]]
	if !found {
		return value, false, nil
	}
	value, ok := raw.(T)
	if !ok {
		return value, false, fmt.Errorf("%s in the UCP configuration is no %s: correct it in UCP", path, typeName(value))
	}
	return value, true, nil
}

// typeName is how a person calls a type of TOML.
func typeName(value any) string {
	switch value.(type) {
	case bool:
		return "bool"
	case int64:
		return "whole number"
	case string:
		return "string"
	default:
		return "list"
	}
}

// strings finds a list of strings; nil if the key is absent.
func (d Document) strings(path string) ([]string, error) {
	list, found, err := Lookup[[]any](d, path)
	if err != nil || !found {
		return nil, err
	}
	out := make([]string, 0, len(list))
	for _, entry := range list {
		text, ok := entry.(string)
		if !ok {
			return nil, fmt.Errorf("%s in the UCP configuration has an entry that is no string: correct it in UCP", path)
		}
		out = append(out, text)
	}
	return out, nil
}
