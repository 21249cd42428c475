package command

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/docker-stig/docker-stig/cli-plugin/benchmark"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/site"
)

// see gathers what a host shows of what site.yaml is about. What cannot be
// asked is said, and the rest goes on.
func see(ctx context.Context, h *host.Host) site.Seen {
	seen := site.Seen{Host: h.Asset(ctx).HostName, Edition: h.Edition(ctx)}
	for _, look := range []struct {
		what string
		at   func(context.Context, *host.Host, *site.Seen) error
	}{
		{"containers", seeContainers},
		{"the engine's logs", seeLogs},
		{"the swarm", seeSwarm},
		{"images of UCP and DTR", seeVendorImages},
	} {
		if err := look.at(ctx, h, &seen); err != nil {
			seen.Unseen = append(seen.Unseen, fmt.Sprintf("%s: %v", look.what, err))
		}
	}
	guide, err := benchmark.DockerEnterprise()
	if err != nil {
		seen.Unseen = append(seen.Unseen, err.Error())
	}
	for _, r := range guide.Requirements {
		if r.Decided == benchmark.ByPerson {
			seen.Asked = append(seen.Asked, site.Asked{ID: string(r.StigID), Title: r.VulnID + ": " + r.Title})
		}
	}
	return seen
}

func seeContainers(ctx context.Context, h *host.Host, seen *site.Seen) error {
	containers, err := h.Containers(ctx)
	if err != nil {
		return err
	}
	for _, c := range containers {
		if c.Err != nil || c.System != "" {
			continue
		}
		seen.Capabilities = append(seen.Capabilities, c.HostConfig.CapAdd...)
		for port := range c.HostConfig.PortBindings {
			seen.Ports = append(seen.Ports, published(c, port)...)
		}
		for _, device := range c.HostConfig.Devices {
			seen.Devices = append(seen.Devices, device.PathOnHost+":"+cmp.Or(device.CgroupPermissions, "rwm"))
		}
		if parent := c.HostConfig.CgroupParent; parent != "" {
			seen.CgroupParents = append(seen.CgroupParents, parent)
		}
		for _, limit := range c.HostConfig.Ulimits {
			seen.Ulimits = append(seen.Ulimits, fmt.Sprintf("%s=%d:%d", limit.Name, limit.Soft, limit.Hard))
		}
	}
	return nil
}

// published gives the host's ports that lead to one of a container's, as
// site.yaml writes them.
func published(c host.Container, port network.Port) []string {
	var ports []string
	for _, binding := range c.HostConfig.PortBindings[port] {
		if binding.HostPort != "" && binding.HostPort != "0" {
			ports = append(ports, fmt.Sprintf("%s:%s/%s", c.Title(), binding.HostPort, port.Proto()))
		}
	}
	return ports
}

func seeLogs(ctx context.Context, h *host.Host, seen *site.Seen) error {
	addresses := []string{"syslog-address", "splunk-url", "awslogs-region", "gcp-project"}
	set, err := h.Option(ctx, "log-opts", append(addresses, "max-size", "max-file")...)
	if err != nil {
		return err
	}
	seen.MaxSize, _ = set.Value.Get("max-size")
	seen.MaxFile, _ = set.Value.Get("max-file")
	for _, key := range addresses {
		address, _ := set.Value.Get(key)
		seen.LogAddress = cmp.Or(seen.LogAddress, address)
	}
	return nil
}

func seeSwarm(ctx context.Context, h *host.Host, seen *site.Seen) error {
	info, err := h.Info(ctx)
	if err != nil {
		return err
	}
	if info.Swarm.Cluster == nil {
		return nil // no swarm, or no manager of one
	}
	seen.NodeCertExpiry = info.Swarm.Cluster.Spec.CAConfig.NodeCertExpiry.String()
	networks, err := h.Engine.NetworkList(ctx, client.NetworkListOptions{})
	if err != nil {
		return err
	}
	for _, n := range networks.Items {
		if _, encrypted := n.Options["encrypted"]; n.Driver == "overlay" && !n.Ingress && !encrypted {
			seen.PlainNetworks = append(seen.PlainNetworks, n.Name)
		}
	}
	return nil
}

func seeVendorImages(ctx context.Context, h *host.Host, seen *site.Seen) error {
	for _, product := range []host.Product{host.UCP, host.DTR} {
		images, err := h.Seen(ctx, product)
		if err != nil {
			return err
		}
		for _, image := range images {
			if image.Name != nil && !slices.Contains(seen.VendorImages, image.String()) {
				seen.VendorImages = append(seen.VendorImages, image.String())
			}
		}
	}
	return nil
}
