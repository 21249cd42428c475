package engine

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// idle opens many connections, half of which have asked something before.
func (g *guardProcess) idle(t *testing.T) {
	t.Helper()
	const many = 1000
	before := g.memory(t)
	for i := range many {
		conn, err := dialer(g.socket)(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if i%2 == 0 {
			continue
		}
		if _, err := io.WriteString(conn, "HEAD /_ping HTTP/1.1\r\nHost: engine\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 4096)); err != nil {
			t.Fatal(err)
		}
	}
	after := g.memory(t)
	t.Logf("the guard takes %d KiB, and %d KiB with %d idle connections", before, after, many)
	if after > 40<<10 {
		t.Errorf("the guard takes %d KiB with %d idle connections, want 40 MiB at most", after, many)
	}
}

// memory is the guard's resident memory in KiB.
func (g *guardProcess) memory(tb testing.TB) int {
	tb.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.pid))
	if err != nil {
		tb.Fatal(err)
	}
	found := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status)
	if found == nil {
		tb.Fatalf("no VmRSS in\n%s", status)
	}
	kib, err := strconv.Atoi(string(found[1]))
	if err != nil {
		tb.Fatal(err)
	}
	return kib
}

// logsItsPeers wants the process that asked, whoever else did before.
func (g *guardProcess) logsItsPeers(t *testing.T, through *bed) {
	t.Helper()
	cmd := through.command(t.Context(), "ps")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	var record struct{ UID, GID int }
	line := g.awaitLog(t, fmt.Sprintf(`"pid":%d`, cmd.Process.Pid))
	if err := json.Unmarshal([]byte(line), &record); err != nil || record.UID != os.Geteuid() || record.GID != os.Getegid() {
		t.Errorf("logged %+v, %v: %s", record, err, line)
	}
}

// engineAway moves the engine's socket to where the guard does not find it.
func (g *guardProcess) engineAway(t *testing.T, through *bed) {
	t.Helper()
	if err := os.Rename(g.bare(), g.bare()+"-away"); err != nil {
		t.Fatal(err)
	}
	out := through.docker(t, "ps")
	if err := os.Rename(g.bare()+"-away", g.bare()); err != nil {
		t.Fatal(err)
	}
	if out.code == 0 || !strings.Contains(out.stderr, "docker-stig: the engine does not answer on ") {
		t.Errorf("%+v", out)
	}
	if out := through.docker(t, "ps"); out.code != 0 {
		t.Errorf("when it is back: %+v", out)
	}
}
