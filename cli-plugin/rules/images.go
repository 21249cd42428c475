package rules

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/shared/stig"
	"github.com/docker-stig/docker-stig/shared/trust"
	"golang.org/x/sync/errgroup"
)

// imageRules are about the images that the nodes of UCP hold.
var imageRules = []Rule{
	{ // V-235839, CAT II. https://docs.docker.com/engine/security/trust/
		IDs: []stig.ID{"DKER-EE-003610"}, Applies: onUCP, Check: checkImagesSigned,
		Steps: []Step{
			{"List the images of the cluster", "host.Host.Images"},
			{"Each of them has a valid signature", "judgeImage"},
		},
		Readings: []string{
			"docker trust inspect tells that a name was signed by somebody. Here the content that the engine holds has to be what the signers vouch for whom the site's policy names; Docker's client has lost that command since.",
			"An image whose repository is under no scope of the policy may or may not be signed: it is not reviewed, not open.",
			"An image without a name can have no signature, and is open.",
			"The images of one node are judged where the check runs; run it on every node, or through UCP's client bundle, which shows those of all. An engine that is no node says nothing about the cluster: there it is not reviewed.",
		},
	},
	{ // V-235845, CAT II
		IDs: []stig.ID{"DKER-EE-004130"}, Applies: onUCPOrDTR, Check: checkOutdated,
		Steps: []Step{
			{"Find which versions of UCP and DTR run", "runningVersion"},
			{"No image of theirs has an older tag", "judgeAge"},
		},
		Readings: []string{
			"The guide lists docker/ucp* and docker/dtr*. Mirantis publishes the same images as mirantis/ucp*, mirantis/dtr* and registry.mirantis.com/msr/*, and a site keeps copies: an image counts by the last part of its name.",
			"The running version is that of the ucp-controller, which managers run; on other nodes, and for DTR, the newest that a running container has. Where none runs, nobody can tell here.",
		},
	},
}

// errNoNode says that the engine asked is none of the cluster's.
var errNoNode = errors.New("this engine holds no image of UCP or DTR, so it is no node of the cluster that was given: run docker stig check on its nodes, or with the docker context of UCP's client bundle")

// onUCP is Applies for a rule about the nodes of UCP.
func onUCP(ctx context.Context, h *host.Host) (string, error) {
	whyNot, err := holdsNone(ctx, h, host.UCP)
	if whyNot != "" && hasUCP(h) {
		return "", errNoNode
	}
	return whyNot, err
}

func onUCPOrDTR(ctx context.Context, h *host.Host) (string, error) {
	whyNot, err := holdsNone(ctx, h, host.UCP, host.DTR)
	if err != nil || whyNot == "" {
		return "", err
	}
	images, err := h.Images(ctx)
	switch {
	case err != nil:
		return "", err
	case slices.ContainsFunc(images, func(i host.Image) bool { return publishedAs(i.Name, host.DTR) }):
		return "", nil
	case hasUCP(h) || hasDTR(h):
		return "", errNoNode
	}
	return whyNot, nil
}

// holdsNone says that the engine holds no image of any of the products, "" if
// it does.
func holdsNone(ctx context.Context, h *host.Host, products ...host.Product) (string, error) {
	var names []string
	for _, p := range products {
		seen, err := h.Seen(ctx, p)
		if err != nil {
			return "", fmt.Errorf("whether the engine holds images of %s is unknown: %w", p.Name, err)
		}
		if len(seen) > 0 {
			return "", nil
		}
		names = append(names, p.Name)
	}
	return "the engine holds no image of " + strings.Join(names, " or "), nil
}

const maxVerified = 8 // images that are verified at once; each asks its Notary at most

func checkImagesSigned(ctx context.Context, h *host.Host) ([]stig.Finding, error) {
	images, err := h.Images(ctx)
	if err != nil {
		return nil, err
	}
	judged := make([]stig.Finding, len(images))
	var group errgroup.Group
	group.SetLimit(maxVerified)
	for i, image := range images {
		group.Go(func() error {
			judged[i] = judgeImage(ctx, h, image)
			return nil
		})
	}
	_ = group.Wait() // each has its own finding
	summary := stig.Finding{Status: stig.NotAFinding}
	var findings []stig.Finding
	var due []string
	for _, f := range judged {
		if f.Status != stig.NotAFinding {
			findings = append(findings, f)
			continue
		}
		summary.Expires = earlier(summary.Expires, f.Expires)
		if f.Details != "" {
			due = append(due, f.Object)
		}
	}
	summary.Details = fmt.Sprintf("%d of %d images hold what their signers vouch for", len(judged)-len(findings), len(judged))
	if len(due) > 0 {
		summary.Details += fmt.Sprintf("; %d have to be signed again within 14 days (%s): docker stig trust inspect tells by whom", len(due), few(due))
	}
	summary.Evidence = []stig.Fact{{Source: "engine", Asked: "GET /images/json, and the signatures of each", Answer: summary.Details}}
	return append([]stig.Finding{summary}, findings...), nil
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// judgeImage verifies one name under which the engine holds an image. A yes
// has details only where it has to be renewed soon.
func judgeImage(ctx context.Context, h *host.Host, image host.Image) stig.Finding {
	f := stig.Finding{Object: "image " + image.String()}
	switch {
	case image.Name == nil:
		f.Status, f.Details = stig.Open, "it has no name under which anybody could have signed it: docker image rm it, or give it a name and sign that"
		return f
	case h.Trust == nil:
		f.Details = "no policy tells whose signatures to believe: give one with --policy"
		return f
	case h.Trust.Scope(image.Name) == "":
		f.Details = fmt.Sprintf("the policy has no root key for %s: add one to content-trust/trust-pinning/root-keys of the policy, or docker image rm it", image.Name.Name())
		return f
	}
	signed, err := h.Trust.Verify(ctx, trust.Question{Ref: image.Name, Content: image.Content})
	if err != nil {
		f.Details = trust.Explain(err)
		if !trust.Inconclusive(err) {
			f.Status = stig.Open
		}
		return f
	}
	f.Status, f.Expires, f.Details = stig.NotAFinding, signed.Expires, strings.TrimPrefix(renewal(signed), "; ")
	return f
}

// versionOf is the tag of an image's name, "" if it has none.
func versionOf(name reference.Named) string {
	if tagged, ok := name.(reference.Tagged); ok {
		return tagged.Tag()
	}
	return ""
}
