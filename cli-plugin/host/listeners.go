package host

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strconv"
	"strings"
)

// listening is the state of a socket that waits for connections, TCP_LISTEN
// of the kernel's include/net/tcp_states.h.
const listening = "0A"

// Listeners are the addresses on which the host waits for TCP connections, by
// the tables of /proc/net, or of another folder like it.
func (h *Host) Listeners(folder string) ([]netip.AddrPort, error) {
	var all []netip.AddrPort
	for _, name := range []string{folder + "/tcp", folder + "/tcp6"} {
		raw, err := h.Read(name)
		if errors.Is(err, fs.ErrNotExist) && strings.HasSuffix(name, "6") {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, fmt.Errorf("reading which TCP ports the host listens on: %w", err)
		}
		found, err := parseListeners(raw)
		if err != nil {
			return nil, fmt.Errorf("reading which TCP ports the host listens on from %s: %w", name, err)
		}
		all = append(all, found...)
	}
	return all, nil
}

// parseListeners reads /proc/net/tcp or tcp6: proc(5).
func parseListeners(raw []byte) ([]netip.AddrPort, error) {
	var found []netip.AddrPort
	for line := range strings.Lines(string(raw)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] == "sl" {
			continue
		}
		if len(fields) < 4 {
			return nil, fmt.Errorf("it has a line of %d fields: %.100q", len(fields), line)
		}
		if fields[3] != listening {
			continue
		}
		address, err := parseEndpoint(fields[1])
		if err != nil {
			return nil, err
		}
		found = append(found, address)
	}
	return found, nil
}

// parseEndpoint reads ADDRESS:PORT in hexadecimal digits, the address in words
// of 32 bits, each in the byte order of the machine.
func parseEndpoint(text string) (netip.AddrPort, error) {
	address, portText, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(address)
	if err != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, fmt.Errorf("%.60q is no address", text)
	}
	for word := 0; word < len(raw); word += 4 {
		binary.NativeEndian.PutUint32(raw[word:], binary.BigEndian.Uint32(raw[word:]))
	}
	addr, ok := netip.AddrFromSlice(raw)
	port, err := strconv.ParseUint(portText, 16, 16)
	if err != nil || !ok {
		return netip.AddrPort{}, fmt.Errorf("%.60q is no address", text)
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)), nil
}
