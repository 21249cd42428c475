package rules

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/ucp"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// ucpMinimumTLS wants TLS 1.2 as the oldest that UCP speaks (V-235874, CAT II).
var ucpMinimumTLS = Rule{
	IDs:     []stig.ID{"DKER-EE-006280"},
	Applies: managed(host.UCP, hasUCP),
	Check:   checkUCPMinimumTLS,
	Steps: []Step{
		{"sign in to UCP and export its configuration", "ucp.ConfigTOML"},
		{"[cluster_config] min_TLS_version is \"TLSv1.2\"", "judgeUCPSetting"},
	},
	Readings: []string{
		"Current releases have no min_TLS_version in their documented keys, and the guide says that 1.2 is the default. Where the export lacks the key, UCP is asked by handshakes which versions it speaks: 1.2, and neither 1.0 nor 1.1 (acceptedVersions).",
		"The guide wants \"TLSv1.2\" to the letter, so a UCP that speaks TLS 1.3 alone, which is stricter, is a finding too; a waiver is the place to say why that is well.",
	},
	Fix: fixMinimumTLS,
}

var minimumTLS = ucpSetting{key: "cluster_config.min_TLS_version", want: "TLSv1.2", where: "[cluster_config]"}

func checkUCPMinimumTLS(ctx context.Context, h *host.Host) ([]stig.Finding, error) {
	doc, err := h.UCP.Document(ctx)
	if err != nil {
		return nil, err
	}
	_, found, err := ucp.Lookup[string](doc, minimumTLS.key)
	if err != nil {
		return nil, err
	}
	if found {
		return []stig.Finding{judgeUCPSetting(doc, h.UCP.URL(), minimumTLS)}, nil
	}
	accepted, err := acceptedVersions(ctx, h)
	f := judgeAcceptedVersions(accepted, err)
	f.Object = "TLS of " + h.UCP.URL()
	f.Evidence = []stig.Fact{configFact(h.UCP.URL(), minimumTLS.key, "", false)}
	if len(accepted) > 0 {
		f.Evidence = append(f.Evidence, stig.Fact{Source: h.UCP.URL(), Asked: "TLS handshakes with one version each", Answer: "accepts " + namedVersions(accepted)})
	}
	return []stig.Finding{f}, nil
}

// acceptedVersions tries each version of TLS by itself. The error is about
// those that UCP did not tell of.
func acceptedVersions(ctx context.Context, h *host.Host) ([]uint16, error) {
	var accepted []uint16
	var errs []error
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13} {
		switch yes, err := h.UCP.Accepts(ctx, version); {
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", tls.VersionName(version), err))
		case yes:
			accepted = append(accepted, version)
		}
	}
	return accepted, errors.Join(errs...)
}

func judgeAcceptedVersions(accepted []uint16, err error) stig.Finding {
	const absent = "min_TLS_version is not set, and a handshake shows that UCP "
	const mend = "set min_TLS_version = \"TLSv1.2\" under [cluster_config] in ucp-config.toml"
	switch {
	case len(accepted) > 0 && accepted[0] < tls.VersionTLS12:
		return stig.Finding{Status: stig.Open, Details: absent + "accepts " + namedVersions(accepted) + ": " + mend}
	case err != nil:
		return stig.Finding{Details: "min_TLS_version is not set, and which versions of TLS UCP speaks could not be seen: " + err.Error()}
	case len(accepted) == 0:
		return stig.Finding{Details: absent + "accepts no version from 1.0 to 1.3: check that --ucp-url is its HTTPS port"}
	case accepted[0] > tls.VersionTLS12:
		return stig.Finding{Status: stig.Open, Details: absent + "accepts " + namedVersions(accepted) + " alone, which is stricter than the guide's TLS 1.2 and not what it names: " + mend + ", or waive this"}
	default:
		return stig.Finding{Status: stig.NotAFinding, Details: absent + "accepts " + namedVersions(accepted) + ", and nothing older"}
	}
}

func namedVersions(versions []uint16) string {
	var names []string
	for _, version := range versions {
		names = append(names, tls.VersionName(version))
	}
	return strings.Join(names, ", ")
}
