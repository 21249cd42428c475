package bench

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/dtr"
	"github.com/docker-stig/docker-stig/cli-plugin/host/mgmt"
	"github.com/docker-stig/docker-stig/cli-plugin/rules"
	"github.com/docker-stig/docker-stig/shared/stig"
	"github.com/docker-stig/docker-stig/tests/doubles"
)

const (
	dtrURL = "STIG_BENCH_DTR" // makes this program, run again, the one that reads the registry
	dtrCA  = "STIG_BENCH_DTR_CA"

	dtrRepositories = 1000
	dtrTags         = 50                    // of each
	dtrLatency      = 20 * time.Millisecond // before each answer
	dtrPage         = 100                   // entries, of both who ask
)

// BenchmarkDTR reads a registry of 50,000 tags as the rule about them does,
// and page after page on one connection, and reports how many times as long
// the rule takes, and what memory it has at most. The rule runs in a process
// of its own; the registry is a double in this one.
func BenchmarkDTR(b *testing.B) {
	double, err := doubles.NewDTR(b.Context(), doubles.DTROptions{
		ServerOptions: doubles.ServerOptions{Latency: dtrLatency}, Repositories: bigRegistry(), MaxPageSize: dtrPage,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = double.Close() })
	ca := filepath.Join(b.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, double.CA(), 0o600); err != nil {
		b.Fatal(err)
	}
	const rounds = 3
	var ratios []float64
	var took []time.Duration
	var peak float64
	for b.Loop() {
		serial := readSerially(b, double)
		for range rounds {
			one, resident := readByRule(b, double.URL(), ca)
			took, peak = append(took, one), max(peak, resident)
			ratios = append(ratios, float64(one)/float64(serial))
		}
	}
	if most := double.Peak(); most > mgmt.DefaultParallel {
		b.Errorf("%d requests at once, want %d at most", most, mgmt.DefaultParallel)
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "×serial")
	b.ReportMetric(milliseconds(median(took)), "ms-p50")
	b.ReportMetric(peak, "MiB-peak")
}

func bigRegistry() []doubles.Repository {
	repositories := make([]doubles.Repository, dtrRepositories)
	for i := range repositories {
		repositories[i] = doubles.Repository{Namespace: fmt.Sprintf("team%02d", i%20), Name: fmt.Sprintf("service-%04d", i), Private: true}
		for j := range dtrTags {
			repositories[i].Tags = append(repositories[i].Tags, doubles.Tag{Name: fmt.Sprintf("1.%d", j), InNotary: true})
		}
	}
	return repositories
}

// readSerially asks as DISA's commands would in a loop: one question at a
// time, all on one connection.
func readSerially(b *testing.B, double *doubles.DTR) time.Duration {
	b.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(double.CA())
	client := &serialClient{b: b, base: double.URL(), http: &http.Client{Transport: &http.Transport{
		MaxConnsPerHost: 1, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool},
	}}}
	defer client.http.CloseIdleConnections()
	start := time.Now()
	var login struct{ Token string }
	client.get("/auth/token", &login)
	client.token = login.Token
	tags := 0
	for next, more := "", true; more; {
		var page struct{ Repositories []dtr.Repository }
		next, more = client.page("/api/v0/repositories", next, &page)
		for _, r := range page.Repositories {
			for start, more := "", true; more; {
				var list []struct{ Name string }
				start, more = client.page("/api/v0/repositories/"+r.String()+"/tags", start, &list)
				tags += len(list)
			}
		}
	}
	if tags != dtrRepositories*dtrTags {
		b.Fatalf("%d tags were read one after the other, want %d", tags, dtrRepositories*dtrTags)
	}
	return time.Since(start)
}

type serialClient struct {
	b     *testing.B
	base  string
	token string
	http  *http.Client
}

// page gives where the next one begins, and whether there is one.
func (c *serialClient) page(path, start string, into any) (string, bool) {
	query := "?domain=dtr.example.com&pageSize=" + strconv.Itoa(dtrPage)
	if start != "" {
		query += "&pageStart=" + start
	}
	next := c.get(path+query, into).Get("X-Next-Page-Start")
	return next, next != ""
}

func (c *serialClient) get(path string, into any) http.Header {
	c.b.Helper()
	req, err := http.NewRequestWithContext(c.b.Context(), http.MethodGet, c.base+path, nil)
	if err != nil {
		c.b.Fatal(err)
	}
	admin := doubles.DefaultAccounts()[0]
	req.SetBasicAuth(admin.Username, admin.Password)
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		c.b.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || json.Unmarshal(body, into) != nil {
		c.b.Fatalf("%s: %s, %v", path, resp.Status, err)
	}
	return resp.Header
}

// readByRule runs this program as the one that reads, and gives the time it
// took and its highest memory in MiB.
func readByRule(b *testing.B, url, ca string) (time.Duration, float64) {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), os.Args[0], "-test.run=^TestReadRegistry$", "-test.v")
	cmd.Env = append(os.Environ(), dtrURL+"="+url, dtrCA+"="+ca)
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.Fatalf("reading the registry: %v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		var took, peak int64
		if n, _ := fmt.Sscanf(line, "took %d ns, peak %d KiB", &took, &peak); n == 2 {
			return time.Duration(took), float64(peak) / 1024
		}
	}
	b.Fatalf("the reader does not tell what it took:\n%s", out)
	return 0, 0
}

// TestReadRegistry is the reader that BenchmarkDTR starts, and nothing else.
func TestReadRegistry(t *testing.T) {
	if os.Getenv(dtrURL) == "" {
		t.Skip("only BenchmarkDTR runs this")
	}
	if err := readRegistry(t.Context(), os.Getenv(dtrURL), os.Getenv(dtrCA)); err != nil {
		t.Fatal(err)
	}
}

func readRegistry(ctx context.Context, url, ca string) error {
	admin := doubles.DefaultAccounts()[0]
	client, err := dtr.New(dtr.Options{PageSize: dtrPage, Options: mgmt.Options{URL: url, CAFile: ca, Username: admin.Username, Password: admin.Password}})
	if err != nil {
		return err
	}
	defer client.Close()
	rule, ok := rules.For(stig.RegistryTags)
	if !ok {
		return errors.New("there is no rule about the registry's tags")
	}
	start := time.Now()
	findings, err := rule.Judge(ctx, &host.Host{DTR: client, Now: time.Now})
	took := time.Since(start)
	if err != nil {
		return err
	}
	want := fmt.Sprintf("%d tags in %d repositories", dtrRepositories*dtrTags, dtrRepositories)
	if stig.Worst(findings) != stig.NotAFinding || !strings.Contains(findings[0].Details, want) {
		return fmt.Errorf("%d findings, the first: %+v, want %s", len(findings), findings[0], want)
	}
	peak, err := peakMemory()
	if err != nil {
		return err
	}
	fmt.Printf("took %d ns, peak %d KiB\n", took.Nanoseconds(), peak)
	return nil
}

// peakMemory is the highest resident memory of this process, in KiB.
func peakMemory() (int64, error) {
	file, err := os.Open("/proc/self/status")
	if err != nil {
		return 0, err
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			return strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		}
	}
	return 0, errors.New("the kernel does not tell VmHWM")
}
