package rules

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/packages"
	"github.com/docker-stig/docker-stig/shared/stig"
	"github.com/docker-stig/docker-stig/shared/trust"
)

// vendorSigned wants the engine's package and the UCP and DTR images to carry
// their vendor's signature (V-235788, CAT III).
//
// DISA's check has two halves. Packages: the vendor's key is trusted and the
// engine comes from the vendor's repository, or its package is signed by that
// key. Images: docker trust inspect shows a Digest in SignedTags for both
// docker/ucp:VERSION and docker/dtr:VERSION. We ask for more than it prints:
// the package must be the one that the signed metadata names, and an image
// held by the engine must have the signed digest. Where there is neither UCP
// nor DTR the package half decides alone.
var vendorSigned = Rule{
	IDs:   []stig.ID{stig.VendorSigned},
	Check: checkVendorSigned,
	Fix:   fixVendorSigned,
	Steps: []Step{
		{"the vendor's key is among those that the host trusts for packages", "judgePackage"},
		{"the engine's package comes from the vendor's repository, or carries the vendor's signature", "packages.Installed"},
		{"docker trust inspect shows a digest among SignedTags for the UCP image of the version in use, and the same for DTR", "judgeVendorImage"},
	},
	Readings: []string{
		"the package must be the very one that the signed metadata of its repository names: a key that is trusted proves nothing about a package that came another way",
		"an image that the engine holds must have the digest that was signed: a signed tag alone says nothing about it",
		"a host with neither UCP nor DTR is judged by its package alone",
	},
}

func checkVendorSigned(ctx context.Context, h *host.Host) ([]stig.Finding, error) {
	findings := []stig.Finding{judgePackage(ctx, h)}
	images, err := vendorImages(ctx, h)
	if err != nil {
		return append(findings, stig.Finding{Object: "UCP and DTR images", Details: err.Error()}), nil
	}
	for _, image := range images {
		findings = append(findings, judgeVendorImage(ctx, h, image))
	}
	return findings, nil
}

// judgePackage is the package half.
func judgePackage(ctx context.Context, h *host.Host) stig.Finding {
	const object = "engine package"
	proof, err := h.PackageProof(ctx)
	if refused := new(packages.Refused); errors.As(err, &refused) {
		return stig.Finding{Object: object, Status: stig.Open, Details: refused.Error(), Evidence: refused.Facts}
	}
	if err != nil {
		return stig.Finding{Object: object, Details: err.Error()}
	}
	f := stig.Finding{
		Object:   object + " " + proof.Package,
		Status:   stig.NotAFinding,
		Details:  fmt.Sprintf("%s %s (%s) is the package that %s names, signed by %s", proof.Package, proof.Version, proof.Architecture, proof.Repository, proof.Key),
		Evidence: proof.Facts,
	}
	if !proof.Installed {
		f.Status = stig.NotReviewed
		f.Details += "; whether the engine on this host came from it is unknown: install it, or run this where it is installed"
	}
	return f
}

// A vendorImage is an image to judge: found on the engine, brought in an
// archive, or named by the site.
type vendorImage struct {
	host.Image
	source  string // "engine", "site.yaml" or the archive's name
	product host.Product
}

// vendorImages gathers the main images of UCP and DTR. Their other images
// carry no requirement, but show that a main image is missing from the list.
func vendorImages(ctx context.Context, h *host.Host) ([]vendorImage, error) {
	found, err := givenImages(h)
	if err != nil {
		return nil, err
	}
	for _, p := range []host.Product{host.UCP, host.DTR} {
		seen, err := h.Seen(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("whether the engine holds %s is unknown: %w", p.Name, err)
		}
		mains := mainImages(seen, p)
		given := slices.ContainsFunc(found, func(v vendorImage) bool { return v.product.Name == p.Name })
		if len(seen) > 0 && len(mains) == 0 && !given {
			return nil, fmt.Errorf("%s is here (image %v) but not its main image: name the one it was installed from under vendor-images in site.yaml, such as %s:VERSION", p.Name, seen[0], p.Repositories[0])
		}
		found = append(found, mains...)
	}
	return found, nil
}

// givenImages are those that the site names and those in archives.
func givenImages(h *host.Host) ([]vendorImage, error) {
	var given []vendorImage
	for _, name := range h.Site.VendorImages {
		ref, err := reference.ParseDockerRef(name)
		if err != nil {
			return nil, fmt.Errorf("vendor-images in site.yaml: %q: %w", name, err)
		}
		given = append(given, vendorImage{host.Image{Name: ref}, "site.yaml", productOf(ref)})
	}
	for _, archive := range h.Archives {
		images, err := host.ReadArchive(archive)
		if err != nil {
			return nil, err
		}
		for _, image := range images {
			if p := productOf(image.Name); p.Name != "" {
				given = append(given, vendorImage{image, path.Base(archive), p})
			}
		}
	}
	return given, nil
}

