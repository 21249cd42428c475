// Package site reads site.yaml: what only the site can tell. It holds values,
// such as the figures of its security plan and where UCP and DTR are, answers
// to what a program cannot decide, and waivers of risks that were accepted.
// What follows from them is decided by the rules and by package scan.
package site

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/parser"

	"github.com/docker-stig/docker-stig/shared/stig"
)

// DefaultPath is where a site keeps its values.
const DefaultPath = "/etc/docker-stig/site.yaml"

const maxSite = 4 << 20 // bytes; a site's answers to 101 requirements are a few dozen KiB

// A Site is what site.yaml says. The zero Site says nothing. A nil list was
// not given, and leaves its requirement Not_Reviewed; an empty one allows
// nothing.
type Site struct {
	Asset Asset `yaml:"asset"`
	// Answers settle what only a person can, by STIG ID.
	Answers map[stig.ID]Answer `yaml:"answers"`
	Waivers []Waiver           `yaml:"waivers"`
	// AssessedIn cites the checklist of the cluster; nil: there is none.
	AssessedIn *Citation `yaml:"assessed-in"`
	// ApprovedKeys are full fingerprints of package signing keys that the
	// organization approves beside the vendors' (CM-5(3), V-235788).
	ApprovedKeys []string `yaml:"approved-keys"`
	// VendorKey is a file with the public key of the engine's vendor, and
	// VendorRepository where its packages are: a URL and, for apt, suite and
	// components. docker stig fix sets them up (V-235788).
	VendorKey        string `yaml:"vendor-key"`
	VendorRepository string `yaml:"vendor-repository"`
	// VendorImages are the UCP and DTR images in use, by tag (V-235788).
	VendorImages []string `yaml:"vendor-images"`
	// TrustedCA is a PEM file of the authorities whose certificates UCP and
	// DTR may show (V-235793, V-235794, V-235841, V-235842, V-235871).
	TrustedCA  string     `yaml:"trusted-ca"`
	Containers Containers `yaml:"containers"`
	Logging    Logging    `yaml:"logging"`
	Swarm      Swarm      `yaml:"swarm"`
	UCP        UCP        `yaml:"ucp"`
	DTR        DTR        `yaml:"dtr"`
}

// Containers say what the site's security plan (SSP) allows containers.
type Containers struct {
	// System says how containers of UCP and DTR are judged: as the guide's
	// own filters do ("", "guide"), all of them ("judge") or none ("skip").
	System         string   `yaml:"system"`
	Capabilities   []string `yaml:"capabilities"` // beyond the default set: "NET_ADMIN"
	Ports          []string `yaml:"ports"`        // "443/tcp", of one container "web:443/tcp"
	Devices        []string `yaml:"devices"`      // "/dev/fuse", with its permissions "/dev/fuse:rw"
	CgroupParents  []string `yaml:"cgroup-parents"`
	Ulimits        []string `yaml:"ulimits"`         // "nofile=1024:2048"
	Memory         []string `yaml:"memory"`          // "512m", of one container "web:1g"
	CPUShares      []string `yaml:"cpu-shares"`      // "512"
	PidsLimit      []string `yaml:"pids-limit"`      // "100"
	SensitivePaths []string `yaml:"sensitive-paths"` // in place of the guide's list; of one container "web:/srv", beside it
}

// Logging is what the site's plan says of the engine's logs.
type Logging struct {
	MaxSize string `yaml:"max-size"` // log-opts max-size
	MaxFile string `yaml:"max-file"` // log-opts max-file
	Address string `yaml:"address"`  // of the log server that feeds the SIEM
}

// Swarm is what the site's plan says of the swarm.
type Swarm struct {
	NodeCertExpiry string              `yaml:"node-cert-expiry"` // "2160h"
	Secrets        map[string][]string `yaml:"secrets"`          // secrets that a service has to use; []: any
	// EncryptedByApplication are overlay networks whose applications encrypt
	// what they send.
	EncryptedByApplication []string `yaml:"encrypted-by-application"`
}

// DTR is how DTR is reached, and who may do what there.
type DTR struct {
	Server `yaml:",inline"`
	// Access maps ORG/TEAM to what it may do with repositories:
	// "prod/web": "read-only". An ORG alone is an organization without teams.
	// Nil: the site has not said.
	Access map[string]map[string]string `yaml:"access"`
	// Members maps ORG/TEAM to its members.
	Members map[string][]string `yaml:"members"`
}

// A Server is how UCP or DTR is reached.
type Server struct {
	URL          string `yaml:"url"`
	CA           string `yaml:"ca"` // PEM file
	Username     string `yaml:"username"`
	PasswordFile string `yaml:"password-file"`
	// Parallel is how many questions are under way at once, 1 to 256; nil: as
	// many as are usual.
	Parallel *int `yaml:"parallel"`
}

// maxParallel is the most that package mgmt asks at once.
const maxParallel = 256

