package faults

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/tests/testbed"
)

// A weight is what a plugin holds.
type weight struct {
	memory     int64 // bytes, resident
	files      int
	goroutines int
}

// weigh asks the kernel, and the plugin's own metrics.
func (b *bed) weigh(t *testing.T) weight {
	t.Helper()
	w := weight{memory: b.plugin.size(t, "VmRSS"), files: b.plugin.files(t)}
	await(t, "the plugin's metrics", func() bool {
		w.goroutines = b.goroutines(t)
		return w.goroutines > 0
	})
	return w
}

// goroutines reads go_goroutines of the plugin's metrics; 0: they are not
// served just now.
func (b *bed) goroutines(t *testing.T) int {
	t.Helper()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(b.PluginSockets(), "metrics.sock"))
	}
	c := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://plugin/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "go_goroutines "); ok {
			count, _ := strconv.Atoi(value)
			return count
		}
	}
	return 0
}

// What a plugin may hold more of after hundreds of policies than after a
// hundred: what the load had under way just then. A leak of one each would
// come to hundreds.
const (
	moreMemory     = 48 << 20 // bytes
	moreFiles      = 32
	moreGoroutines = 64
)

// asLight wants the plugin to come down to what it held before hundreds of
// policies. A connection that nobody uses lasts a minute; most of it has passed
// with other faults.
func asLight(t *testing.T, b *bed) {
	t.Helper()
	if b.kind == testbed.Moby {
		t.Skip("judged on the other engine: this one has no part in it")
	}
	if b.before.files == 0 {
		t.Fatal("no policy was replaced before")
	}
	after := b.weigh(t)
	for end := time.Now().Add(2 * patience); after.over(b.before) && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		after = b.weigh(t)
	}
	t.Logf("before: %v; after: %v", b.before, after)
	if after.over(b.before) {
		t.Errorf("the plugin grew from %v to %v", b.before, after)
	}
}

// over leaves out the memory, which a flood takes and Go gives back slowly.
func (w weight) over(before weight) bool {
	return w.files > before.files+moreFiles || w.goroutines > before.goroutines+moreGoroutines
}

// String is for the log.
func (w weight) String() string {
	return fmt.Sprintf("%d MiB, %d files, %d goroutines", w.memory>>20, w.files, w.goroutines)
}
