package change

import (
	"bytes"
	"encoding/json"
	"errors"

	"github.com/docker-stig/docker-stig/cli-plugin/change/disk"
)

// writtenFile is a File as it is written down.
type writtenFile struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256,omitempty"` // of its content
	Remove bool   `json:"remove,omitempty"`
	Then   Then   `json:"then,omitempty"`
}

// MarshalJSON writes the SHA-256 of the content in its place: most of it may be
// what others wrote, with passwords. What is written down is compared with what
// is wanted, and never carried out.
func (f File) MarshalJSON() ([]byte, error) {
	written := writtenFile{Path: f.Path, SHA256: f.sum, Remove: f.Remove, Then: f.Then}
	if f.sum == "" && !f.Remove {
		written.SHA256 = disk.Sum([]byte(f.Content))
	}
	return json.Marshal(written)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (f *File) UnmarshalJSON(raw []byte) error {
	var written writtenFile
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&written); err != nil {
		return err
	}
	if written.SHA256 == "" && !written.Remove {
		return errors.New("a file has neither the SHA-256 of a content nor is it to be gone")
	}
	*f = File{Path: written.Path, Remove: written.Remove, Then: written.Then, sum: written.SHA256}
	return nil
}
