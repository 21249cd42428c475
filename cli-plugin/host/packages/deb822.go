package packages

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

const maxParagraph = 4 << 20 // bytes; SHA256 of Debian's InRelease is 100 KiB, docker.io's stanza 6 KiB

// A stanza is one paragraph of a control file, its field names in lower case.
// Lines of a value are parted by "\n", without the blank that continues them.
type stanza map[string]string

// A paragraphReader splits a control file at its empty lines.
type paragraphReader struct {
	lines *bufio.Reader
	buf   []byte
}

func newParagraphReader(r io.Reader) *paragraphReader {
	return &paragraphReader{lines: bufio.NewReaderSize(r, 64<<10)}
}

// next returns the bytes of the next paragraph, good until the next call, and
// io.EOF when there is none.
func (p *paragraphReader) next() ([]byte, error) {
	p.buf = p.buf[:0]
	started := 0 // where the line being read began
	for {
		part, err := p.lines.ReadSlice('\n')
		p.buf = append(p.buf, part...)
		if len(p.buf) > maxParagraph {
			return nil, fmt.Errorf("a paragraph is longer than %d bytes", maxParagraph)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		blank := len(bytes.TrimSpace(p.buf[started:])) == 0
		if blank {
			p.buf = p.buf[:started]
		}
		if len(p.buf) > 0 && (blank || err != nil) {
			return p.buf, nil
		}
		if err != nil {
			return nil, io.EOF
		}
		started = len(p.buf)
	}
}

// parseStanza reads the fields of one paragraph. Two fields of one name are an
// error, because readers disagree about which one counts.
func parseStanza(paragraph []byte) (stanza, error) {
	s := stanza{}
	var name string
	for line := range strings.Lines(string(paragraph)) {
		line = strings.TrimRight(line, " \t\r\n")
		if line == "" {
			continue
		}
		if line[0] == ' ' || line[0] == '\t' {
			if name == "" {
				return nil, errors.New("begins with the continuation of a field")
			}
			s[name] += "\n" + line[1:]
			continue
		}
		field, value, ok := strings.Cut(line, ":")
		if !ok || field == "" || strings.ContainsAny(field, " \t") {
			return nil, fmt.Errorf("%.80q is no field", shown(line))
		}
		name = strings.ToLower(field)
		if _, twice := s[name]; twice {
			return nil, fmt.Errorf("has the field %s twice", field)
		}
		s[name] = strings.TrimSpace(value)
	}
	return s, nil
}

// withoutComments drops the lines that begin with "#", as apt does in files
// that people write.
func withoutComments(data []byte) []byte {
	var kept []byte
	for line := range bytes.Lines(data) {
		if !bytes.HasPrefix(line, []byte("#")) {
			kept = append(kept, line...)
		}
	}
	return kept
}
