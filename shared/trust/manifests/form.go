package manifests

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Bounds that hold before anything is made of the document: four megabytes of
// "{}," would become a hundred times as much.
const (
	maxDepth  = 16                  // levels; manifests have five
	maxValues = 64 * maxDescriptors // in one document; a descriptor with a platform and annotations has 20
)

// A shape is an object whose members have a meaning: by name, the shape of
// the objects in it; nil where nothing below is read. encoding/json takes a
// member for another one of different case, which other readers do not, so
// such a name is refused. Elsewhere, in annotations, case tells keys apart.
type shape map[string]shape

var (
	platformShape = shape{
		"architecture": nil, "os": nil, "os.version": nil, "os.features": nil, "variant": nil, "features": nil,
	}
	descriptorShape = shape{
		"mediaType": nil, "digest": nil, "size": nil, "urls": nil, "annotations": nil, "data": nil,
		"artifactType": nil, "platform": platformShape,
	}
	documentShape = shape{
		"schemaVersion": nil, "mediaType": nil, "artifactType": nil, "annotations": nil, "fsLayers": nil,
		"config": descriptorShape, "layers": descriptorShape, "manifests": descriptorShape, "subject": descriptorShape,
	}
)

// checkForm wants one JSON object with no member twice in any object, no
// member that differs from a known one by case alone, and bounded nesting,
// descriptors and values. It returns the names of the object's members.
func checkForm(raw []byte) (map[string]bool, error) {
	if !utf8.Valid(raw) {
		return nil, errors.New("it is not UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if first, err := decoder.Token(); err != nil || first != json.Delim('{') {
		return nil, errors.Join(errors.New("it is no JSON object"), err)
	}
	f := form{decoder: decoder}
	members, err := f.object(documentShape, 1)
	if err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is data behind it")
	}
	return members, nil
}

// A form walks through JSON by its tokens.
type form struct {
	decoder *json.Decoder
	values  int // seen so far
}

func (f *form) object(s shape, depth int) (map[string]bool, error) {
	seen := map[string]bool{}
	for f.decoder.More() {
		token, err := f.decoder.Token()
		if err != nil {
			return nil, err
		}
		name, _ := token.(string) // an object's member always has a name
		if seen[name] {
			return nil, fmt.Errorf("member %.40q stands twice in one object", name)
		}
		seen[name] = true
		below, known := s[name]
		if twin := s.twin(name); !known && twin != "" {
			return nil, fmt.Errorf("its member %.40q would be taken for %q by some", name, twin)
		}
		if err := f.value(below, depth); err != nil {
			return nil, err
		}
	}
	_, err := f.decoder.Token()
	return seen, err
}

func (f *form) list(s shape, depth int) error {
	for n := 1; f.decoder.More(); n++ {
		if s != nil && n > maxDescriptors {
			return fmt.Errorf("a list in it has more than the %d descriptors that are read", maxDescriptors)
		}
		if err := f.value(s, depth); err != nil {
			return err
		}
	}
	_, err := f.decoder.Token()
	return err
}

func (f *form) value(s shape, depth int) error {
	token, err := f.decoder.Token()
	f.values++
	switch {
	case err != nil:
		return err
	case f.values > maxValues:
		return fmt.Errorf("it has more than the %d values that are read", maxValues)
	case depth >= maxDepth:
		return fmt.Errorf("it is nested deeper than %d levels", maxDepth)
	case token == json.Delim('{'):
		_, err := f.object(s, depth+1)
		return err
	case token == json.Delim('['):
		return f.list(s, depth+1)
	default:
		return nil
	}
}

// twin is the known member that a reader who ignores case would see in name.
func (s shape) twin(name string) string {
	for known := range s {
		if strings.EqualFold(known, name) {
			return known
		}
	}
	return ""
}
