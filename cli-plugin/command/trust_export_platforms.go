package command

import (
	"fmt"
	"slices"
	"strings"

	"github.com/docker-stig/docker-stig/shared/trust/bundle"
	"github.com/docker-stig/docker-stig/shared/trust/manifests"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// platformList is what --platform asks for; none is every platform.
type platformList []ocispec.Platform

// parsePlatforms reads OS/ARCH[/VARIANT].
func parsePlatforms(texts []string) (platformList, error) {
	var list platformList
	for _, text := range texts {
		parts := strings.Split(text, "/")
		if len(parts) < 2 || len(parts) > 3 || slices.Contains(parts, "") {
			return nil, fmt.Errorf("--platform %q: want OS/ARCH or OS/ARCH/VARIANT, such as linux/amd64 or linux/arm/v7", text)
		}
		p := ocispec.Platform{OS: parts[0], Architecture: parts[1]}
		if len(parts) == 3 {
			p.Variant = parts[2]
		}
		list = append(list, p)
	}
	return list, nil
}

// keep reports whether a list's entry is wanted. One that names no platform
// is: it may be any.
func (l platformList) keep(p *ocispec.Platform) bool {
	if len(l) == 0 || p == nil {
		return true
	}
	return slices.ContainsFunc(l, func(want ocispec.Platform) bool {
		return want.OS == p.OS && want.Architecture == p.Architecture && (want.Variant == "" || variant(want) == variant(*p))
	})
}

// variants are those that go without saying (containerd/platforms, database.go).
var variants = map[string]string{"amd64": "v1", "arm64": "v8", "arm": "v7"}

func variant(p ocispec.Platform) string {
	if p.Variant != "" {
		return p.Variant
	}
	return variants[p.Architecture]
}

func (l platformList) String() string {
	var texts []string
	for _, p := range l {
		texts = append(texts, strings.TrimSuffix(strings.Join([]string{p.OS, p.Architecture, p.Variant}, "/"), "/"))
	}
	return strings.Join(texts, " or ")
}

// checkPlatforms says which images are for none of the platforms that were
// asked for: where the bundle goes they will not be known.
func (e *exporting) checkPlatforms(b bundle.Bundle, wanted platformList) error {
	if len(wanted) == 0 {
		return nil
	}
	known := map[digest.Digest]manifests.Manifest{}
	for _, raw := range b.Manifests {
		m, err := manifests.Parse(raw)
		if err != nil {
			return err
		}
		known[digest.FromBytes(raw)] = m
	}
	without := 0
	for _, image := range b.Images {
		if runs(known, image.Digest, 0) {
			continue
		}
		without++
		_, _ = fmt.Fprintf(e.talk, "docker stig: %s is not for %s: no engine will know its content by this bundle\n", image.Name, wanted)
	}
	if without == len(b.Images) {
		return fmt.Errorf("none of the images is for %s: ask for a platform they are for", wanted)
	}
	return nil
}

// maxListDepth bounds lists in lists, as package bundle does.
const maxListDepth = 4

// runs reports whether the manifest of a platform is known below a digest.
func runs(known map[digest.Digest]manifests.Manifest, d digest.Digest, depth int) bool {
	m, ok := known[d]
	if !ok || depth > maxListDepth {
		return false
	}
	return !m.IsList() || slices.ContainsFunc(m.Manifests, func(entry ocispec.Descriptor) bool {
		return !manifests.IsAttestation(entry) && runs(known, entry.Digest, depth+1)
	})
}
