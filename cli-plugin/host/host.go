// Package host is what a rule may ask of a machine: its engine, its packages,
// the UCP and DTR it belongs to, and the site's own values. It reports facts
// and judges nothing. A question it cannot answer is an error that says what
// to give or do; rules never take one for a finding.
//
// Everything it asks is read-only. The files of a remote engine's host cannot
// be seen, and the local disk never stands in for them.
package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/cli-plugin/host/audit"
	"github.com/docker-stig/docker-stig/cli-plugin/host/dtr"
	"github.com/docker-stig/docker-stig/cli-plugin/host/packages"
	"github.com/docker-stig/docker-stig/cli-plugin/host/ucp"
	"github.com/docker-stig/docker-stig/cli-plugin/site"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"
)

// An Engine answers over the engine's API, 1.40 and up: the questions of
// docker's client that change nothing.
type Engine interface {
	Info(ctx context.Context, options client.InfoOptions) (client.SystemInfoResult, error)
	ServerVersion(ctx context.Context, options client.ServerVersionOptions) (client.ServerVersionResult, error)
	ContainerList(ctx context.Context, options client.ContainerListOptions) (client.ContainerListResult, error)
	ContainerInspect(ctx context.Context, container string, options client.ContainerInspectOptions) (client.ContainerInspectResult, error)
	ContainerTop(ctx context.Context, container string, options client.ContainerTopOptions) (client.ContainerTopResult, error)
	ExecInspect(ctx context.Context, exec string, options client.ExecInspectOptions) (client.ExecInspectResult, error)
	ImageList(ctx context.Context, options client.ImageListOptions) (client.ImageListResult, error)
	ImageInspect(ctx context.Context, image string, options ...client.ImageInspectOption) (client.ImageInspectResult, error)
	NetworkList(ctx context.Context, options client.NetworkListOptions) (client.NetworkListResult, error)
	NodeList(ctx context.Context, options client.NodeListOptions) (client.NodeListResult, error)
	PluginList(ctx context.Context, options client.PluginListOptions) (client.PluginListResult, error)
	SecretList(ctx context.Context, options client.SecretListOptions) (client.SecretListResult, error)
	ServiceList(ctx context.Context, options client.ServiceListOptions) (client.ServiceListResult, error)
	SwarmInspect(ctx context.Context, options client.SwarmInspectOptions) (client.SwarmInspectResult, error)
	VolumeList(ctx context.Context, options client.VolumeListOptions) (client.VolumeListResult, error)
}

// A Verifier judges images by the site's policy, signatures only: an image on
// a digest list is approved, and no requirement asks for approval.
type Verifier interface {
	trust.Verifier
	// Scope is the pattern that decides a repository, "" if none does.
	Scope(ref reference.Named) string
}

// A Host is one engine with what belongs to it. A nil field was not given.
type Host struct {
	Engine   Engine
	Address  string // of the engine, as the docker context names it
	Site     site.Site
	UCP      *ucp.Client
	DTR      *dtr.Client
	Files    Files    // of the engine's host; nil: they cannot be seen from here
	Programs Programs // of the engine's host; nil: they cannot be run from here
	Unseen   error    // why Files is nil, an ErrRemote; nil: the address is another machine's
	Now      func() time.Time
	// Narrow says which containers are asked about; nil: all.
	Narrow   func(container.Summary) bool
	Trust    Verifier
	Archives []string // image archives brought by hand
	// Package proves the engine's package: see InstalledPackage and
	// PackageFile. Its error is a *packages.Refused when the answer is no.
	Package func(context.Context) (packages.Proof, error)

	// One pass over the engine's objects serves all rules.
	info         memo[system.Info]
	version      memo[client.ServerVersionResult]
	listed       memo[[]Image]
	summary      memo[[]container.Summary]
	containers   memo[[]Container]
	auditRules   memo[audit.Rules]
	execs        memo[[]audit.Exec]
	distribution memo[Distribution]
	processes    memo[map[string]processes]
	volumes      memo[byVolumeName]
	dockerd      memo[*Dockerd]
	proof        memo[packages.Proof]
}

// Held is what an engine holds under a name or an ID.
type Held struct {
	Content trust.Content
	Names   []reference.Named // repositories that the engine proposes for it
}

// Hold asks the engine what it holds under a name, an ID or a prefix of one.
// It is zero, with no error, if the engine holds nothing of that name.
func Hold(ctx context.Context, engine Engine, name string) (Held, error) {
	if engine == nil {
		return Held{}, errors.New("no engine was given to ask")
	}
	image, err := engine.ImageInspect(ctx, name)
	if isNotFound(err) {
		return Held{}, nil
	}
	if err != nil {
		return Held{}, fmt.Errorf("asking the engine for image %s: %w", name, err)
	}
	info, err := engine.Info(ctx, client.InfoOptions{})
	if err != nil {
		return Held{}, fmt.Errorf("asking the engine for its image store: %w", err)
	}
	held := Held{Content: content(image.ID, image.RepoDigests, info.Info)}
	for _, text := range slices.Concat(image.RepoTags, image.RepoDigests) {
		named, err := reference.ParseNormalizedNamed(text)
		if err == nil && !slices.ContainsFunc(held.Names, func(n reference.Named) bool { return n.Name() == named.Name() }) {
			held.Names = append(held.Names, reference.TrimNamed(named))
		}
	}
	return held, nil
}
