// Package signing makes signatures of Docker Content Trust (Notary v1), and
// takes them back: tags, signers and keys of repositories on a Notary server.
// No engine takes part and no image is pulled: what is signed is the digest of
// a manifest, which the registry tells and this package counts itself.
//
// It decides into which roles a tag is written, which keys sign, and when a
// change counts as published: when the server, asked again, serves it. Which
// tags are to be signed, and whether a person has agreed to that promise, is
// its caller's business; whose signatures are believed is package policy's.
//
// Signing can be split, see Prepared: what it takes of the network is carried to
// the keys, and what was signed is carried back and published.
//
// Keys and metadata lie where docker has them, $DOCKER_CONFIG/trust, in
// docker's form, so that both can be used in turn. What is staged lies in
// memory only: a run that is broken off leaves nothing behind which a later
// one would publish. Files are replaced whole.
//
// The roles are those of `docker trust` (docker/cli 28): each level-one
// delegation whose key is here, among them targets/releases, which decides for
// an engine; a repository without delegations has its tags in targets. TUF is
// done by theupdateframework/notary v0.7.0.
package signing

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust/access"
	"github.com/sirupsen/logrus"
	"github.com/theupdateframework/notary/client"
	"github.com/theupdateframework/notary/tuf/data"
)

// A Server is the Notary server of a repository.
type Server struct {
	URL string // https://HOST[:PORT]
	CA  string // PEM file that alone vouches for it; empty: the system and Options.CertDirs
}

// Options say where keys lie, who is asked, and as whom.
type Options struct {
	Dir         string                                    // docker's trust folder, $DOCKER_CONFIG/trust
	Server      func(reference.Named) (Server, error)     // of a repository
	Logins      access.Credentials                        // nil: nobody logs in
	CertDirs    []string                                  // folders with HOST[:PORT]/ca.crt, client.cert and client.key
	Passphrases *Passphrases                              // of keys
	RootKey     string                                    // ID of the root key of new repositories; empty: the only one
	Timeout     time.Duration                             // of one request; zero: 30 s
	wait        func(context.Context, time.Duration) bool // between attempts; nil: by the clock
}

// A Signer signs with the keys of one folder. It is safe for concurrent use.
type Signer struct {
	opts     Options
	keys     *keyring
	clients  *access.Clients
	rootOnce sync.Mutex // one root key is made, not one for each repository
}

// New opens the keys in opts.Dir. It opens no connection.
func New(opts Options) (*Signer, error) {
	quieten()
	keys, err := openKeys(opts.Dir, opts.Passphrases)
	if err != nil {
		return nil, err
	}
	if opts.wait == nil {
		opts.wait = wait
	}
	clients := access.New(access.Options{Credentials: opts.Logins, CertDirs: opts.CertDirs, Timeout: opts.Timeout})
	return &Signer{opts: opts, keys: keys, clients: clients}, nil
}

// Close lets go of the connections.
func (s *Signer) Close() { s.clients.Close() }

// quieten keeps notary's client from writing log lines between the answers of
// a command, unless somebody wants to debug: all that counts is in the errors.
func quieten() {
	if logrus.GetLevel() < logrus.DebugLevel {
		logrus.SetLevel(logrus.PanicLevel)
	}
}

func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// DefaultServer is the address that docker would ask about a repository:
// Docker's own server for its Hub, and the registry's host for the rest.
func DefaultServer(ref reference.Named) Server {
	if reference.Domain(ref) == "docker.io" {
		return Server{URL: "https://notary.docker.io"}
	}
	return Server{URL: "https://" + reference.Domain(ref)}
}

// check refuses an address to which no login may go.
func (s Server) check() error {
	u, err := url.Parse(s.URL)
	odd := strings.ContainsFunc(s.URL, func(c rune) bool { return c <= ' ' || c > '~' }) // it is shown on terminals
	if err != nil || odd || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return fmt.Errorf("trust server %q: its address is not of the form https://HOST[:PORT]", s.URL)
	}
	return nil
}

// parseGUN reads a repository's full name, which is its GUN.
func parseGUN(gun string) (reference.Named, error) {
	ref, err := reference.ParseNormalizedNamed(gun)
	if err != nil || ref.Name() != gun {
		return nil, fmt.Errorf("%q is not a repository's full name, such as docker.io/library/alpine", gun)
	}
	return ref, nil
}

// signerName is what docker accepts as a signer's name.
var signerName = regexp.MustCompile(`^[a-z0-9]+[a-z0-9_-]*$`)

// CheckName refuses what cannot be a signer's name.
func CheckName(name string) error {
	reserved := name == "releases" || data.ValidRole(data.RoleName(name))
	if !signerName.MatchString(name) || reserved || len(name) > 100 {
		return fmt.Errorf("%q cannot be a signer's name: want lower-case letters, digits, - and _, and none of releases, root, targets, snapshot and timestamp", name)
	}
	return nil
}

// The roles that tags are written into.
var targetsRole = data.CanonicalTargetsRole

const releasesRole = data.RoleName("targets/releases")

func roleOf(signer string) data.RoleName { return data.RoleName("targets/" + signer) }

// signerOf is the name behind a delegation, or the role itself.
func signerOf(role data.RoleName) string { return strings.TrimPrefix(role.String(), "targets/") }

// metadataDir is where docker keeps what it knows of a repository.
func (s *Signer) metadataDir(gun string) string {
	return filepath.Join(s.opts.Dir, "tuf", filepath.FromSlash(gun), "metadata")
}

// errConflict says that somebody else has published in between.
var errConflict = errors.New("somebody else publishes to it at the same time; try again")

// explain puts what notary's client says into words with a next step.
func explain(server Server, gun string, err error) error {
	err = unwrapNetwork(err)
	told, unreached, own := new(refusal), new(access.Error), new(planError)
	switch {
	case errors.As(err, told):
		return *told
	case errors.As(err, &unreached):
		return unreached
	case errors.As(err, &own):
		return own.error
	case errors.As(err, new(client.ErrRepositoryNotExist)):
		return fmt.Errorf("trust server %s has no signatures of %s; is that the right server? --server names another", server.URL, gun)
	default:
		return fmt.Errorf("trust server %s, repository %s: %w", server.URL, gun, err)
	}
}
