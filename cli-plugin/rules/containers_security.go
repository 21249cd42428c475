package rules

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// securityRules want the kernel's guards around containers: AppArmor, SELinux,
// seccomp and no-new-privileges.
var securityRules = []Rule{
	// V-235799, CAT II: containers on Ubuntu have an AppArmor profile.
	// https://docs.docker.com/engine/security/apparmor/
	onDistribution([]string{"ubuntu"}, "Ubuntu", nil, containerRule{
		id: "DKER-EE-001930", judge: apparmor,
		asked: "AppArmorProfile", answer: func(c host.Container) any { return c.AppArmorProfile },
	}.rule([]Step{
		{"the host runs Ubuntu; the requirement does not concern others", "onDistribution"},
		{"AppArmorProfile of a container is a valid profile", "apparmor"},
	}, everyReading,
		"The profile unconfined is none. Where the host's files can be seen, a profile that the kernel has in complain or unconfined mode is none either: the fix wants it enforced.",
		"A container that was never started has no profile yet: it is judged by the one that its options, or the engine's default, will give it.",
		"Distributions made from Ubuntu are judged as Ubuntu.")),
	// V-235800, CAT II: SELinux labels are not switched off.
	// https://docs.docker.com/reference/cli/dockerd/#selinux-enabled
	onDistribution([]string{"rhel", "centos"}, "Red Hat Enterprise Linux or CentOS", withoutSELinux, containerRule{
		id: "DKER-EE-001940", filtered: true, judge: labelsOff, engine: engineSELinux,
		asked: "HostConfig.SecurityOpt", answer: shownOptions,
	}.rule([]Step{
		{"the host runs Red Hat Enterprise Linux or CentOS; the requirement does not concern others", "onDistribution"},
		{"SELinux is in use on it", "withoutSELinux"},
		{"HostConfig.SecurityOpt of a container has no label=disable", "labelsOff"},
		{"the engine is started with SELinux, as the fix wants it", "engineSELinux"},
	},
		"The check looks at containers alone. An engine without selinux-enabled labels no container whatever its options say, and the title wants options set: it is a finding.",
		"label:disable, and disable alone, are the same to the engine as label=disable, and so they are here; one among other options counts too.",
		"A privileged container has no labels either, and neither has one in the host's PID or IPC namespace: DKER-EE-001960, 001240 and 001250 judge those.",
		"Distributions made from Red Hat's are judged as Red Hat's.")),
	// V-235812, CAT I: seccomp filters the system calls of containers.
	// https://docs.docker.com/engine/security/seccomp/
	containerRule{
		id: "DKER-EE-002070", filtered: true, judge: seccompOff, engine: engineSeccomp,
		asked: "HostConfig.SecurityOpt", answer: shownOptions,
	}.rule([]Step{
		{"HostConfig.SecurityOpt of a container has no seccomp=unconfined", "seccompOff"},
		{"the engine's own profile is not unconfined", "engineSeccomp"},
	},
		"The check prints seccomp:=unconfined, which the engine does not write; seccomp=unconfined and seccomp:unconfined are read.",
		"The title wants the default profile on, and the check looks at containers alone: an engine whose own profile is unconfined, or that has no seccomp, is a finding.",
		"The engine gives a privileged container no profile, so that is a finding here too.",
		"A profile of the site's own, of engine or container, is none of the findings that the text names."),
	// V-235816, CAT I: containers cannot gain privileges.
	// https://docs.docker.com/reference/cli/docker/container/run/#security-opt
	containerRule{
		id: "DKER-EE-002110", judge: newPrivileges,
		asked: "HostConfig.SecurityOpt", answer: shownOptions,
	}.rule([]Step{{"HostConfig.SecurityOpt of a container has no-new-privileges", "newPrivileges"}}, everyReading,
		"no-new-privileges=false is the option's name without its effect, and a finding.",
		"The engine's own setting no-new-privileges is not written into SecurityOpt: the container stays a finding, and the details say that the setting covers it in effect."),
}

