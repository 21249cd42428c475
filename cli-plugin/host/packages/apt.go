package packages

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// An offer is what one apt source says of the installed package.
type offer struct {
	source source
	holds  bool     // its lists name the package in the installed version
	same   bool     // and in the installed build, by the fields that tell builds apart
	sha256 []string // of the .deb, from the stanzas of that build
	lists  bool     // any list was fetched from it
	signed signedRelease
	key    Key
	err    error // why it does not vouch for the package: a rejection, or what kept it from being judged
}

func (o offer) vouches() bool { return o.holds && o.err == nil }

func (o offer) rejected() bool {
	var r rejection
	return errors.As(o.err, &r)
}

// installedDeb proves the engine package that dpkg installed.
func (j *judge) installedDeb(ctx context.Context) (Proof, error) {
	d, err := readDpkg(ctx, j.root)
	if err != nil {
		return Proof{}, err
	}
	p, err := d.engine(j.wantedEngines())
	if err != nil {
		return Proof{}, err
	}
	j.fact("dpkg", dpkgDir+"/status", "%s is installed and owns %s", p, p.binary)
	if err := j.unchanged(d, p); err != nil {
		return Proof{}, err
	}
	sources, err := j.root.sources()
	if err != nil {
		return Proof{}, err
	}
	var offers []offer
	for _, s := range sources {
		if s.serves(p.arch()) {
			offers = append(offers, j.offer(ctx, s, p))
		}
	}
	return j.decide(ctx, p, offers)
}

// offer looks the package up in the lists of one source, and judges them if
// they name it.
func (j *judge) offer(ctx context.Context, s source, p debPackage) offer {
	o := offer{source: s}
	indexes, err := j.root.indexes(s, p.arch())
	if err != nil {
		o.err = err
		return o
	}
	o.lists = len(indexes) > 0
	for _, i := range indexes {
		read, err := j.readList(ctx, i, p.name())
		if err != nil {
			o.err = err
			return o
		}
		if !o.take(read, p) {
			continue
		}
		o.signed, o.key, o.err = j.vouched(s, p, i, read)
		if o.err == nil && !o.same {
			o.err = rejection("it offers another build of this version")
		}
		break
	}
	return o
}

func (j *judge) readList(ctx context.Context, i index, name string) (indexRead, error) {
	file, err := j.root.open(i.file)
	if err != nil {
		return indexRead{}, err
	}
	defer file.Close()
	return readIndex(ctx, i.file, file, ofPackage(name))
}

// take notes the stanzas of the installed version, and reports whether there
// are any.
func (o *offer) take(read indexRead, p debPackage) bool {
	for _, s := range read.stanzas {
		if s["version"] != p.version() || s["architecture"] != p.arch() {
			continue
		}
		o.holds = true
		if len(otherBuild(p.stanza, s)) == 0 {
			o.same = true
			o.sha256 = append(o.sha256, strings.ToLower(s["sha256"]))
		}
	}
	return o.holds
}

// vouched verifies the chain from a known key to a Packages file.
func (j *judge) vouched(s source, p debPackage, i index, read indexRead) (signedRelease, Key, error) {
	if option := s.unchecked(); option != "" {
		return signedRelease{}, Key{}, rejection("apt takes it unchecked (" + option + ")")
	}
	t, err := j.root.trust(s)
	if err != nil {
		return signedRelease{}, Key{}, err
	}
	signed, err := j.release(s, p.arch(), t)
	if err != nil {
		return signedRelease{}, Key{}, err
	}
	j.fact("apt", signed.file, "signed by %s; key from %s (%s)", joined(signed.signers), strings.Join(t.from, ", "), t.scope)
	if !signed.names(func(name string) bool { return name == i.name }, read.plain, read.compressed) {
		return signed, Key{}, rejection(fmt.Sprintf("%s is not the file that %s names", i.file, signed.file))
	}
	j.fact("apt", i.file, "SHA-256 %s, as named by %s", read.plain.sum, signed.file)
	key, ok := j.known.recognize(signed.signers, Deb)
	if !ok {
		return signed, Key{}, rejection("signed by " + joined(signed.signers) + ", no vendor's key and not approved by the site")
	}
	if !signed.validUntil.IsZero() && j.now.After(signed.validUntil) {
		j.fact("apt", signed.file, "its Valid-Until, %s, is past: the lists are old, and newer packages may be missing from them",
			signed.validUntil.UTC().Format("2006-01-02"))
	}
	return signed, key, nil
}

func joined(signers []signer) string {
	texts := make([]string, 0, len(signers))
	for _, s := range signers {
		texts = append(texts, s.String())
	}
	return strings.Join(texts, " and ")
}

