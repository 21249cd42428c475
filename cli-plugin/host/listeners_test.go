package host

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseListeners(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		table string
		want  []string
		bad   bool
	}{
		"IPv4":     {table: "  sl  local_address rem_address   st\n   0: 0100007F:0949 00000000:0000 0A 0 0\n", want: []string{"127.0.0.1:2377"}},
		"any":      {table: "0: 00000000:0949 00000000:0000 0A", want: []string{"0.0.0.0:2377"}},
		"any IPv6": {table: "0: 00000000000000000000000000000000:0949 0:0 0A", want: []string{"[::]:2377"}},
		"IPv6":     {table: "0: B80D0120000000000000000001000000:0949 0:0 0A", want: []string{"[2001:db8::1]:2377"}},
		"mapped":   {table: "0: 0000000000000000FFFF000000000000:0949 0:0 0A", want: []string{"0.0.0.0:2377"}},
		"others":   {table: "0: 0100007F:0949 0100007F:0950 01\n1: 0100007F:0949 0100007F:0951 06\n"},
		"empty":    {},
		"no hex":   {table: "0: localhost:0949 0:0 0A", bad: true},
		"odd size": {table: "0: 0100007F01:0949 0:0 0A", bad: true},
		"bad port": {table: "0: 0100007F:FFFFF 0:0 0A", bad: true},
		"short":    {table: "0: 0100007F:0949", bad: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found, err := parseListeners([]byte(test.table))
			if (err != nil) != test.bad {
				t.Fatalf("got %v, %v", found, err)
			}
			var got []string
			for _, address := range found {
				got = append(got, address.String())
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestRealListeners finds sockets of its own in the kernel's tables.
func TestRealListeners(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
		if err != nil {
			t.Logf("%s: %v", address, err) // a machine without IPv6
			continue
		}
		t.Cleanup(func() { _ = listener.Close() })
		h := &Host{Files: NewDisk("/")}
		found, err := h.Listeners(fmt.Sprintf("/proc/%d/net", os.Getpid()))
		if err != nil || !slices.Contains(found, netip.MustParseAddrPort(listener.Addr().String())) {
			t.Errorf("%v is not among %v, %v", listener.Addr(), found, err)
		}
	}
}

func FuzzParseListeners(f *testing.F) {
	f.Add([]byte("0: 0100007F:0949 00000000:0000 0A\n1: 00000000000000000000000000000000:0949 0:0 0A"))
	f.Fuzz(func(_ *testing.T, raw []byte) {
		_, _ = parseListeners(raw) // must neither panic nor hang
	})
}