// onDistribution makes a rule concern hosts of some distributions alone, and
// of these the ones that whyNot gives no reason against.
func onDistribution(ids []string, called string, whyNot func(context.Context, *host.Host) (string, error), r Rule) Rule {
	r.Applies = func(ctx context.Context, h *host.Host) (string, error) {
		d, err := distributionOf(ctx, h)
		switch {
		case err != nil:
			return "", err
		case !slices.ContainsFunc(ids, d.Is):
			return fmt.Sprintf("the host runs %s, and the requirement is about %s", d.Name, called), nil
		case whyNot == nil:
			return "", nil
		}
		return whyNot(ctx, h)
	}
	return r
}

// distributionOf asks the host, or the engine where the host cannot be seen.
func distributionOf(ctx context.Context, h *host.Host) (host.Distribution, error) {
	d, err := h.Distribution()
	if errors.Is(err, host.ErrRemote) {
		return h.EngineDistribution(ctx)
	}
	return d, err
}

// apparmorProfiles is where the kernel lists AppArmor's, a line "NAME (MODE)" each.
const apparmorProfiles = "/sys/kernel/security/apparmor/profiles"

func apparmor(ctx context.Context, h *host.Host, c host.Container) (string, error) {
	_, on, _, err := engineSecurity(ctx, h, "apparmor")
	if err != nil {
		return "", err
	}
	profile := c.AppArmorProfile
	if profile == "" && on && c.State != nil && c.State.Status == container.StateCreated {
		profile = apparmorToCome(c)
	}
	switch {
	case profile == "" && !on:
		return "it has no AppArmor profile, for the engine uses none (GET /info has no name=apparmor): install AppArmor, restart the engine and start the container anew", nil
	case profile == "":
		return "it has no AppArmor profile: start it anew, with --security-opt apparmor=docker-default or a profile of the site's", nil
	case profile == "unconfined":
		return "its AppArmor profile is unconfined: make it anew with --security-opt apparmor=docker-default, and without --privileged", nil
	}
	raw, err := h.Read(apparmorProfiles)
	if err != nil {
		return "", nil //nolint:nilerr // the guide asks the engine alone; the kernel's list is beside it
	}
	for line := range strings.Lines(string(raw)) {
		switch strings.TrimSpace(line) {
		case profile + " (complain)":
			return fmt.Sprintf("its AppArmor profile %s only complains: switch it with aa-enforce", profile), nil
		case profile + " (unconfined)":
			return fmt.Sprintf("its AppArmor profile %s has the mode unconfined, and forbids nothing: make it anew with --security-opt apparmor=docker-default", profile), nil
		}
	}
	return "", nil
}

// apparmorToCome is the profile that the engine will start a container with.
func apparmorToCome(c host.Container) string {
	switch profile, said := securityOptionOf(c, "apparmor"); {
	case said && profile != "":
		return profile
	case c.HostConfig.Privileged:
		return "unconfined"
	default:
		return "docker-default"
	}
}

const (
	selinuxEnforce = "/sys/fs/selinux/enforce" // there while the kernel has SELinux on
	selinuxConfig  = "/etc/selinux/config"     // what it is to be from the next start
)

// withoutSELinux gives the reason why a host does not use SELinux.
func withoutSELinux(ctx context.Context, h *host.Host) (string, error) {
	_, on, _, err := engineSecurity(ctx, h, "selinux")
	if err != nil || on {
		return "", err
	}
	_, err = h.Stat(selinuxEnforce)
	if err == nil {
		return "", nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("the engine does not use SELinux, and whether its host does is unknown: %w", err)
	}
	raw, err := h.Read(selinuxConfig)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("whether the host uses SELinux is unknown: %w", err)
	}
	for line := range strings.Lines(string(raw)) {
		value, ok := strings.CutPrefix(strings.TrimSpace(line), "SELINUX=")
		if ok && value != "disabled" {
			return "", fmt.Errorf("%s says %s, and the kernel shows no SELinux at %s: start the host with it, or set SELINUX=disabled if that is what the site wants", selinuxConfig, value, selinuxEnforce)
		}
	}
	return fmt.Sprintf("SELinux is not in use on this host (no %s)", selinuxEnforce), nil
}

func labelsOff(_ context.Context, _ *host.Host, c host.Container) (string, error) {
	if slices.Contains(securityOptions(c), securityOption{"label", "disable"}) {
		return "its SELinux labels are switched off (SecurityOpt has label=disable): make it anew without that option", nil
	}
	return "", nil
}

