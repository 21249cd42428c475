package scan

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/cli-plugin/benchmark"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/packages"
	"github.com/docker-stig/docker-stig/cli-plugin/rules"
	"github.com/docker-stig/docker-stig/shared/stig"
)

func guide(t *testing.T) benchmark.Benchmark {
	t.Helper()
	b, err := benchmark.DockerEnterprise()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// run scans everything of a host that answers nothing but for its package.
func run(ctx context.Context, t *testing.T, prove func(context.Context) (packages.Proof, error)) Checklist {
	t.Helper()
	b := guide(t)
	var backwards []benchmark.Requirement
	for _, id := range []stig.ID{stig.TrustEnforced, stig.RegistryTags, stig.VendorSigned, stig.RegistryTags} {
		r, ok := b.Find(string(id))
		if !ok {
			t.Fatalf("no %s", id)
		}
		backwards = append(backwards, r)
	}
	return Run(ctx, &host.Host{Package: prove}, Options{Benchmark: b, Requirements: backwards, Now: time.Now})
}

func TestOrderAndErrors(t *testing.T) {
	t.Parallel()
	list := run(t.Context(), t, func(context.Context) (packages.Proof, error) {
		return packages.Proof{}, &packages.Refused{Reason: "bad", Advice: "mend it"}
	})
	if len(list.Results) != 3 {
		t.Fatalf("%d results, want each requirement once", len(list.Results))
	}
	for i, r := range list.Results {
		if r.StigID != []stig.ID{stig.VendorSigned, stig.RegistryTags, stig.TrustEnforced}[i] {
			t.Errorf("result %d is %s: not the benchmark's order", i, r.StigID)
		}
	}
	if list.Results[0].Status != stig.Open || list.Count(stig.NotReviewed) != 2 || list.Open(stig.CATII) != 0 || list.Open(stig.CATIII) != 1 {
		t.Errorf("got %+v", list.Results)
	}
}

func TestPanicIsNotReviewed(t *testing.T) {
	t.Parallel()
	list := run(t.Context(), t, func(context.Context) (packages.Proof, error) { panic("boom") })
	if got := list.Results[0]; got.Status != stig.NotReviewed || !strings.Contains(got.Details, "boom") {
		t.Errorf("got %v: %s", got.Status, got.Details)
	}
	if len(list.Results) != 3 {
		t.Error("the other rules did not go on")
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	list := run(ctx, t, nil)
	if list.Count(stig.NotReviewed) != 3 {
		t.Errorf("got %+v", list.Results)
	}
}

// TestEveryRequirementHasARule holds benchmark and catalog against each other.
func TestEveryRequirementHasARule(t *testing.T) {
	t.Parallel()
	wanted := map[stig.ID]int{}
	for _, r := range guide(t).Requirements {
		wanted[r.StigID]++
		if r.Title == "" || r.Check == "" || r.Fix == "" || len(r.CCIs) == 0 || r.Severity == 0 {
			t.Errorf("%s has an empty field", r.StigID)
		}
	}
	for _, rule := range rules.Catalog() {
		for _, id := range rule.IDs {
			if wanted[id]--; wanted[id] != 0 {
				t.Errorf("%s has no row in the benchmark, or two rules", id)
			}
		}
	}
	for id, left := range wanted {
		if left != 0 {
			t.Errorf("%s has no rule", id)
		}
	}
}

// TestHostThatAnswersNothing: nothing is claimed of it, and no rule breaks.
func TestHostThatAnswersNothing(t *testing.T) {
	t.Parallel()
	b := guide(t)
	list := Run(t.Context(), &host.Host{Now: time.Now, Package: host.InstalledPackage("", "ssh://elsewhere", nil, time.Now)}, Options{Benchmark: b, Requirements: b.Requirements, Now: time.Now})
	for _, r := range list.Results {
		if r.Status != stig.NotReviewed || r.Details == "" {
			t.Errorf("%s is %s: %q", r.StigID, r.Status, r.Details)
		}
		if strings.Contains(r.Details, "please report") {
			t.Errorf("%s broke: %s", r.StigID, r.Details)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"V-235788", "v-235788", "DKER-EE-001770", "SV-235788r960954_rule", "SV-235788r960954", "SV-235788",
		"V-95609", "SV-104747", "SV-104747r1_rule", "SV-235788r627491_rule",
	} {
		if r, ok := guide(t).Find(name); !ok || r.StigID != stig.VendorSigned {
			t.Errorf("%s: got %s, %v", name, r.StigID, ok)
		}
	}
	for _, name := range []string{"", "V-2357", "DKER-EE", "SV-"} {
		if r, ok := guide(t).Find(name); ok {
			t.Errorf("%q found %s", name, r.StigID)
		}
	}
}
