package enforce

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/tailscale/hujson"

	"github.com/docker-stig/docker-stig/cli-plugin/change/jsonedit"
)

// pluginsKey is dockerd's name for its authorization plugins.
const pluginsKey = "authorization-plugins"

// addPlugin names the plugin in a daemon.json, behind the plugins it names,
// and leaves every other byte as it is. Without a file it begins one.
func addPlugin(raw []byte) ([]byte, error) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return []byte("{\n  \"" + pluginsKey + "\": [\"" + PluginName + "\"]\n}\n"), nil
	}
	tree, object, err := daemonConfig(raw)
	if err != nil {
		return nil, err
	}
	at := jsonedit.Find(object, pluginsKey)
	if at < 0 {
		return jsonedit.Insert(raw, tree, `"`+pluginsKey+`": ["`+PluginName+`"]`)
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
		return jsonedit.Splice(raw, value.StartOffset, value.EndOffset, `["`+PluginName+`"]`), nil
	}
	end := list.Elements[len(list.Elements)-1].EndOffset
	return jsonedit.Splice(raw, end, end, `, "`+PluginName+`"`), nil
}

// removePlugin takes the plugin's name out of a daemon.json that others have
// changed since, and the key with it if nothing else is in the list.
func removePlugin(raw []byte) ([]byte, error) {
	_, object, err := daemonConfig(raw)
	if err != nil {
		return nil, err
	}
	at := jsonedit.Find(object, pluginsKey)
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
		return jsonedit.RemoveMember(raw, object, at), nil
	}
	if i == 0 {
		return jsonedit.Splice(raw, list.Elements[0].StartOffset, list.Elements[1].StartOffset, ""), nil
	}
	return jsonedit.Splice(raw, list.Elements[i-1].EndOffset, list.Elements[i].EndOffset, ""), nil
}

// daemonConfig reads a daemon.json, which is plain JSON.
func daemonConfig(raw []byte) (hujson.Value, *hujson.Object, error) {
	if !json.Valid(raw) {
		return hujson.Value{}, nil, errors.New("daemon.json is not JSON, and the engine would not start with it: mend it first (dockerd --validate says where)")
	}
	tree, object, err := jsonedit.Parse(raw)
	if err != nil {
		return tree, nil, fmt.Errorf("daemon.json: %w", err)
	}
	return tree, object, nil
}

func element(list *hujson.Array) int {
	return slices.IndexFunc(list.Elements, func(v hujson.Value) bool { return jsonedit.Text(v) == PluginName })
}

// setMode writes the policy's mode.
func setMode(raw []byte, mode string) ([]byte, error) {
	_, object, err := jsonedit.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("reading the policy: %w", err)
	}
	at := jsonedit.Find(object, "content-trust")
	if at < 0 {
		return nil, errors.New("the policy has no content-trust")
	}
	trust, ok := object.Members[at].Value.Value.(*hujson.Object)
	if !ok {
		return nil, errors.New("content-trust in the policy is no object")
	}
	if at = jsonedit.Find(trust, "mode"); at < 0 {
		return nil, errors.New("content-trust in the policy has no mode")
	}
	value := trust.Members[at].Value
	return jsonedit.Splice(raw, value.StartOffset, value.EndOffset, `"`+mode+`"`), nil
}

// setEngine writes whom the plugin asks.
func setEngine(raw []byte, address string) ([]byte, error) {
	tree, object, err := jsonedit.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("reading the policy: %w", err)
	}
	at := jsonedit.Find(object, "engine")
	if at < 0 {
		return jsonedit.Insert(raw, tree, `"engine": "`+address+`"`)
	}
	value := object.Members[at].Value
	return jsonedit.Splice(raw, value.StartOffset, value.EndOffset, `"`+address+`"`), nil
}

// removeEngine takes out what setEngine has put there.
func removeEngine(raw []byte) ([]byte, error) {
	_, object, err := jsonedit.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("reading the policy: %w", err)
	}
	at := jsonedit.Find(object, "engine")
	if at < 0 {
		return raw, nil
	}
	return jsonedit.RemoveMember(raw, object, at), nil
}
