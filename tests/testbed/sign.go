package testbed

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"github.com/theupdateframework/notary/tuf/data"
	"github.com/theupdateframework/notary/tuf/utils"
)

// DefaultSigner signs when no other is named. Its role is targets/qa.
const DefaultSigner = "qa"

// Sign signs with the real `docker trust` what the engine holds under a name,
// after making it if that is nothing. The first signature of a repository
// makes its keys; the root key is the same for all repositories of a testbed.
// `docker trust` signs with every signer's key that it has for a repository,
// so a signer once added signs for good. It keeps its keys in files, so one
// signature waits for another.
func (tb *Testbed) Sign(ctx context.Context, name string, signers ...string) (Image, error) {
	ref, err := tb.reference(name)
	if err != nil {
		return Image{}, err
	}
	if len(signers) == 0 {
		signers = []string{DefaultSigner}
	}
	lock, err := lockDir(ctx, tb.dir, lockPatience)
	if err != nil {
		return Image{}, err
	}
	defer lock.release()
	if _, err := tb.Docker(ctx, "image", "inspect", ref.String()); err != nil {
		if err := tb.importImage(ctx, ref); err != nil {
			return Image{}, err
		}
	}
	for _, signer := range signers {
		if err := tb.addSigner(ctx, signer, ref.Name()); err != nil {
			return Image{}, err
		}
	}
	if tb.engine == Moby {
		if err := tb.announce(ctx, ref); err != nil {
			return Image{}, err
		}
	}
	if _, err := tb.Docker(ctx, "trust", "sign", ref.String()); err != nil {
		return Image{}, err
	}
	return tb.image(ctx, ref)
}

// announce pushes an image and makes it the target of its tag, by means of
// the notary client and the repository's own keys, so that `docker trust sign`
// only has to sign it. Left to itself that command pushes and learns the
// digest from the engine's answer, which engines from 29 on no longer give:
// "no hashes specified for target".
func (tb *Testbed) announce(ctx context.Context, ref reference.NamedTagged) error {
	if _, err := tb.Docker(ctx, "push", ref.String()); err != nil {
		return err
	}
	found, size, err := tb.manifest(ctx, ref)
	if err != nil {
		return err
	}
	client, err := lookup("notary")
	if err != nil {
		return &MissingError{[]string{"notary (package notary)"}}
	}
	cmd := command(ctx, client, "--server", tb.NotaryURL(), "--tlscacert", tb.CA(), "--trustDir", tb.path("config/trust"),
		"addhash", ref.Name(), ref.Tag(), strconv.FormatInt(size, 10), "--sha256", digest.Digest(found).Encoded(),
		"--roles", "targets/releases", "--publish")
	cmd.Env = append(os.Environ(), "NOTARY_DELEGATION_PASSPHRASE="+repositoryPassphrase)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("adding %s to targets/releases: %w: %s", ref, err, out)
	}
	return nil
}

// addSigner makes a key for the signer, if it has none, and adds it to a
// repository's signers, if it is none.
func (tb *Testbed) addSigner(ctx context.Context, signer, repository string) error {
	key := filepath.Join(tb.path("config"), signer+".pub")
	if !exists(key) {
		if _, err := tb.Docker(ctx, "trust", "key", "generate", signer, "--dir", tb.path("config")); err != nil {
			return err
		}
	}
	signers, err := tb.signers(ctx, repository)
	if err != nil || slices.Contains(signers, signer) {
		return err
	}
	_, err = tb.Docker(ctx, "trust", "signer", "add", "--key", key, signer, repository)
	return err
}

// signers are the signers a repository has.
func (tb *Testbed) signers(ctx context.Context, repository string) ([]string, error) {
	if _, err := os.Stat(tb.rootJSON(repository)); err != nil {
		return nil, nil // never signed from here
	}
	out, err := tb.Docker(ctx, "trust", "inspect", repository)
	if err != nil {
		return nil, err
	}
	var answer []struct{ Signers []struct{ Name string } }
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		return nil, fmt.Errorf("reading the signers of %s: %w", repository, err)
	}
	var names []string
	for _, repository := range answer {
		for _, signer := range repository.Signers {
			names = append(names, signer.Name)
		}
	}
	return names, nil
}

// RootKeyID is the canonical ID of the root key of a repository that was
// signed here: what a policy's trust-pinning.root-keys names.
func (tb *Testbed) RootKeyID(name string) (string, error) {
	key, err := tb.rootCertificate(name)
	if err != nil {
		return "", err
	}
	return utils.CanonicalKeyID(key)
}

// RootCertID is the ID of the certificate that wraps the root key in a
// repository's root.json: what a policy's trust-pinning.cert-ids names.
func (tb *Testbed) RootCertID(name string) (string, error) {
	key, err := tb.rootCertificate(name)
	if err != nil {
		return "", err
	}
	return key.ID(), nil
}

// rootCertificate is the key of the root role in the docker client's copy of
// root.json.
func (tb *Testbed) rootCertificate(name string) (data.PublicKey, error) {
	ref, err := tb.reference(name)
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(tb.rootJSON(ref.Name()))
	if err != nil {
		return nil, fmt.Errorf("%s was not signed in this testbed: %w", ref.Name(), err)
	}
	var signed data.Signed
	if err := json.Unmarshal(raw, &signed); err != nil {
		return nil, fmt.Errorf("reading the root of %s: %w", ref.Name(), err)
	}
	root, err := data.RootFromSigned(&signed)
	if err != nil {
		return nil, fmt.Errorf("reading the root of %s: %w", ref.Name(), err)
	}
	role, err := root.BuildBaseRole(data.CanonicalRootRole)
	if err != nil {
		return nil, fmt.Errorf("reading the root of %s: %w", ref.Name(), err)
	}
	for _, key := range role.Keys {
		return key, nil
	}
	return nil, fmt.Errorf("the root of %s has no key", ref.Name())
}

func (tb *Testbed) rootJSON(repository string) string {
	return filepath.Join(tb.path("config"), "trust", "tuf", filepath.FromSlash(repository), "metadata", "root.json")
}
