package rules

import (
	"context"
	"crypto/tls"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/ucp"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// fixUCPSettings sets the keys that have another value than the one wanted.
func fixUCPSettings(ids []stig.ID, settings ...ucpSetting) Fix {
	return func(ctx context.Context, h *host.Host) (change.Wanted, error) {
		doc, err := h.UCP.Document(ctx)
		if err != nil {
			return change.Wanted{}, err
		}
		wrong := slices.DeleteFunc(slices.Clone(settings), func(s ucpSetting) bool {
			return judgeUCPSetting(doc, h.UCP.URL(), s).Status != stig.Open
		})
		return setInUCP(h, doc, ids, wrong...)
	}
}

// withoutLDAP says why a configuration is not uploaded unasked.
const withoutLDAP = "UCP signs users in by LDAP and leaves [auth.ldap] out of its export, so whether an upload keeps it cannot be seen"

// setInUCP sets keys of a configuration, which is uploaded whole.
func setInUCP(h *host.Host, doc ucp.Document, ids []stig.ID, settings ...ucpSetting) (change.Wanted, error) {
	backend, _, err := ucp.Lookup[string](doc, "auth.backend")
	if err != nil {
		return change.Wanted{}, err
	}
	var wanted change.Wanted
	for _, s := range settings {
		c, err := change.SetSetting(change.UCPConfig, "ucp-config.toml of "+h.UCP.URL(), s.pointer(), s.want, ids...)
		if err != nil {
			return change.Wanted{}, err
		}
		if backend == "ldap" {
			c.ByName = withoutLDAP
		}
		wanted.Changes = append(wanted.Changes, c)
	}
	if backend == "ldap" && len(wanted.Changes) > 0 {
		wanted.Notes = []string{"UCP signs users in by LDAP, and its export leaves [auth.ldap] out: whether an upload keeps those settings is not documented. Have the LDAP settings and the password of UCP's own administrator at hand, and check a login afterwards."}
	}
	return wanted, nil
}

// pointer is the key as RFC 6901 writes it.
func (s ucpSetting) pointer() string { return "/" + strings.ReplaceAll(s.key, ".", "/") }

// fixUCPSessions sets the plan's figure, also where the key is absent: which
// default counts then cannot be seen.
func fixUCPSessions(ctx context.Context, h *host.Host) (change.Wanted, error) {
	plan := h.Site.UCP.SessionsPerUser
	if plan == nil || *plan <= 0 {
		return change.Wanted{Person: []string{"how many sessions a user may have is for the site to say: give ucp.sessions-per-user in site.yaml, and run docker stig fix again"}}, nil
	}
	return fixUCPSettings([]stig.ID{"DKER-EE-001000", "DKER-EE-002970"}, ucpSetting{key: sessionsKey, want: int64(*plan), unset: int64(0)})(ctx, h)
}

// fixMinimumTLS sets the oldest version of TLS, and never an older one than
// UCP asks for already.
func fixMinimumTLS(ctx context.Context, h *host.Host) (change.Wanted, error) {
	findings, err := checkUCPMinimumTLS(ctx, h)
	if err != nil || stig.Worst(findings) != stig.Open {
		return change.Wanted{}, err
	}
	doc, err := h.UCP.Document(ctx)
	if err != nil {
		return change.Wanted{}, err
	}
	accepted, err := acceptedVersions(ctx, h)
	if len(accepted) == 0 {
		return change.Wanted{}, errors.Join(errors.New("which versions of TLS UCP accepts now cannot be seen, so min_TLS_version is left alone"), err)
	}
	if now, _, _ := ucp.Lookup[string](doc, minimumTLS.key); now == "TLSv1.3" || accepted[0] > tls.VersionTLS12 {
		return change.Wanted{Person: []string{"UCP asks for TLS 1.3, which is stricter than the guide, and is not told to accept what is older: say so under waivers in site.yaml; or, if the guide's letter counts, set min_TLS_version = \"TLSv1.2\" under [cluster_config] in ucp-config.toml and upload it"}}, nil
	}
	wanted, err := setInUCP(h, doc, []stig.ID{"DKER-EE-006280"}, minimumTLS)
	if len(wanted.Changes) > 0 {
		wanted.Notes = append(wanted.Notes, "clients that speak nothing newer than TLS 1.1 do not reach UCP any more")
	}
	return wanted, err
}

// fixUCPScheduling keeps workloads off managers by UCP's setting. Who holds the
// grant that lets everybody schedule there may need another first.
func fixUCPScheduling(ctx context.Context, h *host.Host) (change.Wanted, error) {
	wanted, err := fixUCPSettings([]stig.ID{"DKER-EE-001890"}, adminScheduling)(ctx, h)
	if err != nil {
		return change.Wanted{}, err
	}
	if len(wanted.Changes) > 0 {
		wanted.Notes = append(wanted.Notes, "what runs on managers and DTR nodes by now goes on until it is deployed again")
	}
	grants, err := allGrants(ctx, h)
	if err != nil {
		return wanted, nil //nolint:nilerr // the check says what could not be seen
	}
	if judgeSchedulerGrants(grants, stig.Finding{}).Status == stig.Open {
		wanted.Person = append(wanted.Person, "see which teams deploy on workers by the grant \""+everybody+" Scheduler /\" alone, give them the role Scheduler on their own collection under Access Control > Grants > Create Grant, then delete that grant there; docker stig check DKER-EE-001890 shows whether it is gone")
	}
	return wanted, nil
}

// fixDTRSetting sets one of DTR's settings, which never are what the guide's
// own fix for V-235796 says.
func fixDTRSetting(id stig.ID, s dtrSetting) Fix {
	return func(ctx context.Context, h *host.Host) (change.Wanted, error) {
		if f, err := checkDTRSetting(ctx, h, s); err != nil || f.Status != stig.Open {
			return change.Wanted{}, err
		}
		c, err := change.SetSetting(change.DTRSettings, "settings of DTR at "+h.DTR.URL(), "/"+s.name, s.want, id)
		return change.Wanted{Changes: []change.Change{c}}, err
	}
}

// fixImageScanning turns scanning on. The database it scans with is for a
// person to load.
func fixImageScanning(ctx context.Context, h *host.Host) (change.Wanted, error) {
	wanted, err := fixDTRSetting("DKER-EE-003840", scanningEnabled)(ctx, h)
	if err != nil {
		return change.Wanted{}, err
	}
	if len(wanted.Changes) > 0 {
		wanted.Notes = append(wanted.Notes, "DTR fetches its vulnerability database from its vendor where System > Security says Online: choose Offline there first where it may not")
	}
	status, err := h.DTR.ScanStatus(ctx)
	if err != nil {
		return wanted, nil //nolint:nilerr // the check says what could not be seen
	}
	if f := judgeScanStatus(status, stig.Finding{}); f.Status == stig.Open {
		wanted.Person = append(wanted.Person, "vulnerability database: "+f.Details+". With Online, Sync Database Now; with Offline, get the database's archive for this version of DTR, compare its checksum with the vendor's and upload it with Update Database; then look there that the update has succeeded")
	}
	return wanted, nil
}

// byPerson is the fix of what only a person can change: what to do about each
// finding that is open.
func byPerson(check func(context.Context, *host.Host) ([]stig.Finding, error), steps string) Fix {
	return func(ctx context.Context, h *host.Host) (change.Wanted, error) {
		findings, err := check(ctx, h)
		if err != nil {
			return change.Wanted{}, err
		}
		var wanted change.Wanted
		for _, f := range findings {
			if f.Status == stig.Open {
				wanted.Person = append(wanted.Person, f.Object+": "+f.Details+". "+steps)
			}
		}
		return wanted, nil
	}
}

// fixAutolock locks managers that start again.
func fixAutolock(context.Context, *host.Host) (change.Wanted, error) {
	c, err := change.SetSetting(change.SwarmSpec, "the swarm", "/EncryptionConfig/AutoLockManagers", true, "DKER-EE-002400")
	return change.Wanted{
		Changes: []change.Change{c},
		Notes:   []string{"a manager that starts again asks for the key that docker swarm unlock-key prints: keep it where the swarm cannot lose it"},
	}, err
}

// fixExpiry gives certificates of nodes the plan's lifetime.
func fixExpiry(_ context.Context, h *host.Host) (change.Wanted, error) {
	want, err := time.ParseDuration(h.Site.Swarm.NodeCertExpiry)
	if err != nil || want <= 0 {
		return change.Wanted{Person: []string{"how long certificates of nodes live is for the site to say: give swarm.node-cert-expiry in site.yaml, and run docker stig fix again"}}, nil //nolint:nilerr // it says what to do instead
	}
	c, err := change.SetSetting(change.SwarmSpec, "the swarm", "/CAConfig/NodeCertExpiry", want.Nanoseconds(), "DKER-EE-005080")
	return change.Wanted{Changes: []change.Change{c}}, err
}
