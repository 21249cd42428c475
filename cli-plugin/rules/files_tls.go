package rules

import (
	"context"
	"errors"
	"fmt"
	"path"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
)

// tlsFile is the file that dockerd was told to take for its TLS: "tlscacert",
// "tlscert" or "tlskey". Those of UCP lie in volumes of its own, which no
// dockerd is told of.
//
// https://docs.docker.com/engine/security/protect-access/
func tlsFile(option string) places {
	return func(ctx context.Context, h *host.Host) ([]place, string, error) {
		if h.Files == nil {
			return nil, "", host.ErrRemote
		}
		told, err := h.Option(ctx, option)
		if err != nil {
			return nil, "", err
		}
		if told.Pending != "" {
			return nil, "", fmt.Errorf("which file dockerd has for %s: %s; restart the engine, and run this again", option, told.Pending)
		}
		if len(told.Value) == 0 {
			return noTLSFile(ctx, h, option)
		}
		name := told.Value[0]
		if !path.IsAbs(name) {
			return nil, "", fmt.Errorf("%s of dockerd is %q, which depends on where dockerd was started: write the full path", option, name)
		}
		return []place{{name, 0}}, "", nil
	}
}

// noTLSFile says what it means that dockerd was told of no such file: nothing
// without TLS, and with it that the file lies in the folder .docker of whoever
// started dockerd.
func noTLSFile(ctx context.Context, h *host.Host, option string) ([]place, string, error) {
	switches := []string{"tlsverify", "tls"}
	if option == "tlscacert" {
		switches = switches[:1] // without it dockerd reads no CA certificate
	}
	for _, name := range switches {
		on, err := h.Option(ctx, name)
		if err != nil {
			return nil, "", err
		}
		if on.Value.On() {
			return nil, "", errors.New("dockerd has " + name + " and was not told where " + option + " is, so it takes one in a folder .docker of whoever started it: name it with " + option + " in daemon.json")
		}
	}
	return nil, "dockerd was told of no " + option + ", and uses no TLS that would need one", nil
}
