package bundle

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/docker-stig/docker-stig/shared/trust/manifests"
	"github.com/opencontainers/go-digest"
)

// A plan is a bundle as it lies in the file: the index, and the files behind
// it in their order. Writer and reader make it by the same steps, so a file is
// read if it is the one that would be written.
type plan struct {
	index  *index
	files  []*file // metadata
	layout []*file // index.json, manifest.json, oci-layout
	blobs  []file
}

// newPlan checks a bundle and puts it in order.
func newPlan(b Bundle, withImages bool) (*plan, error) {
	x := &index{
		SchemaVersion: schemaVersion, MinVersion: minVersion,
		Repositories: []repository{}, Manifests: []file{}, Images: []image{},
	}
	if len(b.Repositories)+len(b.Manifests)+len(b.Images) == 0 {
		return nil, errors.New("there is nothing in it")
	}
	if err := x.addRepositories(b.Repositories); err != nil {
		return nil, err
	}
	known, err := x.addManifests(b.Manifests)
	if err != nil {
		return nil, err
	}
	if err := x.addImages(b.Images); err != nil {
		return nil, err
	}
	p := &plan{index: x, files: x.metadata()}
	if withImages {
		c := contents{known: known, blobs: map[digest.Digest]*file{}}
		if err := c.addImages(x.Images); err != nil {
			return nil, err
		}
		if p.layout, err = c.layout(); err != nil {
			return nil, err
		}
		x.Blobs = c.sorted()
		p.blobs = x.Blobs
	}
	return p, x.check()
}

func (x *index) addRepositories(list []Repository) error {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b Repository) int { return cmp.Compare(a.GUN, b.GUN) })
	for i, r := range list {
		if i > 0 && list[i-1].GUN == r.GUN {
			return fmt.Errorf("repository %s stands in it twice", r.GUN)
		}
		if err := x.addRepository(r); err != nil {
			return err
		}
	}
	return nil
}

func (x *index) addRepository(r Repository) error {
	if err := checkGUN(r.GUN); err != nil {
		return err
	}
	if len(r.Roots) == 0 {
		return fmt.Errorf("repository %s has no root", r.GUN)
	}
	folder := "trust/" + r.GUN + "/_trust/tuf/"
	row := repository{GUN: r.GUN, Roots: []file{}, Roles: []file{}}
	before := 0
	for _, raw := range r.Roots {
		version, err := rootVersion(raw)
		if err != nil {
			return fmt.Errorf("repository %s: %w", r.GUN, err)
		}
		if version <= before {
			return fmt.Errorf("repository %s: root %d stands behind root %d", r.GUN, version, before)
		}
		before = version
		f := newFile(folder+strconv.Itoa(version)+".root.json", raw)
		f.Version = version
		row.Roots = append(row.Roots, f)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Roles)) {
		if err := checkRole(name); err != nil {
			return fmt.Errorf("repository %s: %w", r.GUN, err)
		}
		f := newFile(folder+name+".json", r.Roles[name])
		f.Role = name
		row.Roles = append(row.Roles, f)
	}
	x.Repositories = append(x.Repositories, row)
	return nil
}

// rootVersion reads the version that a root, still untrusted, gives itself. It
// serves for a name alone.
func rootVersion(raw []byte) (int, error) {
	var root struct {
		Signed struct {
			Version int `json:"version"`
		} `json:"signed"`
	}
	if err := json.Unmarshal(raw, &root); err != nil {
		return 0, fmt.Errorf("reading the version of a root: %w", err)
	}
	if root.Signed.Version < 1 {
		return 0, fmt.Errorf("a root says that its version is %d", root.Signed.Version)
	}
	return root.Signed.Version, nil
}

// A document is a manifest or list, and no more of what stands in it than a
// bundle needs: nobody has signed it yet, and it may be full of annotations.
type document struct {
	raw       []byte
	mediaType string
	isList    bool
	entries   []listed // of a list, those that are in the bundle
	blobs     []*file  // of a manifest that an image needs: configuration and layers
}

// listed is an entry of a list.
type listed struct {
	*document
	attestation bool
}

func (x *index) addManifests(list [][]byte) (map[digest.Digest]*document, error) {
	known := map[digest.Digest]*document{}
	for _, raw := range list {
		known[digest.FromBytes(raw)] = &document{raw: raw}
	}
	for _, d := range slices.Sorted(maps.Keys(known)) {
		doc := known[d]
		if err := doc.parse(known); err != nil {
			return nil, fmt.Errorf("%s: %w", d, err)
		}
		x.Manifests = append(x.Manifests, file{
			MediaType: doc.mediaType, Path: blobPath(d), Size: int64(len(doc.raw)), SHA256: d.Encoded(), raw: doc.raw,
		})
	}
	return known, nil
}

func (doc *document) parse(known map[digest.Digest]*document) error {
	m, err := manifests.Parse(doc.raw)
	if err != nil {
		return err
	}
	doc.mediaType, doc.isList = m.MediaType, m.IsList()
	for _, entry := range m.Manifests {
		if child, ok := known[entry.Digest]; ok {
			doc.entries = append(doc.entries, listed{child, manifests.IsAttestation(entry)})
		}
	}
	return nil
}

func (x *index) addImages(list []Image) error {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b Image) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Digest, b.Digest)) })
	for i, img := range slices.Compact(list) {
		if err := checkImage(img); err != nil {
			return err
		}
		if i > 0 && x.Images[i-1].Name == img.Name {
			return fmt.Errorf("image %s has two digests, %s and %s", img.Name, x.Images[i-1].Digest, img.Digest)
		}
		x.Images = append(x.Images, image(img))
	}
	return nil
}

// bundle is what the index and the files that were read come to.
func (x *index) bundle() Bundle {
	var b Bundle
	for _, row := range x.Repositories {
		r := Repository{GUN: row.GUN, Roles: map[string][]byte{}}
		for _, f := range row.Roots {
			r.Roots = append(r.Roots, f.raw)
		}
		for _, f := range row.Roles {
			r.Roles[f.Role] = f.raw
		}
		b.Repositories = append(b.Repositories, r)
	}
	for _, f := range x.Manifests {
		b.Manifests = append(b.Manifests, f.raw)
	}
	for _, img := range x.Images {
		b.Images = append(b.Images, Image(img))
	}
	return b
}
