package rules

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/site"
)

// limitRules want containers to leave room for others: memory, CPU, processes,
// restarts and a look at their health.
//
// https://docs.docker.com/engine/containers/resource_constraints/
var limitRules = []Rule{
	// V-235806, CAT II: memory is limited.
	containerRule{
		id: "DKER-EE-002010", judge: noMemoryLimit,
		asked: "HostConfig.Memory", answer: func(c host.Container) any { return c.HostConfig.Memory },
	}.rule([]Step{{"HostConfig.Memory of a container is not 0", "noMemoryLimit"}}, everyReading),
	// V-235807, CAT III: CPU shares are set.
	containerRule{
		id: "DKER-EE-002020", judge: noCPUShares,
		asked: "HostConfig.CpuShares", answer: func(c host.Container) any { return c.HostConfig.CPUShares },
	}.rule([]Step{{"HostConfig.CpuShares of a container is neither 0 nor 1024", "noCPUShares"}}, everyReading,
		"Other limits of CPU time (--cpus, --cpu-quota) are not shares, and the check does not take them."),
	// V-235828, CAT II: the number of processes is limited.
	containerRule{
		id: "DKER-EE-002780", judge: noPidsLimit,
		asked: "HostConfig.PidsLimit", answer: func(c host.Container) any { return c.HostConfig.PidsLimit },
	}.rule([]Step{{"HostConfig.PidsLimit of a container is neither 0 nor -1", "noPidsLimit"}}, everyReading,
		"An empty value, which newer engines give where nothing was set, is no limit either."),
	// V-235844, CAT II: limits of processes are the engine's, or the plan's.
	// https://docs.docker.com/reference/cli/docker/container/run/#ulimit
	containerRule{
		id: "DKER-EE-004040", judge: ownUlimits, list: allowedUlimits,
		asked: "HostConfig.Ulimits", answer: func(c host.Container) any { return ulimitTexts(c) },
	}.rule([]Step{
		{"HostConfig.Ulimits of a container is empty", "ownUlimits"},
		{"or the security plan has each with its values: containers.ulimits in site.yaml", "ownUlimits"},
	}, everyReading),
	// V-235843, CAT II: a container that fails is not started without end.
	// https://docs.docker.com/engine/containers/start-containers-automatically/
	containerRule{
		id: "DKER-EE-004030", filtered: true, judge: endlessRestarts,
		asked: "HostConfig.RestartPolicy", answer: func(c host.Container) any { return c.HostConfig.RestartPolicy },
	}.rule([]Step{
		{"HostConfig.RestartPolicy.Name of a container is empty", "endlessRestarts"},
		{"or it is on-failure with a MaximumRetryCount of 5 at most; always is a finding", "endlessRestarts"},
	},
		"The text does not name unless-stopped, which restarts without end just as always does: a finding.",
		"The text does not name on-failure with a count of 0, which is no limit: a finding.",
		"The policy no, as newer engines write the empty one, passes."),
	// V-235827, CAT II: running containers report that they are healthy.
	// https://docs.docker.com/reference/dockerfile/#healthcheck
	containerRule{
		id: "DKER-EE-002770", running: true, judge: notHealthy,
		asked: "State.Health.Status", answer: func(c host.Container) any { return healthOf(c) },
	}.rule([]Step{{"State.Health.Status of a running container is healthy", "notHealthy"}}, everyReading,
		"A container that has just been started says starting, and is a finding until its first check has passed."),
}

func noMemoryLimit(_ context.Context, _ *host.Host, c host.Container) (string, error) {
	if c.HostConfig.Memory <= 0 {
		return fmt.Sprintf("its memory is not limited (Memory is %d): set a limit with docker update --memory and --memory-swap, or make it anew with --memory", c.HostConfig.Memory), nil
	}
	return "", nil
}

// defaultShares are what a container has that was given none.
const defaultShares = 1024

func noCPUShares(_ context.Context, _ *host.Host, c host.Container) (string, error) {
	if shares := c.HostConfig.CPUShares; shares == 0 || shares == defaultShares {
		return fmt.Sprintf("it has no CPU shares of its own (CpuShares is %d): set them with docker update --cpu-shares, to anything but %d", shares, defaultShares), nil
	}
	return "", nil
}