// UCP is how UCP is reached, and whose signatures it must ask for.
type UCP struct {
	Server `yaml:",inline"`
	// RequireSignatureFrom is the site's list of org/team (V-235847). Nil
	// means that the site has not said; an empty list that it wants none.
	RequireSignatureFrom []string `yaml:"require-signature-from"`
	// SessionsPerUser is the plan's cap of logins; nil: the site has not said.
	SessionsPerUser *int `yaml:"sessions-per-user"`
	// Grants are the plan's, "SUBJECT ROLE COLLECTION" each.
	Grants []string `yaml:"grants"`
	// ClientCertificate is a cert.pem of a client bundle, with the subject
	// and issuer that the plan wants (RFC 4514).
	ClientCertificate string `yaml:"client-certificate"`
	Subject           string `yaml:"subject"`
	Issuer            string `yaml:"issuer"`
}

// Load reads the file at path. A file that is not there is an error only if
// it was asked for, that is unless path is DefaultPath.
func Load(path string) (Site, error) {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) && path == DefaultPath {
		return Site{}, nil
	}
	if err != nil {
		return Site{}, fmt.Errorf("reading the site's values: %w", err)
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxSite+1))
	if err != nil {
		return Site{}, fmt.Errorf("reading the site's values: %w", err)
	}
	return Parse(path, raw)
}

// Parse reads site.yaml. Unknown and repeated keys are errors, with line and
// column. The name stands in messages.
func Parse(name string, raw []byte) (Site, error) {
	if len(raw) > maxSite {
		return Site{}, fmt.Errorf("%s: at most %d MiB are read", name, maxSite>>20)
	}
	var s Site
	decoder := yaml.NewDecoder(bytes.NewReader(raw), yaml.Strict())
	err := decoder.Decode(&s)
	if err == nil && decoder.Decode(new(any)) == nil {
		return Site{}, fmt.Errorf("%s: want one document, and there is a second one behind \"---\"", name)
	}
	if errors.Is(err, io.EOF) {
		return Site{}, nil // empty, or nothing but comments
	}
	if err != nil {
		if wrong := wrongWord(name, raw); wrong != nil {
			return Site{}, wrong
		}
		return Site{}, syntaxError(name, err)
	}
	return s, validate(name, raw, s)
}

// fingerprint is a whole OpenPGP fingerprint, of version 4 or 6, with the
// spaces that gpg prints.
var fingerprint = regexp.MustCompile(`^(?:[0-9A-Fa-f] *){40}$|^(?:[0-9A-Fa-f] *){64}$`)

// validate checks what types cannot say, and gives the place of the fault.
func validate(name string, raw []byte, s Site) error {
	for i, key := range s.ApprovedKeys {
		if !fingerprint.MatchString(key) {
			return fault(name, raw, fmt.Sprintf("$.approved-keys[%d]", i), "%q is no full fingerprint: want its 40 hexadecimal digits, as gpg --show-keys prints them", key)
		}
	}
	for i, image := range s.VendorImages {
		if _, err := reference.ParseDockerRef(image); err != nil {
			return fault(name, raw, fmt.Sprintf("$.vendor-images[%d]", i), "%q: %v", image, err)
		}
	}
	if wrong := s.complaints(); len(wrong) > 0 {
		first := slices.MinFunc(wrong, func(a, b complaint) int { return strings.Compare(a.path, b.path) })
		return fault(name, raw, first.path, "%s", first.message)
	}
	if err := validateServer(name, raw, "dtr", s.DTR.Server); err != nil {
		return err
	}
	return validateServer(name, raw, "ucp", s.UCP.Server)
}

func validateServer(name string, raw []byte, section string, s Server) error {
	if u, err := url.Parse(s.URL); s.URL != "" && (err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil) {
		return fault(name, raw, "$."+section+".url", "this is no address to ask: want https://HOST or https://HOST:PORT")
	}
	if n := s.Parallel; n != nil && (*n < 1 || *n > maxParallel) {
		return fault(name, raw, "$."+section+".parallel", "%d questions at once are out of bounds: want 1 to %d", *n, maxParallel)
	}
	return nil
}

// fault puts the place of a value before a message.
func fault(name string, raw []byte, path, format string, args ...any) error {
	at := ""
	if found, err := yaml.PathString(path); err == nil {
		if file, err := parser.ParseBytes(raw, 0); err == nil {
			if node, err := found.FilterFile(file); err == nil {
				position := node.GetToken().Position
				at = fmt.Sprintf(":%d:%d", position.Line, position.Column)
			}
		}
	}
	return fmt.Errorf("%s%s: %s", name, at, fmt.Sprintf(format, args...))
}

// syntaxError puts file, line and column before the message, and leaves the
// library's drawing of the place below it.
func syntaxError(name string, err error) error {
	located := yaml.Error(nil)
	if !errors.As(err, &located) || located.GetToken() == nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	at := located.GetToken().Position
	message := strings.TrimSpace(located.GetMessage())
	if strings.HasPrefix(message, "unknown field") {
		message += ": docker-stig-site(5) and docker stig site init list the keys"
	}
	return fmt.Errorf("%s:%d:%d: %s", name, at.Line, at.Column, message)
}
