package daemon

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// maxDepth of objects and lists in each other; daemon.json has 4 at most.
const maxDepth = 32

// A Config is what a daemon.json sets.
type Config map[string]Value

// ParseConfig reads a daemon.json. An empty one sets nothing. What dockerd
// would refuse is an error: a value of the wrong type, a comment. So is a key
// that stands there twice, of which dockerd silently takes the last, and a
// byte order mark, which older ones refuse. Messages hold
// no values, which may be secrets.
func ParseConfig(raw []byte) (Config, error) {
	if bytes.HasPrefix(raw, []byte("\xef\xbb\xbf")) {
		return nil, errors.New("it begins with a byte order mark, which not every dockerd reads: save it as UTF-8 without one")
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		return Config{}, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	if err := onlyOnce(decoder, "", 0); err != nil {
		return nil, located(raw, decoder, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, located(raw, decoder, errors.New("there is more behind the object: take it out"))
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(raw, &keys); err != nil || keys == nil {
		return nil, errors.New("it is not an object in braces: mend it")
	}
	config := Config{}
	for key, text := range keys {
		value, err := valueOf(key, text)
		if err != nil {
			return nil, err
		}
		config[key] = value
	}
	return config, nil
}

// onlyOnce reads a value and wants each key of an object in it once.
func onlyOnce(decoder *json.Decoder, at string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s is nested more than %d deep: mend it", at, maxDepth)
	}
	token, err := decoder.Token()
	if err != nil {
		return notJSON(err)
	}
	opened, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	seen := map[string]bool{}
	for decoder.More() {
		inside := at
		if opened == '{' {
			key, err := decoder.Token()
			if err != nil {
				return notJSON(err)
			}
			name, _ := key.(string)
			if seen[name] {
				return fmt.Errorf("%q stands there twice: take one out", name)
			}
			seen[name], inside = true, name
		}
		if err := onlyOnce(decoder, inside, depth+1); err != nil {
			return err
		}
	}
	if _, err := decoder.Token(); err != nil {
		return notJSON(err)
	}
	return nil
}

// notJSON keeps to itself what the library quotes from the file.
func notJSON(error) error {
	return errors.New("it is not JSON, and dockerd would not start with it: mend it (dockerd --validate says where)")
}

// located puts the line before a message.
func located(raw []byte, decoder *json.Decoder, err error) error {
	before := raw[:min(int(decoder.InputOffset()), len(raw))]
	return fmt.Errorf("line %d: %w", 1+bytes.Count(before, []byte("\n")), err)
}

// valueOf reads what stands behind a key. A key that is not known is kept as
// Any: another version of dockerd may know it.
func valueOf(key string, text json.RawMessage) (Value, error) {
	spec, known := Lookup(key)
	if !known || spec.Name != key {
		return Value{"(set)"}, nil
	}
	if bytes.Equal(bytes.TrimSpace(text), []byte("null")) {
		return nil, fmt.Errorf("%s is null: give it a value or take it out", key)
	}
	var err error
	var value Value
	switch spec.Kind {
	case Bool:
		var on bool
		err = json.Unmarshal(text, &on)
		value = Truth(on)
	case Number:
		var number json.Number
		err = json.Unmarshal(text, &number)
		if _, whole := strconv.ParseInt(number.String(), 10, 64); err == nil && (whole != nil || text[0] == '"') {
			err = errors.New("no whole number")
		}
		value = Value{number.String()}
	case Text:
		var one string
		err = json.Unmarshal(text, &one)
		value = Value{one}
	case List:
		value = Value{}
		err = json.Unmarshal(text, (*[]string)(&value))
	case Map:
		var byKey map[string]string
		err = json.Unmarshal(text, &byKey)
		value = fromMap(byKey)
	case Any:
		value = Value{"(set)"}
	}
	if err != nil {
		return nil, fmt.Errorf("%s is not %s, and dockerd would not start with it: mend it", key, kindNames[spec.Kind])
	}
	return value, nil
}

var kindNames = map[Kind]string{
	Text: "a text in quotes", Number: "a whole number", Bool: "true or false",
	List: "a list of texts", Map: "an object of texts in quotes", Any: "a value",
}
