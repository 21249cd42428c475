package enforce

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A socket is a row of what /proc/PID/net tells: proc_net_tcp(5) and unix(7).
type socket struct {
	inode  string
	path   string         // of a unix socket; an abstract one begins with "@"
	local  netip.AddrPort // of a TCP socket
	remote netip.AddrPort
	listen bool
}

// socketsOf are the sockets that a process holds in its own network namespace:
// what it has in those of its containers is not among them.
func socketsOf(pid int) ([]socket, error) {
	own, err := inodesOf(pid)
	if err != nil {
		return nil, err
	}
	var list []socket
	for _, table := range []struct {
		name  string
		parse func(string) (socket, bool)
	}{{"tcp", parseTCP}, {"tcp6", parseTCP}, {"unix", parseUnix}} {
		file, err := os.Open(fmt.Sprintf("/proc/%d/net/%s", pid, table.name))
		if errors.Is(err, fs.ErrNotExist) && table.name == "tcp6" {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, err
		}
		rows, err := parseTable(file, table.parse)
		_ = file.Close() // it was only read
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", file.Name(), err)
		}
		for _, row := range rows {
			if own[row.inode] {
				list = append(list, row)
			}
		}
	}
	return list, nil
}

// inodesOf are those of a process's sockets.
func inodesOf(pid int) (map[string]bool, error) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	inodes := map[string]bool{}
	for _, entry := range entries {
		target, err := os.Readlink(filepath.Join(dir, entry.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // closed meanwhile
		}
		if err != nil {
			return nil, err
		}
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			inodes[strings.TrimSuffix(inode, "]")] = true
		}
	}
	return inodes, nil
}

// parseTable keeps the rows that can be read. A unix socket's path may hold
// whatever its maker wanted, ends of lines too: that can add rows, and hides
// none.
func parseTable(r io.Reader, parse func(string) (socket, bool)) ([]socket, error) {
	var rows []socket
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if row, ok := parse(lines.Text()); ok {
			rows = append(rows, row)
		}
	}
	return rows, lines.Err()
}

// parseTCP reads a row of /proc/PID/net/tcp or tcp6.
func parseTCP(line string) (socket, bool) {
	const local, remote, state, inode, count = 1, 2, 3, 9, 10
	fields := strings.Fields(line)
	if len(fields) < count {
		return socket{}, false
	}
	s := socket{inode: fields[inode], listen: fields[state] == "0A"} // TCP_LISTEN
	var localOK, remoteOK bool
	s.local, localOK = parseAddress(fields[local])
	s.remote, remoteOK = parseAddress(fields[remote])
	return s, localOK && remoteOK
}

// parseAddress reads an address as the kernel prints it: words of 32 bits in
// its own order, and the port.
func parseAddress(text string) (netip.AddrPort, bool) {
	words, portText, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(words)
	port, portErr := strconv.ParseUint(portText, 16, 16)
	if err != nil || portErr != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	address, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(address.Unmap(), uint16(port)), ok
}

// parseUnix reads a row of /proc/PID/net/unix that has a path.
func parseUnix(line string) (socket, bool) {
	const flags, inode, count = 3, 6, 7
	var fields [count]string
	rest := line
	for i := range fields {
		fields[i], rest, _ = strings.Cut(strings.TrimLeft(rest, " "), " ")
	}
	bits, err := strconv.ParseUint(fields[flags], 16, 32)
	const accepts = 1 << 16 // __SO_ACCEPTCON of the kernel's linux/net.h
	return socket{inode: fields[inode], path: rest, listen: bits&accepts != 0}, err == nil && rest != ""
}
