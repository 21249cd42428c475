package rules

import (
	"context"
	"fmt"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
)

// managed is Applies for a rule about UCP or DTR. It applies where the server
// was given; it does not where none was given and the engine shows no trace
// of one; in between nobody can tell.
func managed(p host.Product, given func(*host.Host) bool) func(context.Context, *host.Host) (string, error) {
	return func(ctx context.Context, h *host.Host) (string, error) {
		if given(h) {
			return "", nil
		}
		flag := strings.ToLower(p.Name)
		seen, err := h.Seen(ctx, p)
		if err != nil {
			return "", fmt.Errorf("no %s was given, and whether the engine belongs to one is unknown: %w", p.Name, err)
		}
		if len(seen) > 0 {
			return "", fmt.Errorf("%s is here (image %v): give --%s-url, --%[3]s-username and --%[3]s-password-file, or the same in site.yaml", p.Name, seen[0], flag)
		}
		return fmt.Sprintf("no %s was given, and the engine holds none of its images and labels (%s*); give --%s-url if there is one elsewhere", p.Name, p.Label, flag), nil
	}
}

func hasUCP(h *host.Host) bool { return h.UCP != nil }
func hasDTR(h *host.Host) bool { return h.DTR != nil }
