package access

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/docker/cli/cli/config/credentials"
)

// hubKey is what docker keeps the login for Docker Hub under.
const hubKey = "https://index.docker.io/v1/"

// An authFile is the content of a file of logins: the members of config.json
// in their order, those of "auths" apart. Values are untouched until they are
// asked for.
type authFile struct {
	rest  []member // all but auths
	auths []member
}

type member struct {
	name  string
	value json.RawMessage
}

// parseAuthFile reads the form. No error quotes the file: it holds secrets.
func parseAuthFile(name string, raw []byte) (*authFile, error) {
	var whole json.RawMessage
	if err := json.Unmarshal(raw, &whole); err != nil {
		return nil, syntaxError(name, raw, err)
	}
	top, err := members(whole)
	if err != nil {
		return nil, fmt.Errorf("%s: want an object as in docker's config.json: %w", name, err)
	}
	parsed := &authFile{}
	for _, m := range top {
		if m.name != "auths" {
			parsed.rest = append(parsed.rest, m)
			continue
		}
		if string(m.value) == "null" {
			continue
		}
		if parsed.auths, err = members(m.value); err != nil {
			return nil, fmt.Errorf("%s: auths: want an object with a member for each host: %w", name, err)
		}
	}
	return parsed, nil
}

func syntaxError(name string, raw []byte, err error) error {
	syntax := new(json.SyntaxError)
	if !errors.As(err, &syntax) {
		return fmt.Errorf("%s: want JSON as in docker's config.json", name)
	}
	before := raw[:min(max(int(syntax.Offset)-1, 0), len(raw))]
	line := 1 + bytes.Count(before, []byte("\n"))
	column := len(before) - bytes.LastIndexByte(before, '\n')
	return fmt.Errorf("%s:%d:%d: want JSON as in docker's config.json; mend the file, or move it away and log in again", name, line, column)
}

// members takes an object apart; its JSON is known to be well formed.
func members(object json.RawMessage) ([]member, error) {
	d := json.NewDecoder(bytes.NewReader(object))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return nil, errors.New("this is something else")
	}
	var found []member
	seen := map[string]bool{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, errors.New("a key cannot be read")
		}
		m := member{name: name.(string)} // the decoder gives nothing else before a colon
		if err := d.Decode(&m.value); err != nil {
			return nil, errors.New("a value cannot be read")
		}
		if seen[m.name] {
			return nil, fmt.Errorf("key %q stands there twice: keep one", m.name)
		}
		seen[m.name] = true
		found = append(found, m)
	}
	return found, nil
}

// keyOf is the key of a host, as docker login writes it.
func keyOf(host string) string {
	if host == "docker.io" {
		return hubKey
	}
	return host
}

// hostOf is the host that a key means. Old keys are addresses.
func hostOf(key string) string {
	host := credentials.ConvertToHostname(key)
	if host == "index.docker.io" || host == hub {
		return "docker.io"
	}
	return host
}

// login is that of the host's own key, else of the first that means it.
func (a *authFile) login(host string) (Login, error) {
	var found *member
	for i, m := range a.auths {
		if m.name == keyOf(host) {
			found = &a.auths[i]
			break
		}
		if found == nil && hostOf(m.name) == host {
			found = &a.auths[i]
		}
	}
	if found == nil {
		return Login{}, nil
	}
	login, err := decodeLogin(found.value)
	if err != nil {
		return Login{}, fmt.Errorf("auths: %q: %w; run: docker stig authz login %s", found.name, err, host)
	}
	return login, nil
}

// remove reports whether there was anything to remove.
func (a *authFile) remove(host string) bool {
	var others []member
	for _, m := range a.auths {
		if hostOf(m.name) != host && m.name != keyOf(host) {
			others = append(others, m)
		}
	}
	removed := len(others) < len(a.auths)
	a.auths = others
	return removed
}

// A storedLogin is a login as docker's config.json has it.
type storedLogin struct {
	Auth          string `json:"auth,omitempty"` // base64 of NAME:PASSWORD
	Username      string `json:"username,omitempty"`
	Password      string `json:"password,omitempty"`
	IdentityToken string `json:"identitytoken,omitempty"`
}

func decodeLogin(raw json.RawMessage) (Login, error) {
	var stored storedLogin
	if json.Unmarshal(raw, &stored) != nil {
		return Login{}, errors.New(`want {"auth": BASE64 OF NAME:PASSWORD}`)
	}
	login := Login{Username: stored.Username, Password: stored.Password, IdentityToken: stored.IdentityToken}
	if stored.Auth != "" {
		pair, err := base64.StdEncoding.DecodeString(stored.Auth)
		name, password, ok := strings.Cut(string(pair), ":")
		if err != nil || !ok || name == "" {
			return Login{}, errors.New(`the value of "auth" is not the base64 of NAME:PASSWORD`)
		}
		login.Username, login.Password = name, strings.Trim(password, "\x00") // docker has written such
	}
	if login.IdentityToken == "" && (login.Username == "" || login.Password == "") {
		return Login{}, errors.New("it is listed without name and password (this file knows no credential helpers)")
	}
	return login, nil
}

func encodeLogin(login Login) (json.RawMessage, error) {
	if login.IdentityToken == "" && (login.Username == "" || login.Password == "") {
		return nil, errors.New("want a name and a password, or an identity token")
	}
	if strings.Contains(login.Username, ":") {
		return nil, errors.New("a name cannot contain a colon (RFC 7617)")
	}
	if strings.ContainsFunc(login.Username+login.Password+login.IdentityToken, isControl) {
		return nil, errors.New("a login cannot contain control characters; is there a line break at its end?")
	}
	stored := storedLogin{IdentityToken: login.IdentityToken}
	if login.Username != "" {
		stored.Auth = base64.StdEncoding.EncodeToString([]byte(login.Username + ":" + login.Password))
	}
	return json.Marshal(stored)
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// encode writes the file as docker would, tabs and all.
func (a *authFile) encode() ([]byte, error) {
	auths, err := join(a.auths)
	if err != nil {
		return nil, err
	}
	flat, err := join(append([]member{{"auths", auths}}, a.rest...))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, flat, "", "\t"); err != nil {
		return nil, errors.New("writing the logins: they make no JSON")
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// join is the inverse of members.
func join(all []member) (json.RawMessage, error) {
	out := []byte{'{'}
	for i, m := range all {
		if i > 0 {
			out = append(out, ',')
		}
		name, err := json.Marshal(m.name)
		if err != nil {
			return nil, err
		}
		out = append(append(append(out, name...), ':'), m.value...)
	}
	return append(out, '}'), nil
}
