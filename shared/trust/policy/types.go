package policy

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/opencontainers/go-digest"
)

// DefaultPath is where the site's policy lies, root:root 0644.
const DefaultPath = "/etc/docker-stig/policy.json"

// A Mode is what the plugin does with a verdict.
type Mode string

const (
	// Disabled judges nothing.
	Disabled Mode = "disabled"
	// Permissive judges, logs, and lets through.
	Permissive Mode = "permissive"
	// Enforced denies what is not vouched for.
	Enforced Mode = "enforced"
)

// A Policy is the site's policy file. Its maps are keyed by patterns of
// repository names (see Pattern).
type Policy struct {
	ContentTrust ContentTrust               `json:"content-trust"`
	AllowExpired map[string]Duration        `json:"allow-expired"`
	Notary       Notary                     `json:"notary"`
	Signers      map[string][]string        `json:"signers"`
	SignerKeys   map[string][]string        `json:"signer-keys"` // keyed by signer, not by pattern
	Digests      map[string][]digest.Digest `json:"digests"`
	Revoked      Revoked                    `json:"revoked"`
	Requests     Requests                   `json:"requests"`
	Protect      Protect                    `json:"protect"`
	Sweep        Sweep                      `json:"sweep"`
	Metrics      string                     `json:"metrics"`
	Engine       string                     `json:"engine"` // the engine's API as a URL, unix:///run/docker.sock
}

// ContentTrust is the object that Mirantis Container Runtime reads from its
// daemon.json under the same name.
type ContentTrust struct {
	Mode                        Mode         `json:"mode"`
	TrustPinning                TrustPinning `json:"trust-pinning"`
	AllowExpiredCachedTrustData bool         `json:"allow-expired-cached-trust-data"`
}

// TrustPinning names the roots of trust. RootKeys are canonical IDs of root
// keys; CertIDs are IDs of root certificates, of one repository each, and win.
type TrustPinning struct {
	RootKeys              map[string][]string `json:"root-keys"`
	CertIDs               map[string][]string `json:"cert-ids"`
	OfficialLibraryImages bool                `json:"official-library-images"`
}

// Notary says where trust servers are. Servers and CA are keyed by registry
// host, as it stands in a repository's name. A host with an empty list of
// servers has none: what is known of it came in a bundle.
type Notary struct {
	Servers         map[string][]string `json:"servers"`
	CA              map[string]string   `json:"ca"`
	Refresh         Duration            `json:"refresh"`
	Timeout         Duration            `json:"timeout"`
	MaxRepositories int                 `json:"max-repositories"` // kept in memory
	MaxMemory       Size                `json:"max-memory"`       // for those
}

// Revoked keys and digests are refused at once, whatever else allows them.
type Revoked struct {
	Keys    []string        `json:"keys"`
	Digests []digest.Digest `json:"digests"`
}

// A Disposition is what the plugin does with a class of requests.
type Disposition string

const (
	// Verify judges the image that is asked for.
	Verify Disposition = "verify"
	// Allow lets the request through.
	Allow Disposition = "allow"
	// Deny refuses it.
	Deny Disposition = "deny"
	// Recorded starts a container whose content was accepted when it was made.
	Recorded Disposition = "recorded"
	// Current starts a container only if its content is accepted now.
	Current Disposition = "current"
)

// Requests sets the disposition of the request classes a site may open or
// close. An empty field has the default of Default.
type Requests struct {
	Pull      Disposition `json:"pull"`
	Build     Disposition `json:"build"`
	Plugins   Disposition `json:"plugins"`
	SwarmJoin Disposition `json:"swarm-join"`
	Start     Disposition `json:"start"`
	Copy      Disposition `json:"copy"` // into containers that do not run
}

// Protect is the plugin's self-protection: what a container may be given of
// its host. Except opens settings to the images of a pattern.
type Protect struct {
	Privileged      Disposition          `json:"privileged"`
	HostNamespaces  Disposition          `json:"host-namespaces"`
	Devices         Disposition          `json:"devices"`
	Capabilities    []string             `json:"capabilities"` // that may be added to the engine's own
	Runtimes        []string             `json:"runtimes"`     // that may be named
	SecurityOptions Disposition          `json:"security-options"`
	Paths           []string             `json:"paths"` // protected beside those built in
	Binds           []string             `json:"binds"` // that may be writable; with what is below, where they end in Below
	ExecPrivileged  Disposition          `json:"exec-privileged"`
	Except          map[string][]Setting `json:"except"`
}

// What a sweep does with a container that runs although it would be refused.
const (
	SweepLog  = "log"
	SweepStop = "stop"
)

// Sweep is the daemon's repeated look at running containers.
type Sweep struct {
	Every  Duration `json:"every"`
	Action string   `json:"action"`
}

// A Duration is written as Go writes one, or in days: "90d", "10m", "2s".
type Duration time.Duration

// UnmarshalJSON reads a Duration.
func (d *Duration) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	parsed, err := parseDuration(text)
	*d = Duration(parsed)
	return err
}

// MarshalJSON writes a Duration as Go prints it.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// A Size is a number of bytes, written with a binary unit: "96MiB".
type Size int64

// UnmarshalJSON reads a Size.
func (s *Size) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	bytes, err := units.RAMInBytes(text)
	if err != nil {
		return fmt.Errorf("%q is no size: want one such as \"96MiB\"", text)
	}
	*s = Size(bytes)
	return nil
}

// MarshalJSON writes a Size with its unit.
func (s Size) MarshalJSON() ([]byte, error) { return json.Marshal(units.BytesSize(float64(s))) }

const maxDays = 36525 // a hundred years; a Duration ends after 292

func parseDuration(text string) (time.Duration, error) {
	parsed, err := time.ParseDuration(text)
	if days, isDays := strings.CutSuffix(text, "d"); isDays {
		var count int64
		count, err = strconv.ParseInt(days, 10, 32)
		parsed = time.Duration(min(count, maxDays)) * 24 * time.Hour
	}
	if err != nil || parsed < 0 {
		return 0, fmt.Errorf("%q is no duration: want one such as \"2s\", \"10m\" or \"90d\"", text)
	}
	return parsed, nil
}