func engineSELinux(ctx context.Context, h *host.Host) (stig.Finding, error) {
	_, on, all, err := engineSecurity(ctx, h, "selinux")
	if err != nil {
		return stig.Finding{}, err
	}
	f := stig.Finding{Status: stig.NotAFinding, Details: "the engine labels its containers (name=selinux)", Evidence: securityFacts(all)}
	switch {
	case len(all) == 0:
		f.Status, f.Details = stig.NotReviewed, "the engine lists no security options, so whether it labels its containers is unknown: look at docker info, and at selinux-enabled in daemon.json"
	case !on:
		f.Status, f.Details = stig.Open, "the engine runs without SELinux and labels no container: set selinux-enabled to true in daemon.json, restart the engine and make the containers anew"
	}
	return f, nil
}

// securityFacts are what GET /info says of security.
func securityFacts(all []string) []stig.Fact {
	return []stig.Fact{{Source: "engine", Asked: "GET /info, SecurityOptions", Answer: listed(all)}}
}

func seccompOff(_ context.Context, _ *host.Host, c host.Container) (string, error) {
	profile, said := securityOptionOf(c, "seccomp")
	switch {
	case said && profile == "unconfined":
		return "its system calls are not filtered (SecurityOpt has seccomp unconfined): make it anew without that option", nil
	case !c.HostConfig.Privileged:
		return "", nil
	case !said:
		return "its system calls are not filtered, for the engine gives a privileged container no seccomp profile: make it anew without --privileged", nil
	default:
		return "", errors.New("it is privileged and has a seccomp profile of its own, which older engines do not put in force then: make it anew without --privileged, or look at Seccomp in /proc/PID/status of its processes (2 is filtered)")
	}
}

func engineSeccomp(ctx context.Context, h *host.Host) (stig.Finding, error) {
	profile, on, all, err := engineSecurity(ctx, h, "seccomp")
	if err != nil {
		return stig.Finding{}, err
	}
	f := stig.Finding{Status: stig.NotAFinding, Details: "the engine's own seccomp profile is " + profile, Evidence: securityFacts(all)}
	switch {
	case len(all) == 0:
		f.Status, f.Details = stig.NotReviewed, "the engine lists no security options, so whether it has seccomp is unknown: look at docker info, and at CONFIG_SECCOMP of the kernel"
	case !on:
		f.Status, f.Details = stig.Open, "the engine has no seccomp (GET /info has no name=seccomp), and filters no container's system calls: use a kernel with CONFIG_SECCOMP_FILTER and a dockerd built with seccomp"
	case profile == "unconfined":
		f.Status, f.Details = stig.Open, "the engine's own seccomp profile is unconfined: remove seccomp-profile from daemon.json and dockerd's command line, restart the engine and start the containers anew"
	default:
		option, err := h.Option(ctx, "seccomp-profile")
		if err == nil && slices.Contains(option.Next, "unconfined") {
			f.Status = stig.NotReviewed
			f.Details += ", and it would start with unconfined: restart pending. Remove seccomp-profile from daemon.json"
		}
	}
	return f, nil
}

func newPrivileges(ctx context.Context, h *host.Host, c host.Container) (string, error) {
	value, said := securityOptionOf(c, "no-new-privileges")
	if said && isTrue(value) {
		return "", nil
	}
	fault := "it may gain privileges (SecurityOpt has no no-new-privileges)"
	if said {
		fault = fmt.Sprintf("it may gain privileges (SecurityOpt has no-new-privileges=%s)", value)
	}
	const mend = ": make it anew with --security-opt no-new-privileges"
	if !said && engineKeepsPrivileges(ctx, h) {
		return fault + "; the engine's own no-new-privileges covers it in effect if it was started since that was set, but the guide wants the option on each container" + mend, nil
	}
	return fault + mend, nil
}

// engineKeepsPrivileges reports whether the engine has no-new-privileges for
// all containers. Old ones do not tell it in GET /info.
func engineKeepsPrivileges(ctx context.Context, h *host.Host) bool {
	_, on, _, err := engineSecurity(ctx, h, "no-new-privileges")
	if err == nil && on {
		return true
	}
	option, err := h.Option(ctx, "no-new-privileges")
	return err == nil && option.Value.On()
}
