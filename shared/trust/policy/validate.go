package policy

import (
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust/notary"
	"github.com/opencontainers/go-digest"
)

// defaults are the values of keys that a policy file leaves out. The mode has
// none: a policy that does not say what it does is an error.
func defaults() *Policy {
	return &Policy{
		Notary: Notary{
			Refresh: Duration(time.Minute), Timeout: Duration(2 * time.Second),
			MaxRepositories: notary.DefaultMaxRepositories, MaxMemory: notary.DefaultMaxMemory,
		},
		Requests: Requests{
			Pull: Verify, Build: Deny, Plugins: Deny, SwarmJoin: Deny, Start: Recorded, Copy: Allow,
		},
		Protect: defaultProtect(),
		Sweep:   Sweep{Every: Duration(10 * time.Minute), Action: SweepLog},
		Engine:  "unix:///run/docker.sock",
	}
}

// validate checks what types cannot say. It reports the first fault, at the
// place where it stands.
func (d *decoder) validate(p *Policy) error {
	checks := []func(*Policy) error{
		d.validateMode, d.validatePins, d.validatePatterns, d.validateNotary,
		d.validateSigners, d.validateDigests, d.validateChoices, d.validateProtect,
	}
	for _, check := range checks {
		if err := check(p); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) validateMode(p *Policy) error {
	modes := []Mode{Disabled, Permissive, Enforced}
	if slices.Contains(modes, p.ContentTrust.Mode) {
		return nil
	}
	const path = "/content-trust/mode"
	if at, ok := d.at[path]; ok {
		return d.errorf(at, "content-trust/mode: %q is no mode: want disabled, permissive or enforced", p.ContentTrust.Mode)
	}
	return d.errorf(d.at["/content-trust"], "content-trust/mode is missing: say disabled, permissive or enforced")
}

func (d *decoder) validatePins(p *Policy) error {
	pins := p.ContentTrust.TrustPinning
	const path = "/content-trust/trust-pinning"
	if pins.OfficialLibraryImages {
		return d.errorf(d.at[path+"/official-library-images"], "official-library-images: Docker has retired the signatures of its official images; pin a repository you sign yourself, or list digests")
	}
	for _, repository := range slices.Sorted(maps.Keys(pins.CertIDs)) {
		if isGlob(repository) {
			return d.errorf(d.at[path+"/cert-ids/"+repository+"#"], "cert-ids: %q: a certificate is made for one repository, so no pattern is allowed here", repository)
		}
	}
	if err := d.keyIDs(path+"/root-keys", pins.RootKeys); err != nil {
		return err
	}
	return d.keyIDs(path+"/cert-ids", pins.CertIDs)
}

// keyIDs wants at least one key ID in each entry, of 64 hexadecimal digits.
func (d *decoder) keyIDs(path string, entries map[string][]string) error {
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		at := path + "/" + name
		if len(entries[name]) == 0 {
			return d.errorf(d.at[at], "%swant at least one key ID", prefix(at))
		}
		if err := d.keyIDList(at, entries[name]); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) keyIDList(path string, ids []string) error {
	for i, id := range ids {
		if raw, err := hex.DecodeString(id); err != nil || len(raw) != 32 || id != strings.ToLower(id) {
			return d.errorf(d.at[fmt.Sprintf("%s/%d", path, i)], "%s%q is no key ID: want 64 lower-case hexadecimal digits", prefix(path), id)
		}
	}
	return nil
}

func (d *decoder) validatePatterns(p *Policy) error {
	pins := p.ContentTrust.TrustPinning
	maps := []struct {
		path     string
		patterns []string
	}{
		{"/content-trust/trust-pinning/root-keys", keys(pins.RootKeys)},
		{"/content-trust/trust-pinning/cert-ids", keys(pins.CertIDs)},
		{"/allow-expired", keys(p.AllowExpired)},
		{"/signers", keys(p.Signers)},
		{"/digests", keys(p.Digests)},
		{"/protect/except", keys(p.Protect.Except)},
	}
	for _, m := range maps {
		if err := d.patterns(m.path, m.patterns); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) patterns(path string, patterns []string) error {
	byLength := map[int][]string{}
	for _, pattern := range patterns {
		at := d.at[path+"/"+pattern+"#"]
		if err := checkPattern(pattern); err != nil {
			return d.errorf(at, "%s%v", prefix(path), err)
		}
		if !isGlob(pattern) {
			continue
		}
		for _, other := range byLength[len(pattern)] {
			if overlap(pattern, other) {
				return d.errorf(at, "%s%q and %q are equally specific and can match one repository: make one of them longer", prefix(path), other, pattern)
			}
		}
		byLength[len(pattern)] = append(byLength[len(pattern)], pattern)
	}
	return nil
}

func (d *decoder) validateNotary(p *Policy) error {
	if err := d.hosts("/notary/servers", keys(p.Notary.Servers)); err != nil {
		return err
	}
	if err := d.hosts("/notary/ca", keys(p.Notary.CA)); err != nil {
		return err
	}
	for _, host := range keys(p.Notary.Servers) {
		path := "/notary/servers/" + host
		for i, server := range p.Notary.Servers[host] {
			u, err := url.Parse(server)
			if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" {
				return d.errorf(d.at[fmt.Sprintf("%s/%d", path, i)], "%s%q is no trust server: want https://HOST[:PORT]", prefix(path), server)
			}
		}
	}
	for _, host := range keys(p.Notary.CA) {
		if !filepath.IsAbs(p.Notary.CA[host]) {
			return d.errorf(d.at["/notary/ca/"+host], "notary/ca/%s: want an absolute path", host)
		}
	}
	for _, bound := range []struct {
		key   string
		value int64
	}{
		{"timeout", int64(p.Notary.Timeout)},
		{"max-repositories", int64(p.Notary.MaxRepositories)},
		{"max-memory", int64(p.Notary.MaxMemory)},
	} {
		if bound.value <= 0 {
			return d.errorf(d.at["/notary/"+bound.key], "notary/%s: want more than zero", bound.key)
		}
	}
	return nil
}

// hosts refuses a key that no image's name has as its registry: it would decide
// nothing, without a word.
func (d *decoder) hosts(path string, hosts []string) error {
	for _, host := range hosts {
		if isHost(host) {
			continue
		}
		write := "the registry's host as it stands in the names of images, such as dtr.example.com, dtr.example.com:4443 or docker.io"
		if meant := meantHost(host); isHost(meant) {
			write = strconv.Quote(meant)
		}
		return d.errorf(d.at[path+"/"+host+"#"], "%sno image is of registry %q: write %s", prefix(path), host, write)
	}
	return nil
}

// hubHosts serve docker.io, which is what images have in their names.
var hubHosts = []string{"index.docker.io", "registry-1.docker.io", "hub.docker.com", "notary.docker.io"}

// isHost reports whether a full image name can begin with a host.
func isHost(host string) bool {
	named, err := reference.ParseNormalizedNamed(host + "/x")
	return err == nil && reference.Domain(named) == host && host == strings.ToLower(host) && !slices.Contains(hubHosts, host)
}

// meantHost takes off what a host has in an address, or in another's notation.
func meantHost(text string) string {
	_, rest, found := strings.Cut(text, "://")
	if !found {
		rest = text
	}
	host, _, _ := strings.Cut(strings.ToLower(rest), "/")
	name, port, found := strings.Cut(host, ":")
	name = strings.TrimSuffix(name, ".")
	if slices.Contains(hubHosts, name) {
		return "docker.io"
	}
	if found {
		return name + ":" + port
	}
	return name
}

func (d *decoder) validateSigners(p *Policy) error {
	for _, pattern := range keys(p.Signers) {
		path := "/signers/" + pattern
		if len(p.Signers[pattern]) == 0 {
			return d.errorf(d.at[path], "%swant at least one signer; leave the entry out to accept any", prefix(path))
		}
		for i, signer := range p.Signers[pattern] {
			if !validSigner(signer) {
				return d.errorf(d.at[fmt.Sprintf("%s/%d", path, i)], "%s%q is no signer: want the name given to docker trust signer add", prefix(path), signer)
			}
		}
	}
	for _, signer := range keys(p.SignerKeys) {
		if !validSigner(signer) {
			return d.errorf(d.at["/signer-keys/"+signer+"#"], "signer-keys: %q is no signer: want the name given to docker trust signer add", signer)
		}
	}
	if err := d.keyIDs("/signer-keys", p.SignerKeys); err != nil {
		return err
	}
	return d.keyIDList("/revoked/keys", p.Revoked.Keys)
}

// signerName is notary's rule for the name of a delegation below targets.
var signerName = regexp.MustCompile(`^[-a-z0-9_]+(/[-a-z0-9_]+)*$`)

// validSigner leaves out the releases role: it is a pointer which anybody with
// a key of the repository may move.
func validSigner(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	return signerName.MatchString(name) && len(name) <= 200 && first != "releases" && first != "targets"
}

func (d *decoder) validateDigests(p *Policy) error {
	for _, pattern := range keys(p.Digests) {
		if err := d.digests("/digests/"+pattern, p.Digests[pattern]); err != nil {
			return err
		}
	}
	return d.digests("/revoked/digests", p.Revoked.Digests)
}

func (d *decoder) digests(path string, list []digest.Digest) error {
	for i, dgst := range list {
		if err := dgst.Validate(); err != nil {
			return d.errorf(d.at[fmt.Sprintf("%s/%d", path, i)], "%s%q is no digest: want sha256: and 64 hexadecimal digits", prefix(path), dgst)
		}
	}
	return nil
}

// validateChoices holds every key with a closed set of values against it.
func (d *decoder) validateChoices(p *Policy) error {
	allowDeny := []string{string(Allow), string(Deny)}
	choices := []struct {
		path  string
		value string
		want  []string
	}{
		{"/requests/pull", string(p.Requests.Pull), []string{string(Verify), string(Allow), string(Deny)}},
		{"/requests/build", string(p.Requests.Build), allowDeny},
		{"/requests/plugins", string(p.Requests.Plugins), allowDeny},
		{"/requests/swarm-join", string(p.Requests.SwarmJoin), allowDeny},
		{"/requests/copy", string(p.Requests.Copy), allowDeny},
		{"/requests/start", string(p.Requests.Start), []string{string(Recorded), string(Current)}},
		{"/protect/privileged", string(p.Protect.Privileged), allowDeny},
		{"/protect/host-namespaces", string(p.Protect.HostNamespaces), allowDeny},
		{"/protect/devices", string(p.Protect.Devices), allowDeny},
		{"/protect/security-options", string(p.Protect.SecurityOptions), allowDeny},
		{"/protect/exec-privileged", string(p.Protect.ExecPrivileged), allowDeny},
		{"/sweep/action", p.Sweep.Action, []string{SweepLog, SweepStop}},
	}
	for _, c := range choices {
		if !slices.Contains(c.want, c.value) {
			return d.errorf(d.at[c.path], "%s%q: want %s", prefix(c.path), c.value, strings.Join(c.want, " or "))
		}
	}
	if !validMetrics(p.Metrics) {
		return d.errorf(d.at["/metrics"], "metrics: %q: want unix:///PATH, or a loopback address and port such as 127.0.0.1:9417", p.Metrics)
	}
	if !strings.HasPrefix(p.Engine, "unix:///") {
		return d.errorf(d.at["/engine"], "engine: %q: want unix:///PATH", p.Engine)
	}
	return nil
}

// validMetrics accepts what only this machine can reach, or nothing.
func validMetrics(address string) bool {
	if address == "" {
		return true
	}
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		return filepath.IsAbs(path)
	}
	at, err := netip.ParseAddrPort(address)
	return err == nil && at.Addr().IsLoopback() && at.Port() != 0
}

func keys[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }
