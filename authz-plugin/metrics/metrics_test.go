package metrics

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/docker-stig/docker-stig/shared/record"
)

var day = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)

func sources() Sources {
	return Sources{
		Passed:     func() uint64 { return 1_000_001 },
		Lost:       func() uint64 { return 2 },
		Suppressed: func() uint64 { return 3 },
		Policy:     func() Policy { return Policy{Mode: "enforced", Loaded: day, OK: true} },
		Trust: func() Trust {
			return Trust{Repositories: 4, Bytes: 32 << 10, Scopes: []Scope{
				{Pattern: "dtr.example.com/prod/*", Verified: day, RefusedFrom: day.Add(48 * time.Hour)},
				{Pattern: "dtr.example.com/prod/*", Verified: day.Add(-time.Hour), RefusedFrom: day.Add(24 * time.Hour)},
				{Pattern: "dtr.example.com/prod/*"},
				{Pattern: "never/**", Verified: day},
				{Pattern: "broken\xff", Verified: day},
			}}
		},
		Approvals:  func() int { return 5 },
		Allowances: func() int { return 1 },
		Sweep:      func() Sweep { return Sweep{At: day, Refused: 6, OK: true} },
	}
}

// serve serves m on an address and gives what collects from it.
func serve(t *testing.T, m *Metrics, address string, log io.Writer) func(path string) (*http.Response, string) {
	t.Helper()
	at, err := ParseAddress(address)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := Listen(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Serve(ctx, listener, slog.New(slog.NewTextHandler(log, nil))) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serving: %v", err)
		}
	})
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, at.network, at.place)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	return func(path string) (*http.Response, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://metrics"+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(body)
	}
}

func TestWhatIsServed(t *testing.T) {
	t.Parallel()
	m := New(Build{"1.2.3", "abc"}, sources())
	for range 3 {
		m.Decided(record.Record{Outcome: record.Denied, Reason: "unsigned", Phase: record.Asked, Image: "secret/image", Duration: 80 * time.Microsecond})
	}
	m.Decided(record.Record{Outcome: record.Allowed, Phase: record.Answered, Duration: 3 * time.Second})
	socket := filepath.Join(t.TempDir(), "run", "metrics.sock")
	get := serve(t, m, "unix://"+socket, io.Discard)
	resp, body := get("/metrics")
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
		t.Fatalf("%s %v", resp.Status, resp.Header)
	}
	var ours []string
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "docker_stig_") {
			ours = append(ours, regexp.MustCompile(`go="[^"]*"`).ReplaceAllString(strings.TrimSpace(line), `go="…"`))
		}
	}
	want := strings.Split(strings.TrimSpace(served), "\n")
	if diff := cmp.Diff(want, ours); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if strings.Contains(body, "secret") {
		t.Error("an image is named")
	}
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v, %v", problems, err)
	}
	documented, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.Lines(body) {
		if name, found := strings.CutPrefix(name, "# HELP docker_stig_"); found {
			name, _, _ := strings.Cut(name, " ")
			if !bytes.Contains(documented, []byte("`docker_stig_"+name)) {
				t.Errorf("docs/metrics.md does not name docker_stig_%s", name)
			}
		}
	}
	for _, path := range []string{"/", "/debug/pprof/", "/metrics/x"} {
		if resp, _ := get(path); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
	info, err := os.Stat(socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v, %v", info, err)
	}
	if files, err := os.ReadDir(filepath.Dir(socket)); err != nil || len(files) != 1 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}

const served = `
docker_stig_allowances 1
docker_stig_approvals 5
docker_stig_build_info{commit="abc",go="…",version="1.2.3"} 1
docker_stig_decision_duration_seconds_bucket{le="2.5e-05"} 0
docker_stig_decision_duration_seconds_bucket{le="5e-05"} 0
docker_stig_decision_duration_seconds_bucket{le="0.0001"} 3
docker_stig_decision_duration_seconds_bucket{le="0.00025"} 3
docker_stig_decision_duration_seconds_bucket{le="0.001"} 3
docker_stig_decision_duration_seconds_bucket{le="0.005"} 3
docker_stig_decision_duration_seconds_bucket{le="0.025"} 3
docker_stig_decision_duration_seconds_bucket{le="0.1"} 3
docker_stig_decision_duration_seconds_bucket{le="0.5"} 3
docker_stig_decision_duration_seconds_bucket{le="1"} 3
docker_stig_decision_duration_seconds_bucket{le="2"} 3
docker_stig_decision_duration_seconds_bucket{le="5"} 4
docker_stig_decision_duration_seconds_bucket{le="+Inf"} 4
docker_stig_decision_duration_seconds_sum 3.00024
docker_stig_decision_duration_seconds_count 4
docker_stig_decisions_total{outcome="allow",phase="answer",reason=""} 1
docker_stig_decisions_total{outcome="deny",phase="request",reason="unsigned"} 3
docker_stig_passed_total 1.000001e+06
docker_stig_policy_load_success 1
docker_stig_policy_loaded_timestamp_seconds 1.7953056e+09
docker_stig_policy_mode{mode="disabled"} 0
docker_stig_policy_mode{mode="enforced"} 1
docker_stig_policy_mode{mode="permissive"} 0
docker_stig_records_lost_total 2
docker_stig_records_suppressed_total 3
docker_stig_sweep_refused_containers 6
docker_stig_sweep_success 1
docker_stig_sweep_timestamp_seconds 1.7953056e+09
docker_stig_trust_memory_bytes 32768
docker_stig_trust_refused_from_timestamp_seconds{scope="dtr.example.com/prod/*"} 1.795392e+09
docker_stig_trust_repositories 4
docker_stig_trust_verified_timestamp_seconds{scope="dtr.example.com/prod/*"} 1.7953056e+09
docker_stig_trust_verified_timestamp_seconds{scope="never/**"} 1.7953056e+09
`

func TestWithoutSources(t *testing.T) {
	t.Parallel()
	get := serve(t, New(Build{}, Sources{Sweep: func() Sweep { return Sweep{} }}), "unix://"+filepath.Join(t.TempDir(), "m"), io.Discard)
	_, body := get("/metrics")
	for _, absent := range []string{"passed", "policy", "trust", "approvals", "sweep", "records"} {
		if strings.Contains(body, "docker_stig_"+absent) {
			t.Errorf("%s has a value that nobody gave:\n%s", absent, body)
		}
	}
	if !strings.Contains(body, "docker_stig_build_info") || !strings.Contains(body, "process_resident_memory_bytes") || !strings.Contains(body, "go_goroutines") {
		t.Errorf("too little:\n%s", body)
	}
}

// TestSourcesAreAskedOnce for each answer: some of them have to count.
func TestSourcesAreAskedOnce(t *testing.T) {
	t.Parallel()
	const collections = 3
	counted := sources()
	trust, policy, sweep := counted.Trust, counted.Policy, counted.Sweep
	var asked [3]int
	counted.Trust = func() Trust { asked[0]++; return trust() }
	counted.Policy = func() Policy { asked[1]++; return policy() }
	counted.Sweep = func() Sweep { asked[2]++; return sweep() }
	m := New(Build{}, counted)
	for range collections {
		if _, err := m.registry.Gather(); err != nil {
			t.Fatal(err)
		}
	}
	if asked != [3]int{collections, collections, collections} {
		t.Errorf("trust, policy and sweep were asked %v times, want %d each", asked, collections)
	}
}

func TestFailingSourceIsNoEnd(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	failing := sources()
	failing.Policy = func() Policy { panic("ouch") }
	m := New(Build{}, failing)
	get := serve(t, m, "unix://"+filepath.Join(t.TempDir(), "m"), &log)
	if _, body := get("/metrics"); !strings.Contains(body, "docker_stig_passed_total") {
		t.Errorf("the rest is gone:\n%s", body)
	}
	if !strings.Contains(log.String(), "ouch") {
		t.Errorf("the log does not say so: %s", &log)
	}
}

