package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// encode writes the index as json.MarshalIndent would, entry by entry: a
// reader compares it as it comes, and holds none of it.
func (x *index) encode(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "{\n  \"schemaVersion\": %d,\n  \"minVersion\": %q", x.SchemaVersion, x.MinVersion); err != nil {
		return err
	}
	if err := encodeList(w, "  ", "repositories", x.Repositories, encodeRepository); err != nil {
		return err
	}
	if err := encodeList(w, "  ", "manifests", x.Manifests, encodePlain); err != nil {
		return err
	}
	if err := encodeList(w, "  ", "images", x.Images, encodePlain); err != nil {
		return err
	}
	if len(x.Blobs) > 0 {
		if err := encodeList(w, "  ", "blobs", x.Blobs, encodePlain); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, "\n}\n")
	return err
}

// encodeList writes a member that is a list, and the comma before it.
func encodeList[T any](w io.Writer, indent, name string, list []T, element func(io.Writer, string, *T) error) error {
	if _, err := fmt.Fprintf(w, ",\n%s%q: [", indent, name); err != nil {
		return err
	}
	deeper := indent + "  "
	before, end := "\n"+deeper, "]"
	for i := range list {
		if _, err := io.WriteString(w, before); err != nil {
			return err
		}
		if err := element(w, deeper, &list[i]); err != nil {
			return err
		}
		before, end = ",\n"+deeper, "\n"+indent+"]"
	}
	_, err := io.WriteString(w, end)
	return err
}

func encodePlain[T any](w io.Writer, indent string, v *T) error {
	raw, err := json.MarshalIndent(v, indent, "  ")
	if err != nil {
		return err
	}
	_, err = w.Write(raw)
	return err
}

func encodeRepository(w io.Writer, indent string, r *repository) error {
	deeper := indent + "  "
	if _, err := fmt.Fprintf(w, "{\n%s\"gun\": %q", deeper, r.GUN); err != nil {
		return err
	}
	if err := encodeList(w, deeper, "roots", r.Roots, encodePlain); err != nil {
		return err
	}
	if err := encodeList(w, deeper, "roles", r.Roles, encodePlain); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n"+indent+"}")
	return err
}

// errDiffers says that an index is not the one that its bundle would be given.
var errDiffers = errors.New("it does not describe the bundle")

// compare holds the index against what stands in the bundle.
func (x *index) compare(raw []byte) error {
	c := comparison{rest: raw, line: 1}
	err := x.encode(&c)
	if err == nil && len(c.rest) > 0 {
		err = errDiffers
	}
	if errors.Is(err, errDiffers) {
		return fmt.Errorf("%s does not describe the bundle, from line %d on: %s", indexName, c.line, exportAgain)
	}
	return err
}

// A comparison is written to for as long as it reads the same.
type comparison struct {
	rest []byte
	line int // at which rest begins
}

func (c *comparison) Write(p []byte) (int, error) {
	same := 0
	for same < min(len(p), len(c.rest)) && p[same] == c.rest[same] {
		same++
	}
	c.line += bytes.Count(p[:same], []byte("\n"))
	c.rest = c.rest[same:]
	if same < len(p) {
		return same, errDiffers
	}
	return same, nil
}
