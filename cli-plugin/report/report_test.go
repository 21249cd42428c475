package report

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/cli-plugin/benchmark"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/scan"
	"github.com/docker-stig/docker-stig/shared/stig"
	"github.com/google/go-cmp/cmp"
)

// sample has a requirement of each status and one with many objects.
func sample(t *testing.T) scan.Checklist {
	t.Helper()
	b, err := benchmark.DockerEnterprise()
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	many := []stig.Finding{}
	for i := range 7 {
		many = append(many, stig.Finding{Object: fmt.Sprintf("dtr.example.com/prod/app:%d", i), Status: stig.Open, Details: "nobody signed this tag"})
	}
	many = append(many, stig.Finding{Object: "dtr.example.com/prod/web", Details: "no answer\nask again"})
	result := func(i int, status stig.Status, findings ...stig.Finding) scan.Result {
		return scan.Result{Requirement: b.Requirements[i], Status: status, Details: "details", Findings: findings}
	}
	b.Requirements = b.Requirements[:3]
	b.Requirements[2].Severity = stig.CATI
	return scan.Checklist{Benchmark: b, Target: "unix:///var/run/docker.sock", Asset: host.Asset{HostName: "dkr01", FQDN: "dkr01.example.com", IP: "192.0.2.5", MAC: "02:42:ac:11:00:02"}, Edition: "Docker Engine - Community 29.2.0", Started: at, Ended: at.Add(time.Second), Results: []scan.Result{
		result(0, stig.NotAFinding, stig.Finding{Object: "engine package", Status: stig.NotAFinding, Details: "signed", Evidence: []stig.Fact{{Source: "dpkg", Asked: "status", Answer: "<docker-ce>"}}, Expires: at}),
		result(1, stig.Open, many...),
		result(2, stig.Open, stig.Finding{Status: stig.Open, Details: "off"}),
		result(0, stig.NotReviewed, stig.Finding{Details: "no answer"}),
		result(1, stig.NotApplicable, stig.Finding{Status: stig.NotApplicable, Details: "no DTR"}),
	}}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	for format := range writers {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if err := Write(&out, format, sample(t), Options{Tool: Tool{"docker-stig", "1.2.3", "abc"}, All: true, Next: "docker stig site init"}); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", "checklist."+string(format)+".golden")
			if os.Getenv("STIG_UPDATE_GOLDEN") == "1" {
				if err := os.WriteFile(golden, out.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), out.String()); diff != "" {
				t.Errorf("run make golden and look at the change:\n%s", diff)
			}
		})
	}
}

// TestTableMovesNoCursor: what containers are called cannot rewrite the screen.
func TestTableMovesNoCursor(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := Write(&out, Table, spoilt(t), Options{All: true}); err != nil {
		t.Fatal(err)
	}
	if bytes.ContainsAny(out.Bytes(), "\x1b\x00\r") {
		t.Errorf("%q", out.String()[:200])
	}
}

func TestUnknownFormat(t *testing.T) {
	t.Parallel()
	if err := new(Format).Set("pdf"); err == nil {
		t.Error("pdf was taken for a format")
	}
	if err := Write(&bytes.Buffer{}, "pdf", scan.Checklist{}, Options{}); err == nil {
		t.Error("pdf was written")
	}
}