func TestReasonsAreBounded(t *testing.T) {
	t.Parallel()
	m := New(Build{}, Sources{})
	for i := range 10 * maxReasons {
		m.Decided(record.Record{Outcome: record.Denied, Reason: "made-up-" + time.Duration(i).String()})
	}
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "docker_stig_decisions_total" && len(family.GetMetric()) != maxReasons+1 {
			t.Errorf("%d values", len(family.GetMetric()))
		}
	}
}

func TestParseAddress(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"", "unix:///run/docker-stig/metrics.sock", "127.0.0.1:9417", "[::1]:9417", "127.1.2.3:1"} {
		a, err := ParseAddress(good)
		if err != nil || a.String() != good || a.IsZero() != (good == "") {
			t.Errorf("%q: %v, %v", good, a, err)
		}
	}
	for _, bad := range []string{
		"0.0.0.0:9417", ":9417", "[::]:9417", "10.0.0.1:9417", "localhost:9417", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:http", "127.0.0.1:99999",
		"[::1%lo]:9417", "unix://", "unix:///", "unix://run/m", "unix:///run/../etc/m", "unix:run/m", "http://127.0.0.1:9417", "tcp://127.0.0.1:9417", " ", "@abstract", "unix://@abstract",
	} {
		if a, err := ParseAddress(bad); err == nil {
			t.Errorf("%q is taken as %v", bad, a)
		}
	}
}

func TestLoopback(t *testing.T) {
	t.Parallel()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	at, err := ParseAddress(address)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(t.Context(), at); err == nil || !strings.Contains(err.Error(), "serving metrics") {
		t.Errorf("a port that is taken: %v", err)
	}
	_ = listener.Close()
	if _, body := serve(t, New(Build{}, sources()), address, io.Discard)("/metrics"); !strings.Contains(body, "docker_stig_passed_total") {
		t.Errorf("served:\n%s", body)
	}
}

func TestSocketsPlace(t *testing.T) {
	t.Parallel()
	listenAt := func(path string) (net.Listener, error) { return Listen(t.Context(), Address{"unix", path}) }
	t.Run("stale, and removed at the end", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "m")
		stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		stale.SetUnlinkOnClose(false)
		_ = stale.Close()
		listener, err := listenAt(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := listenAt(path); err == nil || !strings.Contains(err.Error(), "answers") {
			t.Errorf("a socket that is served: %v", err)
		}
		_ = listener.Close()
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("left behind: %v", err)
		}
	})
	t.Run("a file", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "m")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := listenAt(path); err == nil || !strings.Contains(err.Error(), "no socket") {
			t.Errorf("%v", err)
		}
	})
	t.Run("a folder of others", func(t *testing.T) {
		t.Parallel()
		folder := t.TempDir()
		if err := os.Chmod(folder, 0o777); err != nil {
			t.Fatal(err)
		}
		if _, err := listenAt(filepath.Join(folder, "m")); err == nil || !strings.Contains(err.Error(), "others may write") {
			t.Errorf("%v", err)
		}
	})
}

func FuzzParseAddress(f *testing.F) {
	f.Add("unix:///run/m")
	f.Add("[::ffff:127.0.0.1]:9417")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseAddress(text)
		if err != nil || a.IsZero() {
			return
		}
		again, err := ParseAddress(a.String())
		if err != nil || again != a {
			t.Fatalf("%q is %v, which is %v, %v", text, a, again, err)
		}
	})
}

func BenchmarkDecided(b *testing.B) {
	m := New(Build{}, Sources{})
	r := record.Record{Outcome: record.Allowed, Phase: record.Asked, Duration: 100 * time.Microsecond}
	b.ReportAllocs()
	for b.Loop() {
		m.Decided(r)
	}
}
