package bundle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
)

// versionForm is what a version number may look like: it is printed.
var versionForm = regexp.MustCompile(`^[0-9][0-9A-Za-z.+-]{0,31}$`)

// parseIndex reads docker-stig.json. That nothing stands in it twice or in
// another order is seen later, when it is compared with the index that its own
// bundle would be given.
func parseIndex(raw []byte) (*index, error) {
	if err := checkLines(raw); err != nil {
		return nil, err
	}
	var version struct {
		SchemaVersion int    `json:"schemaVersion"`
		MinVersion    string `json:"minVersion"`
	}
	if err := json.Unmarshal(raw, &version); err != nil {
		return nil, err
	}
	if version.SchemaVersion != schemaVersion {
		needed := "the docker-stig that wrote it, or a newer one"
		if versionForm.MatchString(version.MinVersion) {
			needed = "docker-stig " + version.MinVersion + " or newer"
		}
		return nil, fmt.Errorf("the bundle has layout %d, and this docker-stig reads layout %d: use %s", version.SchemaVersion, schemaVersion, needed)
	}
	d := decoder{Decoder: json.NewDecoder(bytes.NewReader(raw))}
	if err := d.index(); err != nil {
		return nil, err
	}
	return &d.read, d.read.check()
}

// checkLines wants lines that a path or a name fits in, so that none of the
// values in them has to be held to see that it is too long.
func checkLines(raw []byte) error {
	const most = 2 * maxPath
	number := 1
	for line := range bytes.Lines(raw) {
		if len(line) > most {
			return fmt.Errorf("line %d is longer than %d bytes: %s", number, most, exportAgain)
		}
		number++
	}
	return nil
}

// A decoder reads an index one entry at a time, so that a file of braces is
// refused before it is made into entries, each fifty times as large.
type decoder struct {
	*json.Decoder
	read  index
	files int // in all lists
}

func (d *decoder) index() error {
	x := &d.read
	return d.object(map[string]func() error{
		"schemaVersion": func() error { return d.Decode(&x.SchemaVersion) },
		"minVersion":    func() error { return d.Decode(&x.MinVersion) },
		"repositories":  func() error { return d.list(d.repository) },
		"manifests":     func() error { return d.fileList(&x.Manifests) },
		"images":        func() error { return d.list(d.image) },
		"blobs":         func() error { return d.fileList(&x.Blobs) },
	})
}

func (d *decoder) repository() error {
	if len(d.read.Repositories) == maxFiles {
		return errTooMany
	}
	var row repository
	err := d.object(map[string]func() error{
		"gun":   func() error { return d.Decode(&row.GUN) },
		"roots": func() error { return d.fileList(&row.Roots) },
		"roles": func() error { return d.fileList(&row.Roles) },
	})
	d.read.Repositories = append(d.read.Repositories, row)
	return err
}

func (d *decoder) image() error {
	if len(d.read.Images) == maxFiles {
		return errTooMany
	}
	var row image
	err := d.Decode(&row)
	d.read.Images = append(d.read.Images, row)
	return err
}

func (d *decoder) fileList(files *[]file) error {
	return d.list(func() error {
		if d.files++; d.files > maxFiles {
			return errTooMany
		}
		var row file
		err := d.Decode(&row)
		*files = append(*files, row)
		return err
	})
}

// object reads an object by its members, of which it has no others.
func (d *decoder) object(members map[string]func() error) error {
	if err := d.open('{'); err != nil {
		return err
	}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string) // an object's member always has a name
		read, ok := members[name]
		if !ok {
			return fmt.Errorf("layout %d has no member %.40q there: %s", schemaVersion, name, exportAgain)
		}
		if err := read(); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

// list reads a list by its elements.
func (d *decoder) list(element func() error) error {
	if err := d.open('['); err != nil {
		return err
	}
	for d.More() {
		if err := element(); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

func (d *decoder) open(want json.Delim) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	if token != want {
		return fmt.Errorf("no %s begins before byte %d: %s", want, d.InputOffset(), exportAgain)
	}
	return nil
}
