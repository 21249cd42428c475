package enforce

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tailscale/hujson"
)

// pluginsKey is dockerd's name for its authorization plugins.
const pluginsKey = "authorization-plugins"

// addPlugin names the plugin in a daemon.json, behind the plugins it names,
// and leaves every other byte as it is. Without a file it begins one.
func addPlugin(raw []byte) ([]byte, error) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return []byte("{\n  \"" + pluginsKey + "\": [\"" + PluginName + "\"]\n}\n"), nil
	}
	object, err := daemonConfig(raw)
	if err != nil {
		return nil, err
	}
	at := find(object, pluginsKey)
	if at < 0 {
		return insertFirst(raw, object, pluginsKey, `["`+PluginName+`"]`), nil
	}
	list, ok := object.Members[at].Value.Value.(*hujson.Array)
	if !ok {
		return nil, fmt.Errorf("%s in daemon.json is no list: mend it", pluginsKey)
	}
	if element(list) >= 0 {
		return raw, nil
	}
	if len(list.Elements) == 0 {
		value := object.Members[at].Value
		return splice(raw, value.StartOffset, value.EndOffset, `["`+PluginName+`"]`), nil
	}
	end := list.Elements[len(list.Elements)-1].EndOffset
	return splice(raw, end, end, `, "`+PluginName+`"`), nil
}

// removePlugin takes the plugin's name out of a daemon.json that others have
// changed since, and the key with it if nothing else is in the list.
func removePlugin(raw []byte) ([]byte, error) {
	object, err := daemonConfig(raw)
	if err != nil {
		return nil, err
	}
	at := find(object, pluginsKey)
	if at < 0 {
		return raw, nil
	}
	list, ok := object.Members[at].Value.Value.(*hujson.Array)
	if !ok {
		return raw, nil
	}
	i := element(list)
	if i < 0 {
		return raw, nil
	}
	if len(list.Elements) == 1 {
		return removeMember(raw, object, at), nil
	}
	if i == 0 {
		return splice(raw, list.Elements[0].StartOffset, list.Elements[1].StartOffset, ""), nil
	}
	return splice(raw, list.Elements[i-1].EndOffset, list.Elements[i].EndOffset, ""), nil
}

// daemonConfig reads a daemon.json, which is plain JSON.
func daemonConfig(raw []byte) (*hujson.Object, error) {
	if !json.Valid(raw) {
		return nil, errors.New("daemon.json is not JSON, and the engine would not start with it: mend it first (dockerd --validate says where)")
	}
	object, err := parseObject(raw)
	if err != nil {
		return nil, fmt.Errorf("daemon.json: %w", err)
	}
	return object, nil
}

// parseObject reads an object whose keys stand once each.
func parseObject(raw []byte) (*hujson.Object, error) {
	tree, err := hujson.Parse(raw)
	if err != nil {
		return nil, err
	}
	object, ok := tree.Value.(*hujson.Object)
	if !ok {
		return nil, errors.New("want an object in braces")
	}
	seen := map[string]bool{}
	for _, member := range object.Members {
		if name := literal(member.Name); seen[name] {
			return nil, fmt.Errorf("%q stands there twice: take one out", name)
		}
		seen[literal(member.Name)] = true
	}
	return object, nil
}

func find(object *hujson.Object, key string) int {
	return slices.IndexFunc(object.Members, func(m hujson.ObjectMember) bool { return literal(m.Name) == key })
}

func element(list *hujson.Array) int {
	return slices.IndexFunc(list.Elements, func(v hujson.Value) bool { return literal(v) == PluginName })
}

func literal(v hujson.Value) string {
	text, ok := v.Value.(hujson.Literal)
	if !ok || text.Kind() != '"' {
		return ""
	}
	return text.String()
}

func splice(raw []byte, from, to int, text string) []byte {
	return slices.Concat(raw[:from], []byte(text), raw[to:])
}

// insertFirst writes a member before all others, in their style.
func insertFirst(raw []byte, object *hujson.Object, key, value string) []byte {
	member := `"` + key + `": ` + value
	open := bytes.IndexByte(raw, '{') + 1
	if len(object.Members) == 0 {
		return splice(raw, open, open, member)
	}
	first := object.Members[0].Name
	lead := leadOf(raw[:first.StartOffset], string(first.BeforeExtra))
	if len(bytes.TrimSpace(first.BeforeExtra)) == 0 {
		between := lead
		if lead == "" {
			between = " "
		}
		return splice(raw, first.StartOffset, first.StartOffset, member+","+between)
	}
	open = first.StartOffset - len(first.BeforeExtra) // the comment there is the first's
	return splice(raw, open, open, lead+member+",")
}

// leadOf is the end of line and the white space before a member in a line of
// its own.
func leadOf(before []byte, extra string) string {
	if !strings.Contains(extra, "\n") {
		return ""
	}
	line := before[bytes.LastIndexByte(before, '\n')+1:]
	eol := "\n"
	if strings.Contains(extra, "\r\n") {
		eol = "\r\n"
	}
	return eol + string(line[:len(line)-len(bytes.TrimLeft(line, " \t"))])
}

// removeMember takes out a member with one comma and the white space around.
func removeMember(raw []byte, object *hujson.Object, at int) []byte {
	member := object.Members[at]
	from := member.Name.StartOffset - len(member.Name.BeforeExtra)
	to := member.Value.EndOffset
	switch {
	case at+1 < len(object.Members): // the comma behind it goes
		next := object.Members[at+1].Name
		to = next.StartOffset - len(next.BeforeExtra)
		if len(bytes.TrimSpace(next.BeforeExtra)) == 0 { // no comment that would go too
			from, to = member.Name.StartOffset, next.StartOffset
		}
	case at > 0: // the comma before it goes
		from = object.Members[at-1].Value.EndOffset
	default:
		to += len(member.Value.AfterExtra)
	}
	return splice(raw, from, to, "")
}

// setMode writes the policy's mode.
func setMode(raw []byte, mode string) ([]byte, error) {
	object, err := parseObject(raw)
	if err != nil {
		return nil, fmt.Errorf("reading the policy: %w", err)
	}
	at := find(object, "content-trust")
	if at < 0 {
		return nil, errors.New("the policy has no content-trust")
	}
	trust, ok := object.Members[at].Value.Value.(*hujson.Object)
	if !ok {
		return nil, errors.New("content-trust in the policy is no object")
	}
	if at = find(trust, "mode"); at < 0 {
		return nil, errors.New("content-trust in the policy has no mode")
	}
	value := trust.Members[at].Value
	return splice(raw, value.StartOffset, value.EndOffset, `"`+mode+`"`), nil
}

// setEngine writes whom the plugin asks.
func setEngine(raw []byte, address string) ([]byte, error) {
	object, err := parseObject(raw)
	if err != nil {
		return nil, fmt.Errorf("reading the policy: %w", err)
	}
	at := find(object, "engine")
	if at < 0 {
		return insertFirst(raw, object, "engine", `"`+address+`"`), nil
	}
	value := object.Members[at].Value
	return splice(raw, value.StartOffset, value.EndOffset, `"`+address+`"`), nil
}

// removeEngine takes out what setEngine has put there.
func removeEngine(raw []byte) ([]byte, error) {
	object, err := parseObject(raw)
	if err != nil {
		return nil, fmt.Errorf("reading the policy: %w", err)
	}
	at := find(object, "engine")
	if at < 0 {
		return raw, nil
	}
	return removeMember(raw, object, at), nil
}
