package packages

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
)

// Limits of rpm's own reader are larger (lib/header.c); docker-ce has a
// header of 20 KiB.
const (
	maxRPMHeader  = 64 << 20 // bytes
	maxRPMEntries = 1 << 16
)

// rpmMagic precedes a header in a file, and is signed with it although a
// database leaves it out.
var rpmMagic = []byte{0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0}

// An rpmTag is the number of a header field (rpm's rpmtag.h).
type rpmTag uint32

const (
	tagName              rpmTag = 1000
	tagVersion           rpmTag = 1001
	tagRelease           rpmTag = 1002
	tagEpoch             rpmTag = 1003
	tagVendor            rpmTag = 1011
	tagArch              rpmTag = 1022
	tagFileDigests       rpmTag = 1035
	tagDirIndexes        rpmTag = 1116
	tagBaseNames         rpmTag = 1117
	tagDirNames          rpmTag = 1118
	tagFileDigestAlgo    rpmTag = 5011
	tagPayloadDigest     rpmTag = 5092
	tagPayloadDigestAlgo rpmTag = 5093
)

// Tags of the signature header, for signatures over the header alone. Those
// over header and payload (1002, 1005) add nothing: the header names digests.
const (
	sigDSA     rpmTag = 267
	sigRSA     rpmTag = 268
	sigOpenPGP rpmTag = 278 // base64, since rpm 6
)

// Data types of fields.
const (
	rpmInt32       = 4
	rpmString      = 6
	rpmBinary      = 7
	rpmStringArray = 8
	rpmI18NString  = 9
)

// An rpmHeader is a header as it lies in a package or database: two counts, an
// index of fields, and their data.
type rpmHeader struct {
	raw    []byte // the bytes that are signed, magic in front
	fields map[rpmTag]rpmField
	data   []byte
}

type rpmField struct{ kind, offset, count uint32 }

// parseRPMHeader reads a header without its magic.
func parseRPMHeader(blob []byte) (rpmHeader, error) {
	if len(blob) < 8 || len(blob) > maxRPMHeader {
		return rpmHeader{}, fmt.Errorf("reading rpm header: %d bytes long", len(blob))
	}
	entries, size := binary.BigEndian.Uint32(blob), binary.BigEndian.Uint32(blob[4:])
	if entries > maxRPMEntries || uint64(len(blob)) != 8+16*uint64(entries)+uint64(size) {
		return rpmHeader{}, errors.New("reading rpm header: its length is not what it says")
	}
	h := rpmHeader{
		raw:    slices.Concat(rpmMagic, blob),
		fields: make(map[rpmTag]rpmField, entries),
		data:   blob[8+16*entries:],
	}
	for i := range entries {
		e := blob[8+16*i:]
		tag := rpmTag(binary.BigEndian.Uint32(e))
		if _, twice := h.fields[tag]; twice {
			return rpmHeader{}, fmt.Errorf("reading rpm header: field %d stands there twice", tag)
		}
		h.fields[tag] = rpmField{binary.BigEndian.Uint32(e[4:]), binary.BigEndian.Uint32(e[8:]), binary.BigEndian.Uint32(e[12:])}
	}
	return h, nil
}

// readRPMHeader reads a header with its magic from a package file.
func readRPMHeader(r io.Reader) (rpmHeader, error) {
	intro := make([]byte, 16)
	if _, err := io.ReadFull(r, intro); err != nil {
		return rpmHeader{}, fmt.Errorf("reading rpm header: %w", err)
	}
	if !bytes.Equal(intro[:8], rpmMagic) {
		return rpmHeader{}, errors.New("reading rpm header: no header where one belongs")
	}
	size := 16*uint64(binary.BigEndian.Uint32(intro[8:])) + uint64(binary.BigEndian.Uint32(intro[12:]))
	if size > maxRPMHeader-8 {
		return rpmHeader{}, fmt.Errorf("reading rpm header: %d bytes are too many", size)
	}
	blob := make([]byte, 8+size)
	copy(blob, intro[8:])
	if _, err := io.ReadFull(r, blob[8:]); err != nil {
		return rpmHeader{}, fmt.Errorf("reading rpm header: %w", err)
	}
	return parseRPMHeader(blob)
}

// field gives a field's data from its beginning on, nil if there is none of
// the kind.
func (h rpmHeader) field(tag rpmTag, kinds ...uint32) ([]byte, uint32) {
	f, ok := h.fields[tag]
	if !ok || !slices.Contains(kinds, f.kind) || uint64(f.offset) > uint64(len(h.data)) {
		return nil, 0
	}
	return h.data[f.offset:], f.count
}

// bytes gives a binary field, nil if it is missing or damaged.
func (h rpmHeader) bytes(tag rpmTag) []byte {
	data, n := h.field(tag, rpmBinary)
	if uint64(n) > uint64(len(data)) {
		return nil
	}
	return data[:n]
}

// numbers gives a field of 32-bit numbers, nil if it is missing or damaged.
func (h rpmHeader) numbers(tag rpmTag) []uint32 {
	data, n := h.field(tag, rpmInt32)
	if 4*uint64(n) > uint64(len(data)) {
		return nil
	}
	numbers := make([]uint32, n)
	for i := range numbers {
		numbers[i] = binary.BigEndian.Uint32(data[4*i:])
	}
	return numbers
}

// strings gives a field of strings, nil if it is missing or damaged.
func (h rpmHeader) strings(tag rpmTag) []string {
	data, n := h.field(tag, rpmString, rpmStringArray, rpmI18NString)
	if uint64(n) > uint64(len(data)) { // each takes a byte at least
		return nil
	}
	texts := make([]string, 0, n)
	for range n {
		end := bytes.IndexByte(data, 0)
		if end < 0 {
			return nil
		}
		texts = append(texts, string(data[:end]))
		data = data[end+1:]
	}
	return texts
}

func (h rpmHeader) text(tag rpmTag) string {
	if texts := h.strings(tag); len(texts) > 0 {
		return texts[0]
	}
	return ""
}

// version is EPOCH:VERSION-RELEASE, as rpm prints %{EVR}.
func (h rpmHeader) version() string {
	evr := h.text(tagVersion) + "-" + h.text(tagRelease)
	if epoch := h.numbers(tagEpoch); len(epoch) == 1 {
		return fmt.Sprintf("%d:%s", epoch[0], evr)
	}
	return evr
}

// files gives the digest that the header records for each path wanted.
func (h rpmHeader) files(wanted func(string) bool) (map[string]string, error) {
	base, dirs, index, sums := h.strings(tagBaseNames), h.strings(tagDirNames), h.numbers(tagDirIndexes), h.strings(tagFileDigests)
	if len(index) != len(base) || len(sums) != len(base) {
		return nil, errors.New("reading rpm header: its file lists differ in length")
	}
	found := map[string]string{}
	for i, name := range base {
		if uint64(index[i]) >= uint64(len(dirs)) {
			return nil, errors.New("reading rpm header: a file in no directory")
		}
		if full := path.Clean(dirs[index[i]] + name); wanted(full) && sums[i] != "" { // links have no digest
			found[full] = sums[i]
		}
	}
	return found, nil
}