func mainImages(seen []host.Image, p host.Product) []vendorImage {
	var mains []vendorImage
	for _, image := range seen {
		if productOf(image.Name).Name == p.Name {
			mains = append(mains, vendorImage{image, "engine", p})
		}
	}
	return mains
}

// productOf tells a product's main image by the last part of its name.
func productOf(name reference.Named) host.Product {
	if name == nil {
		return host.Product{}
	}
	for _, p := range []host.Product{host.UCP, host.DTR} {
		if path.Base(reference.Path(name)) == p.Image {
			return p
		}
	}
	return host.Product{}
}

// judgeVendorImage is the image half, for one image. An image under another
// name, such as a mirror's, passes if it is the content that the vendor signed.
func judgeVendorImage(ctx context.Context, h *host.Host, image vendorImage) stig.Finding {
	f := stig.Finding{Object: fmt.Sprintf("image %v (%s)", image, image.source)}
	if image.product.Name == "" {
		f.Details = "vendor-images in site.yaml names an image that is neither UCP's nor DTR's"
		return f
	}
	if h.Trust == nil {
		f.Details = "no policy tells whose signatures to believe: write " + policyHint(image.product)
		return f
	}
	content := image.Content
	if image.source == "site.yaml" && h.Engine != nil {
		held, err := host.Hold(ctx, h.Engine, image.Name.String())
		if err != nil {
			f.Details = err.Error()
			return f
		}
		content = held.Content
	}
	return judgeByVendor(ctx, h, image, content, f)
}

func judgeByVendor(ctx context.Context, h *host.Host, image vendorImage, content trust.Content, f stig.Finding) stig.Finding {
	questions := vendorQuestions(image, content)
	scoped := slices.DeleteFunc(questions, func(q trust.Question) bool { return h.Trust.Scope(q.Ref) == "" })
	if len(scoped) == 0 {
		f.Details = "the policy has no root key for the vendor's repositories: add one for " + policyHint(image.product)
		return f
	}
	answer, err := trust.VerifyAny(ctx, h.Trust, scoped)
	if err != nil {
		f.Details = trust.Explain(err)
		if !trust.Inconclusive(err) {
			f.Status = stig.Open
		}
		return f
	}
	signed := answer.Signed
	f.Status, f.Expires = stig.NotAFinding, signed.Expires
	f.Details = fmt.Sprintf("signed tag with digest %s, signed by %s", signed.Digest, strings.Join(signed.Signers, ", "))
	f.Details += renewal(signed)
	f.Evidence = []stig.Fact{signedFact(answer.Question.Ref, signed)}
	if content.IsZero() {
		f.Details += "; the engine holds no image of that name"
	}
	return f
}

// renewal announces that a signature has to be renewed soon.
func renewal(signed trust.Signed) string {
	if signed.RenewBy.IsZero() {
		return ""
	}
	return fmt.Sprintf("; it has to be signed again by %s, or its bundle renewed: docker stig trust inspect tells by whom", signed.RenewBy.Format(time.DateOnly))
}

func policyHint(p host.Product) string {
	return fmt.Sprintf("%s to content-trust/trust-pinning/root-keys of the policy (--policy)", strings.Join(p.Repositories, " or "))
}

// vendorQuestions asks the vendor's repositories about an image: its own, if
// it is one of them, else each, about the content under the same tag.
func vendorQuestions(image vendorImage, content trust.Content) []trust.Question {
	if slices.Contains(image.product.Repositories, image.Name.Name()) {
		return []trust.Question{{Ref: image.Name, Content: content}}
	}
	var questions []trust.Question
	for _, repository := range image.product.Repositories {
		ref, err := reference.ParseNormalizedNamed(repository)
		if err != nil {
			continue // the table is ours, and tested
		}
		if !content.IsZero() {
			questions = append(questions, trust.Question{Ref: ref, Content: content})
		}
	}
	return questions
}

// signedFact records what a verifier accepted, with the names that docker
// trust inspect uses.
func signedFact(ref reference.Named, signed trust.Signed) stig.Fact {
	return stig.Fact{
		Source: string(signed.Source),
		Asked:  "SignedTags of " + reference.FamiliarString(ref),
		Answer: fmt.Sprintf("Digest %s, Signers %s, keys %s", signed.Digest, strings.Join(signed.Signers, ", "), strings.Join(signed.KeyIDs, ", ")),
	}
}
