package rules

import (
	"context"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// msrRegistry is where Mirantis publishes DTR since version 3.
const msrRegistry = "registry.mirantis.com/msr/"

// publishedAs reports whether a name is one under which a product's images are
// published.
func publishedAs(name reference.Named, p host.Product) bool {
	if name == nil {
		return false
	}
	return host.Image{Name: name}.Of(p) || p.Name == host.DTR.Name && strings.HasPrefix(name.Name(), msrRegistry)
}

func checkOutdated(ctx context.Context, h *host.Host) ([]stig.Finding, error) {
	images, err := h.Images(ctx)
	if err != nil {
		return nil, err
	}
	var findings []stig.Finding
	for _, p := range []host.Product{host.UCP, host.DTR} {
		var own []host.Image
		for _, image := range images {
			if publishedAs(image.Name, p) {
				own = append(own, image)
			}
		}
		if len(own) == 0 {
			continue
		}
		running, err := runningVersion(ctx, h, p)
		if err != nil {
			return nil, err
		}
		findings = append(findings, judgeProduct(p, running, own)...)
	}
	if len(findings) == 0 {
		return []stig.Finding{{Status: stig.NotAFinding, Details: "the engine holds no image of UCP or DTR by name"}}, nil
	}
	return findings, nil
}

// judgeProduct judges all images of one product.
func judgeProduct(p host.Product, running string, own []host.Image) []stig.Finding {
	if running == "" {
		return []stig.Finding{{
			Object:  p.Name,
			Details: fmt.Sprintf("the engine holds %d images of %s and runs none, so which version is in use cannot be told here: compare their tags (the first is %v) with the version that the cluster shows", len(own), p.Name, own[0]),
		}}
	}
	summary := stig.Finding{
		Object: p.Name, Status: stig.NotAFinding,
		Evidence: []stig.Fact{{Source: "engine", Asked: "tag of the running containers of " + p.Name, Answer: running}},
	}
	var findings []stig.Finding
	for _, image := range own {
		if f := judgeAge(p, running, image); f.Status != stig.NotAFinding {
			findings = append(findings, f)
		}
	}
	summary.Details = fmt.Sprintf("%s %s runs, and %d of its %d images are no older", p.Name, running, len(own)-len(findings), len(own))
	return append([]stig.Finding{summary}, findings...)
}

func judgeAge(p host.Product, running string, image host.Image) stig.Finding {
	f := stig.Finding{Object: "image " + image.String(), Status: stig.NotAFinding}
	tag := versionOf(image.Name)
	order, ok := compareVersions(tag, running)
	switch {
	case !ok:
		f.Status, f.Details = stig.NotReviewed, fmt.Sprintf("its tag %q is no version to compare with %s %s: see what it holds, and docker image rm it if it is old", tag, p.Name, running)
	case order < 0:
		f.Status, f.Details = stig.Open, fmt.Sprintf("%s is older than %s %s, which runs: docker image rm %[4]s", tag, p.Name, running, reference.FamiliarString(image.Name))
		if image.Running > 0 {
			f.Details += fmt.Sprintf(" once the %d containers that still run it are gone", image.Running)
		}
	}
	return f
}

// runningVersion is the tag that a product's running containers have, "" if
// none runs here. While it is being upgraded they differ: the controller's
// counts, else the newest.
func runningVersion(ctx context.Context, h *host.Host, p host.Product) (string, error) {
	images, err := h.Running(ctx)
	if err != nil {
		return "", err
	}
	newest := ""
	for _, name := range images {
		if !publishedAs(name, p) {
			continue
		}
		tag := versionOf(name)
		if path.Base(reference.Path(name)) == "ucp-controller" && tag != "" {
			return tag, nil
		}
		if newest == "" {
			if _, ok := compareVersions(tag, tag); ok {
				newest = tag
			}
			continue
		}
		if order, ok := compareVersions(tag, newest); ok && order > 0 {
			newest = tag
		}
	}
	return newest, nil
}

// compareVersions orders 3.2.4-beta1 < 3.2.4 < 3.2.10. Not ok: one of them is
// no version.
func compareVersions(a, b string) (order int, ok bool) {
	x, preX, okX := readVersion(a)
	y, preY, okY := readVersion(b)
	if !okX || !okY {
		return 0, false
	}
	for i := range x {
		if x[i] != y[i] {
			return x[i] - y[i], true
		}
	}
	switch {
	case preX == preY:
		return 0, true
	case preX == "":
		return 1, true
	case preY == "":
		return -1, true
	default:
		return strings.Compare(preX, preY), true
	}
}

// readVersion reads MAJOR.MINOR.PATCH and what stands behind a dash.
func readVersion(text string) (numbers [3]int, pre string, ok bool) {
	text, pre, _ = strings.Cut(strings.TrimPrefix(text, "v"), "-")
	parts := strings.Split(text, ".")
	if len(parts) != len(numbers) {
		return numbers, "", false
	}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 31)
		if err != nil {
			return numbers, "", false
		}
		numbers[i] = int(n)
	}
	return numbers, pre, true
}
