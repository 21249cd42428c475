package rules

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
)

// identityRules want containers to be neither root nor a machine to log in to.
var identityRules = []Rule{
	// V-235830, CAT II: containers run as another user than root.
	// https://docs.docker.com/reference/dockerfile/#user
	containerRule{
		id: "DKER-EE-003200", judge: runsAsRoot,
		asked: "Config.User", answer: func(c host.Container) any { return c.Config.User },
	}.rule([]Step{{"Config.User of a container is a user, and neither 0 nor root", "runsAsRoot"}}, everyReading,
		"A user with a group (0:0) is judged by the user. A name that the image gives the number 0 is not seen.",
		"The engine's user namespaces do not count: the check asks for the user inside."),
	// V-235803, CAT II: no SSH server runs in a container.
	// https://docs.docker.com/reference/cli/docker/container/top/
	containerRule{
		id: "DKER-EE-001970", running: true, judge: sshServer,
		asked: "GET /containers/ID/top",
	}.rule([]Step{
		{"the processes of a running container are listed", "host.Processes"},
		{"none of them is sshd", "sshServer"},
		{"a container that does not run is no finding", "judgeContainers"},
	}, everyReading,
		"The guide runs ps inside by docker exec, which images without ps do not have and which changes the container: the engine lists the same processes from outside.",
		"dropbear is an SSH server too."),
}

func runsAsRoot(_ context.Context, _ *host.Host, c host.Container) (string, error) {
	user, _, _ := strings.Cut(c.Config.User, ":")
	number, err := strconv.Atoi(user)
	if user != "" && user != "root" && (err != nil || number != 0) {
		return "", nil
	}
	said := "is " + c.Config.User
	if c.Config.User == "" {
		said = "is empty"
	}
	return fmt.Sprintf("it runs as root (User %s): make it anew with --user, or build its image with USER", said), nil
}

// sshServers are the programs that the requirement is about.
var sshServers = []string{"sshd", "dropbear"}

func sshServer(ctx context.Context, h *host.Host, c host.Container) (string, error) {
	all, err := h.Processes(ctx, c)
	if err != nil {
		return "", err
	}
	var found []string
	for _, p := range all {
		if isSSHServer(p) {
			found = append(found, fmt.Sprintf("%s (process %s of the host)", p.Program, p.PID))
		}
	}
	if len(found) == 0 {
		return "", nil
	}
	return "an SSH server runs in it: " + strings.Join(found, ", ") + ": build its image without, and use docker exec", nil
}

// isSSHServer looks at the name that the kernel has, and at the one a process
// gives itself: "sshd: /usr/sbin/sshd -D [listener]".
func isSSHServer(p host.Process) bool {
	first, _, _ := strings.Cut(p.Command, " ")
	names := []string{p.Program, path.Base(strings.Trim(first, ":[]"))}
	return slices.ContainsFunc(names, func(name string) bool {
		return slices.ContainsFunc(sshServers, func(server string) bool { return strings.Contains(strings.ToLower(name), server) })
	})
}
