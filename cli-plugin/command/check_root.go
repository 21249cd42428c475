package command

import (
	"fmt"
	"slices"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/scan"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// denials are the words by which the kernel, programs and rules say that they
// would tell root more. A finding is text, so there is nothing else to go by.
var denials = []string{"permission denied", "operation not permitted", "run this as root", "must be root"}

// asRoot says which requirements root could have decided on this machine, ""
// if there are none. Whoever asks another machine is no better off as root.
func asRoot(user int, h *host.Host, list scan.Checklist) string {
	if user == 0 || h.Files == nil {
		return ""
	}
	var more []string
	for _, result := range list.Results {
		if result.Status == stig.NotReviewed && denied(result.Details) {
			more = append(more, result.VulnID)
		}
	}
	if len(more) == 0 {
		return ""
	}
	return fmt.Sprintf("run as root to decide %d more: %s", len(more), strings.Join(more, ", "))
}

func denied(details string) bool {
	details = strings.ToLower(details)
	return slices.ContainsFunc(denials, func(words string) bool { return strings.Contains(details, words) })
}
