package enforce

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParseSockets(t *testing.T) {
	t.Parallel()
	const tcp = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0947 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1060 1 00000000a91247e1 100 0 0 10 0
   1: 0000000000000000FFFF00000100007F:0947 0000000000000000FFFF00000100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 77 1 0 100
   2: short
`
	const unix = `Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01   345 /run/docker.sock
0000000000000000: 00000002 00000000 00010000 0001 01 12345 @a b  c
0000000000000000: 00000003 00000000 00000000 0001 03     6
`
	port := netip.MustParseAddrPort
	want := []socket{
		{inode: "1060", local: port("127.0.0.1:2375"), remote: port("0.0.0.0:0"), listen: true},
		{inode: "77", local: port("127.0.0.1:2375"), remote: port("127.0.0.1:40000")},
		{inode: "345", path: "/run/docker.sock", listen: true},
		{inode: "12345", path: "@a b  c", listen: true},
	}
	got, err := parseTable(strings.NewReader(tcp), parseTCP)
	if err != nil {
		t.Fatal(err)
	}
	more, err := parseTable(strings.NewReader(unix), parseUnix)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, append(got, more...), cmp.AllowUnexported(socket{}), cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// FuzzParseSockets: paths in the kernel's table are whatever somebody bound. A
// row that one makes up must not keep another from being read.
func FuzzParseSockets(f *testing.F) {
	f.Add("0000000000000000: 00000002 00000000 00010000 0001 01 12345 @a")
	f.Add("   0: 0100007F:0947 00000000:0000 0A 0:0 00:0 0 0 0 1060 1 0 100 0 0 10 0")
	f.Add("0: 0100007:0947 000000000000:0000 0A")
	f.Fuzz(func(t *testing.T, line string) {
		parseTCP(line)
		if strings.ContainsAny(line, "\r\n") {
			return
		}
		const known = "0000000000000000: 00000002 00000000 00010000 0001 01   345 /run/docker.sock"
		rows, err := parseTable(strings.NewReader(line+"\n"+known+"\n"), parseUnix)
		if err != nil {
			return // a line beyond any that the kernel writes
		}
		if len(rows) == 0 || rows[len(rows)-1].path != "/run/docker.sock" {
			t.Errorf("it hides another: %v", rows)
		}
	})
}