// briefly names the first of several keys; the evidence has them all.
func briefly(signers []signer) string {
	text := fmt.Sprintf("%s (%s)", signers[0].primary, signers[0].name)
	if more := len(signers) - 1; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// decide weighs the offers. One that vouches is enough, unless another source
// offers different bytes as the same build: then only the bytes themselves
// can tell which of the two was installed.
func (j *judge) decide(ctx context.Context, p debPackage, offers []offer) (Proof, error) {
	for _, o := range offers {
		if o.holds && o.err != nil {
			j.fact("apt", o.source.String(), "offers %s, but does not count: %v", p, o.err)
		}
	}
	i := slices.IndexFunc(offers, offer.vouches)
	if i < 0 {
		return Proof{}, j.unvouched(p, offers)
	}
	chosen := offers[i]
	j.fact("apt", chosen.source.String(), "names %s with SHA-256 %s", p, strings.Join(chosen.sha256, ", "))
	proven, err := j.cachedDeb(ctx, p, chosen.sha256)
	if err != nil {
		return Proof{}, err
	}
	if rival := rivalOf(chosen, offers); rival != nil && !proven {
		return Proof{}, fmt.Errorf("%s and %s both offer %s, with different content, and nothing tells which was installed: "+
			"remove the second source, then apt-get install --reinstall --download-only %s and ask again", chosen.source, rival.source, p, p.name())
	}
	return Proof{
		Package: p.name(), Version: p.version(), Architecture: p.arch(), Format: Deb,
		Key: chosen.key, Repository: chosen.source.String(),
	}, nil
}

// rivalOf finds a source that does not vouch, yet offers other bytes as the
// installed build.
func rivalOf(chosen offer, offers []offer) *offer {
	for i, o := range offers {
		if !o.same || o.vouches() {
			continue
		}
		for _, sum := range o.sha256 {
			if !slices.Contains(chosen.sha256, sum) {
				return &offers[i]
			}
		}
	}
	return nil
}

// unvouched is the answer when no source vouches for the package.
func (j *judge) unvouched(p debPackage, offers []offer) error {
	if o := find(offers, func(o offer) bool { return o.same && o.rejected() }); o != nil {
		return j.refuseOffer(p, *o)
	}
	if o := find(offers, func(o offer) bool { return o.err != nil && !o.rejected() }); o != nil {
		return fmt.Errorf("judging what %s says of %s: %w; apt-get update fetches its lists anew", o.source, p, o.err)
	}
	if o := find(offers, func(o offer) bool { return !o.lists }); o != nil {
		return fmt.Errorf("apt holds no package lists of %s, so it cannot be told where %s came from: run apt-get update and ask again", o.source, p)
	}
	if o := find(offers, func(o offer) bool { return o.holds }); o != nil {
		return j.refuseOffer(p, *o)
	}
	return j.refuse(fmt.Sprintf("%s comes from no repository that this host uses: %d sources, and none offers this version", p, len(offers)),
		"install the version that the vendor's repository offers, or give the package's file with --package, --packages and --inrelease")
}

func find(offers []offer, is func(offer) bool) *offer {
	if i := slices.IndexFunc(offers, is); i >= 0 {
		return &offers[i]
	}
	return nil
}

// refuseOffer words the refusal of a package whose source does not count.
func (j *judge) refuseOffer(p debPackage, o offer) error {
	signers := o.signed.signers
	if len(signers) == 0 || o.signed.sha256 == nil {
		return j.refuse(fmt.Sprintf("%s comes from %s, which does not count: %v", p, o.source, o.err),
			"use the vendor's signed repository with the vendor's key in signed-by, run apt-get update and reinstall the package")
	}
	if _, known := j.known.recognize(signers, Deb); known {
		return j.refuse(fmt.Sprintf("%s is not what %s signed: %v", p, o.source, o.err), "run apt-get update and reinstall the package from there")
	}
	return j.strangerBuilt(p.name(), p.String(), o.signed.origin, signers)
}

// strangerBuilt refuses a package signed by a key that nobody vouched for.
func (j *judge) strangerBuilt(name, what, origin string, signers []signer) error {
	reason := fmt.Sprintf("%s is signed by an unknown key, %s", what, briefly(signers))
	if fromDistribution(name) {
		if origin == "" {
			origin = "of unknown origin"
		}
		reason = fmt.Sprintf("%s is built by the distribution: %s, signed by %s", what, origin, briefly(signers))
	}
	return j.refuse(reason, fmt.Sprintf("approve fingerprint %s in site.yaml (approved-keys), or install the vendor's package", signers[0].primary))
}