func noPidsLimit(_ context.Context, _ *host.Host, c host.Container) (string, error) {
	said := "null"
	if limit := c.HostConfig.PidsLimit; limit != nil {
		if *limit > 0 {
			return "", nil
		}
		said = strconv.FormatInt(*limit, 10)
	}
	return fmt.Sprintf("the number of its processes is not limited (PidsLimit is %s): set a limit with docker update --pids-limit", said), nil
}

// maxRestarts is the guide's number of tries.
const maxRestarts = 5

func endlessRestarts(_ context.Context, _ *host.Host, c host.Container) (string, error) {
	const mend = ": docker update --restart=on-failure:5"
	policy := c.HostConfig.RestartPolicy
	switch policy.Name {
	case "", container.RestartPolicyDisabled:
		return "", nil
	case container.RestartPolicyAlways, container.RestartPolicyUnlessStopped:
		return fmt.Sprintf("it is restarted without end (policy %s)%s", policy.Name, mend), nil
	case container.RestartPolicyOnFailure:
		switch tries := policy.MaximumRetryCount; {
		case tries < 1:
			return "it is restarted without end (policy on-failure with no number of tries)" + mend, nil
		case tries > maxRestarts:
			return fmt.Sprintf("it is restarted %d times (policy on-failure), and %d are the most%s", tries, maxRestarts, mend), nil
		}
		return "", nil
	default:
		return "", fmt.Errorf("its restart policy %q is unknown: look at docker inspect", policy.Name)
	}
}

// healthOf is a container's health, "none" if nothing checks it.
func healthOf(c host.Container) container.HealthStatus {
	if c.State == nil || c.State.Health == nil || c.State.Health.Status == "" {
		return container.NoHealthcheck
	}
	return c.State.Health.Status
}

func notHealthy(_ context.Context, _ *host.Host, c host.Container) (string, error) {
	health := healthOf(c)
	if health == container.Healthy {
		return "", nil
	}
	if health == container.NoHealthcheck {
		return "nothing checks its health: add HEALTHCHECK to its Dockerfile, or make it anew with --health-cmd", nil
	}
	return fmt.Sprintf("its health is %s: look at its checks with docker inspect", health), nil
}

// ulimitEntry is one as docker run takes it: NAME=SOFT[:HARD].
var ulimitEntry = regexp.MustCompile(`^([a-z]+)=(-1|[0-9]+)(?::(-1|[0-9]+))?$`)

var allowedUlimits = &siteList{
	key: "containers.ulimits", want: `a limit with its values, such as "nofile=1024:2048"`,
	from: func(c site.Containers) []string { return c.Ulimits },
	is:   func(entry string) bool { return parseUlimit(entry) != "" },
}

// parseUlimit writes NAME=SOFT as NAME=SOFT:SOFT; "" is none.
func parseUlimit(entry string) string {
	parts := ulimitEntry.FindStringSubmatch(entry)
	if parts == nil {
		return ""
	}
	var values [2]int64
	for i, text := range []string{parts[2], parts[3]} {
		if text == "" {
			text = parts[2]
		}
		value, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return "" // too large
		}
		values[i] = value
	}
	return ulimitText(parts[1], values[0], values[1])
}

func ulimitText(name string, soft, hard int64) string {
	return fmt.Sprintf("%s=%d:%d", strings.ToLower(name), soft, hard)
}

func ulimitTexts(c host.Container) []string {
	texts := []string{}
	for _, u := range c.HostConfig.Ulimits {
		if u != nil {
			texts = append(texts, ulimitText(u.Name, u.Soft, u.Hard))
		}
	}
	return texts
}

func ownUlimits(_ context.Context, h *host.Host, c host.Container) (string, error) {
	var own []thing
	for _, text := range ulimitTexts(c) {
		own = append(own, thing{"ulimit " + text, func(entry string) bool { return parseUlimit(entry) == text }})
	}
	missing, err := allowedUlimits.beyond(h, c, own)
	if err != nil || len(missing) == 0 {
		return "", err
	}
	return fmt.Sprintf("it has %s, which %s in site.yaml does not list: make it anew without --ulimit for it, or enter it there and in the security plan", strings.Join(missing, ", "), allowedUlimits.key), nil
}
