package rules

import (
	"context"
	"strconv"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
)

// A securityOption is one that docker run --security-opt gave a container.
type securityOption struct{ key, value string }

// securityOptions reads HostConfig.SecurityOpt as the engine does: with = or
// the older colon, whichever it is that splits, and two words that stand alone.
func securityOptions(c host.Container) []securityOption {
	var options []securityOption
	for _, text := range c.HostConfig.SecurityOpt {
		separator := "="
		if !strings.Contains(text, separator) {
			separator = ":"
		}
		key, value, said := strings.Cut(text, separator)
		switch {
		case said:
		case text == "disable":
			key, value = "label", "disable"
		default:
			value = "true" // no-new-privileges
		}
		options = append(options, securityOption{key, value})
	}
	return options
}

// securityOptionOf gives the value of an option; the last one counts, as it
// does for the engine.
func securityOptionOf(c host.Container, key string) (value string, said bool) {
	for _, option := range securityOptions(c) {
		if option.key == key {
			value, said = option.value, true
		}
	}
	return value, said
}

// isTrue reads a switch as the engine does.
func isTrue(value string) bool {
	on, err := strconv.ParseBool(value)
	return err == nil && on
}

// shownOptions are SecurityOpt for evidence: a seccomp profile is a file of
// hundreds of lines that the client puts in.
func shownOptions(c host.Container) any {
	shown := []string{}
	for _, text := range c.HostConfig.SecurityOpt {
		if at := strings.IndexByte(text, '{'); at >= 0 {
			text = text[:at] + "{a profile of its own}"
		}
		shown = append(shown, text)
	}
	return shown
}

// engineSecurity finds what GET /info says of one of the engine's security
// options: "name=seccomp,profile=default" is seccomp with the value "default".
// An engine that lists none at all tells nothing.
func engineSecurity(ctx context.Context, h *host.Host, name string) (profile string, on bool, all []string, err error) {
	info, err := h.Info(ctx)
	if err != nil {
		return "", false, nil, err
	}
	for _, option := range info.SecurityOptions {
		parts := strings.Split(option, ",")
		if parts[0] != "name="+name {
			continue
		}
		for _, part := range parts[1:] {
			if value, ok := strings.CutPrefix(part, "profile="); ok {
				profile = value
			}
		}
		return profile, true, info.SecurityOptions, nil
	}
	return "", false, info.SecurityOptions, nil
}
