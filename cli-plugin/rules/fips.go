package rules

import (
	"context"
	"errors"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// fips wants the engine in FIPS mode (V-235777, CAT I).
var fips = Rule{
	IDs:   []stig.ID{"DKER-EE-001070"},
	Check: judgeFIPS,
	Steps: []Step{
		{"FIPS mode is on in the host's kernel", "kernelFIPS"},
		{"the security options in the engine's answer to info have fips", "judgeFIPS"},
	},
	Readings: []string{
		"the guide makes the engine's label the finding, so the kernel's own switch is evidence and decides nothing",
		"the label comes with Docker Enterprise and Mirantis Container Runtime; the community's engine has no such mode and stays open",
	},
}

func judgeFIPS(ctx context.Context, h *host.Host) ([]stig.Finding, error) {
	info, err := h.Info(ctx)
	if err != nil {
		return nil, err
	}
	version, err := h.Version(ctx)
	if err != nil {
		return nil, err
	}
	if info.ServerVersion == "" || version.Version == "" {
		return nil, errors.New("the engine's answer to GET /info or GET /version names no version: is it an engine?")
	}
	kernel := kernelFIPS(h)
	f := stig.Finding{Status: stig.Open, Evidence: []stig.Fact{
		{Source: "engine", Asked: "GET /info SecurityOptions", Answer: strings.Join(info.SecurityOptions, " ")},
		{Source: "engine", Asked: "GET /version Platform.Name", Answer: version.Platform.Name},
		{Source: "host", Asked: "/proc/sys/crypto/fips_enabled", Answer: kernel},
	}}
	for _, option := range info.SecurityOptions {
		name, _, _ := strings.Cut(strings.TrimPrefix(option, "name="), ",")
		if name == "fips" {
			f.Status = stig.NotAFinding
			f.Details = "the engine is in FIPS mode; FIPS mode of the host's kernel: " + kernel
			return []stig.Finding{f}, nil
		}
	}
	f.Details = "the engine is not in FIPS mode; FIPS mode of the host's kernel: " + kernel
	if vendor := vendorOf(version); vendor == enterprise || vendor == mirantis {
		f.Details += ". Switch the host to FIPS mode and restart it; DOCKER_FIPS=1 in the environment of docker.service turns on the engine's alone"
		return []stig.Finding{f}, nil
	}
	f.Details += ". This is no Docker Enterprise or Mirantis Container Runtime but " + edition(version) + ", which has no FIPS mode: it cannot pass. Move to an engine that has one, or have a waiver approved"
	return []stig.Finding{f}, nil
}

// kernelFIPS is what the host's kernel says of its own FIPS mode.
func kernelFIPS(h *host.Host) string {
	raw, err := h.Read("/proc/sys/crypto/fips_enabled")
	if err != nil {
		return "unknown (" + err.Error() + ")"
	}
	switch text := strings.TrimSpace(string(raw)); text {
	case "1":
		return "on"
	case "0":
		return "off"
	default:
		return "unknown"
	}
}
