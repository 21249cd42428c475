package testbed

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/distribution/reference"
)

// An Image is one that the testbed made or signed.
type Image struct {
	Ref    string // with registry and tag
	Digest string // of the manifest that the registry holds under Ref
	ID     string // by which the engine holds it
}

// applets are the commands of an image, all of them busybox.
var applets = []string{"sh", "cat", "echo", "id", "ls", "sleep", "true", "false"}

// UnsignedImage makes an image of new content, pushes it to the registry and
// signs nothing.
func (tb *Testbed) UnsignedImage(ctx context.Context, name string) (Image, error) {
	ref, err := tb.reference(name)
	if err != nil {
		return Image{}, err
	}
	if err := tb.importImage(ctx, ref); err != nil {
		return Image{}, err
	}
	if _, err := tb.Docker(ctx, "push", ref.String()); err != nil {
		return Image{}, err
	}
	return tb.image(ctx, ref)
}

// MoveTag puts new content under a tag that was signed, on the engine and in
// the registry, and leaves what was signed alone.
func (tb *Testbed) MoveTag(ctx context.Context, name string) (Image, error) {
	ref, err := tb.reference(name)
	if err != nil {
		return Image{}, err
	}
	if _, _, err := tb.manifest(ctx, ref); err != nil {
		return Image{}, fmt.Errorf("nothing to move away from: %w; sign it first", err)
	}
	return tb.UnsignedImage(ctx, name)
}

// reference reads a name such as "app:1", with or without the testbed's
// registry. Without a tag it is :latest.
func (tb *Testbed) reference(name string) (reference.NamedTagged, error) {
	ref, err := reference.ParseNormalizedNamed(tb.Registry() + "/" + strings.TrimPrefix(name, tb.Registry()+"/"))
	if err != nil {
		return nil, fmt.Errorf("%q names no image: %w", name, err)
	}
	tagged, ok := reference.TagNameOnly(ref).(reference.NamedTagged)
	if !ok {
		return nil, fmt.Errorf("%q is no tag: give NAME:TAG", name)
	}
	if _, digested := ref.(reference.Digested); digested {
		return nil, fmt.Errorf("%q has a digest: give NAME:TAG", name)
	}
	return tagged, nil
}

func (tb *Testbed) importImage(ctx context.Context, ref reference.NamedTagged) error {
	rootfs, err := rootFS(ref.String() + " " + rand.Text())
	if err != nil {
		return err
	}
	// So that `docker run IMAGE` alone shows which content it is.
	query := url.Values{"fromSrc": {"-"}, "repo": {ref.String()}, "changes": {`CMD ["/bin/cat", "/marker"]`}}
	// Not by docker import: clients before 29 say that the archive is text, and
	// the plugin refuses what may be a form.
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://engine/images/create?"+query.Encode(), bytes.NewReader(rootfs))
	if err != nil {
		return err
	}
	response, err := tb.engineClient().Do(request)
	if err != nil {
		return fmt.Errorf("importing %s: %w", ref, err)
	}
	defer response.Body.Close()
	said, err := io.ReadAll(response.Body) // a line of JSON for each step, errors too
	if err == nil && (response.StatusCode != http.StatusOK || bytes.Contains(said, []byte(`"error`))) {
		err = fmt.Errorf("%s: %s", response.Status, said)
	}
	if err != nil {
		return fmt.Errorf("importing %s: %w", ref, err)
	}
	return nil
}

// rootFS is a file system with a shell and a file /marker, as a tar archive.
func rootFS(marker string) ([]byte, error) {
	busybox, err := staticBusybox()
	if err != nil {
		return nil, err
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	file := func(name string, mode int64, content []byte) error {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content))}
		if err := w.WriteHeader(header); err != nil {
			return err
		}
		_, err := w.Write(content)
		return err
	}
	errs := []error{
		w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "bin/", Mode: 0o755}),
		w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777}),
		file("bin/busybox", 0o755, busybox),
		file("marker", 0o644, []byte(marker+"\n")),
	}
	for _, name := range applets {
		errs = append(errs, w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + name, Linkname: "busybox"}))
	}
	return archive.Bytes(), errors.Join(append(errs, w.Close())...)
}

// staticBusybox is the program that packages busybox-static and busybox both
// install as /bin/busybox. The latter's would not run without its libraries.
func staticBusybox() ([]byte, error) {
	const name = "/bin/busybox"
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("reading busybox: %w: install busybox-static", err)
	}
	program, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w: install busybox-static", name, err)
	}
	dynamic := func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }
	if slices.ContainsFunc(program.Progs, dynamic) {
		return nil, fmt.Errorf("%s needs libraries: install busybox-static in place of busybox", name)
	}
	return data, nil
}

// image is what engine and registry hold under ref.
func (tb *Testbed) image(ctx context.Context, ref reference.NamedTagged) (Image, error) {
	id, err := tb.Docker(ctx, "image", "inspect", "--format", "{{.Id}}", ref.String())
	if err != nil {
		return Image{}, err
	}
	digest, _, err := tb.manifest(ctx, ref)
	return Image{Ref: ref.String(), Digest: digest, ID: strings.TrimSpace(id)}, err
}

// manifestTypes are all a registry may hold under a tag here.
var manifestTypes = []string{
	"application/vnd.docker.distribution.manifest.v2+json",
	"application/vnd.docker.distribution.manifest.list.v2+json",
	"application/vnd.oci.image.manifest.v1+json",
	"application/vnd.oci.image.index.v1+json",
}

// manifest asks the registry for digest and size of what lies under ref.
func (tb *Testbed) manifest(ctx context.Context, ref reference.NamedTagged) (string, int64, error) {
	url := fmt.Sprintf("http://%s/v2/%s/manifests/%s", tb.Registry(), reference.Path(ref), ref.Tag())
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, url, http.NoBody)
	if err != nil {
		return "", 0, err
	}
	request.Header["Accept"] = manifestTypes
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", 0, fmt.Errorf("asking the registry for %s: %w", ref, err)
	}
	digest := response.Header.Get("Docker-Content-Digest")
	if digest == "" {
		err = fmt.Errorf("the registry has no %s: it answers %s", ref, response.Status)
	}
	return digest, response.ContentLength, errors.Join(err, response.Body.Close())
}
