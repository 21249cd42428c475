package bypass

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// namesAttempts name the unsigned content in some way that looks like, or is,
// the name of something else.
var namesAttempts = each("(unsigned)", []attempt{
	{name: "unsigned by tag", do: named(func(a *try) string { return a.unsigned.Ref })},
	{name: "unsigned by ID", do: named(func(a *try) string { return a.unsigned.ID })},
	{name: "unsigned by the beginning of its ID", do: named(func(a *try) string { return short(a.unsigned.ID) })},
	{name: "unsigned by digest", do: named(func(a *try) string { return a.repository() + "@" + a.unsigned.Digest })},
	{name: "signed tag beside the digest of the unsigned", do: named(func(a *try) string { return a.signed.Ref + "@" + a.unsigned.Digest })},
	{name: "docker run", do: func(ctx context.Context, a *try) error {
		_, err := a.Docker(ctx, append([]string{"run", "--network", "none", a.unsigned.Ref}, a.program()...)...)
		return a.client(err)
	}},
	{name: "signed name tagged onto the unsigned", about: says("(digest-mismatch)"), do: func(ctx context.Context, a *try) error {
		if err := a.tag(ctx, a.unsigned.Ref, a.repository(), "1"); err != nil {
			return err
		}
		return a.run(ctx, container(a.signed.Ref, a.program(), nil))
	}},
	{name: "repository named like the ID of the signed", about: says("(no-scope)"), do: func(ctx context.Context, a *try) error {
		if err := a.tag(ctx, a.unsigned.Ref, short(a.signed.ID), "latest"); err != nil {
			return err
		}
		defer a.untag(ctx, short(a.signed.ID)+":latest")
		return a.run(ctx, container(short(a.signed.ID), a.program(), nil))
	}},
	{name: "import under the signed name", about: says("(digest-mismatch)"), do: func(ctx context.Context, a *try) error {
		q := ask{method: http.MethodPost, target: "/images/create?fromSrc=-&repo=" + url.QueryEscape(a.repository()) + "&tag=1", body: layer("imported " + a.nonce)}
		if _, err := a.raw(ctx, q); err != nil {
			return err
		}
		return a.run(ctx, container(a.signed.Ref, a.program(), nil))
	}},
	{name: "load under the signed name", about: says("(digest-mismatch)"), do: func(ctx context.Context, a *try) error {
		if err := a.load(ctx, savedImage(a.signed.Ref, "loaded "+a.nonce)); err != nil {
			return err
		}
		return a.run(ctx, container(a.signed.Ref, a.program(), nil))
	}},
	{name: "load under the signed digest, by ID", on: moby, do: func(ctx context.Context, a *try) error {
		layout, id := ociLayout(a.repository()+"@"+a.signed.Digest, "loaded "+a.nonce)
		if err := a.load(ctx, layout); err != nil {
			return err
		}
		return a.run(ctx, container(id, a.program(), nil))
	}},
	{name: "signed tag that has moved in the registry", about: says("(digest-mismatch)"), do: named(func(a *try) string { return a.moved.Ref })},
	{name: "pull, then run", do: func(ctx context.Context, a *try) error {
		from := url.QueryEscape(a.repository())
		if _, err := a.call(ctx, http.MethodPost, "/images/create?fromImage="+from+"&tag=unsigned", nil); err != nil {
			return err
		}
		return a.run(ctx, container(a.unsigned.Ref, a.program(), nil))
	}},
	{name: "pull named in a form", about: says("a body that the engine did not show"), do: pulledByForm("Content-Type: application/x-www-form-urlencoded"), proof: made("pulled")},
	{name: "pull named in a form that says it is none", about: says("a body that the engine did not show"), do: pulledByForm("Content-Type: application/x-www-form-urlencoded", "Content-Type: text/plain"), proof: made("pulled")},
	{name: "commit of the signed that was changed", about: says("(digest-mismatch)"), do: func(ctx context.Context, a *try) error {
		id, err := a.create(ctx, "changed", container(a.signed.Ref, a.script("echo changed >/marker"), nil))
		if err != nil {
			return err
		}
		if err := a.start(ctx, id); err != nil {
			return err
		}
		if _, err := a.call(ctx, http.MethodPost, "/commit?container="+id+"&repo="+url.QueryEscape(a.repository())+"&tag=1", object{}); err != nil {
			return err
		}
		return a.run(ctx, container(a.signed.Ref, a.program(), nil))
	}},
	{name: "no image, filled by hand", about: says("names no image"), on: docker, do: func(ctx context.Context, a *try) error {
		id, err := a.create(ctx, "empty", container("", a.program(), nil))
		if err != nil {
			return err
		}
		return a.fill(ctx, id)
	}},
	{
		name: "no image, made before the plugin, filled by hand", about: says("was not made from an image"), on: docker,
		before: func(ctx context.Context, a *try) (err error) {
			a.made["empty"], err = a.create(ctx, "empty", container("", a.program(), nil))
			return err
		},
		do: func(ctx context.Context, a *try) error { return a.fill(ctx, a.made["empty"]) },
	},
})

func named(name func(*try) string) func(context.Context, *try) error {
	return func(ctx context.Context, a *try) error { return a.run(ctx, container(name(a), a.program(), nil)) }
}

// pulledByForm pulls what the address does not name. The engine says so at
// once, and that is the proof: the image is there in any case.
func pulledByForm(header ...string) func(context.Context, *try) error {
	return func(ctx context.Context, a *try) error {
		form := url.Values{"fromImage": {a.repository()}, "tag": {"unsigned"}}.Encode()
		got, err := a.raw(ctx, ask{method: http.MethodPost, target: "/images/create?fromSrc=-", header: header, body: []byte(form)})
		if strings.Contains(string(got.body), "Pulling from") {
			a.made["pulled"] = "pulled"
		}
		return err
	}
}

// short is what docker ps shows of an ID.
func short(id string) string { return strings.TrimPrefix(id, "sha256:")[:12] }

func (a *try) tag(ctx context.Context, image, repository, tag string) error {
	_, err := a.call(ctx, http.MethodPost, "/images/"+image+"/tag?repo="+url.QueryEscape(repository)+"&tag="+tag, nil)
	return err
}

func (a *try) untag(ctx context.Context, name string) {
	_, _ = a.bed.call(ctx, http.MethodDelete, "/images/"+name+"?force=1", nil) // it may not have come to be
}

// fill puts a file system into a container that has none, and starts it.
func (a *try) fill(ctx context.Context, id string) error {
	q := ask{method: http.MethodPut, target: "/containers/" + id + "/archive?path=/", body: layer("filled " + a.nonce), header: []string{"Content-Type: application/x-tar"}}
	if _, err := a.raw(ctx, q); err != nil {
		return err
	}
	return a.start(ctx, id)
}

func (a *try) load(ctx context.Context, archive []byte) error {
	q := ask{method: http.MethodPost, target: "/images/load?quiet=1", body: archive, header: []string{"Content-Type: application/x-tar"}}
	got, err := a.raw(ctx, q)
	if err == nil && strings.Contains(string(got.body), "errorDetail") {
		err = errors.New("not loaded: " + string(got.body))
	}
	return err
}

// layer is a file system with a shell and a marker of its own.
func layer(marker string) []byte { return archive(layerFiles(marker)) }

func layerFiles(marker string) map[string][]byte {
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		panic(err) // no testbed comes up without it
	}
	return map[string][]byte{"bin/busybox": busybox, "bin/sh": busybox, "bin/cat": busybox, "marker": []byte(marker + "\n")}
}

func archive(files map[string][]byte) []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for name, content := range files {
		_ = w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(content))})
		_, _ = w.Write(content)
	}
	_ = w.Close()
	return out.Bytes()
}

func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func encoded(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err) // made of maps and texts
	}
	return raw
}

// configOf is the configuration of an image of one layer.
func configOf(layer []byte) []byte {
	return encoded(object{
		"architecture": "amd64", "os": "linux", "config": object{},
		"rootfs": object{"type": "layers", "diff_ids": []string{"sha256:" + digestOf(layer)}},
	})
}

// savedImage is what docker save would write of an image.
func savedImage(name, marker string) []byte {
	content := layer(marker)
	config := configOf(content)
	return archive(map[string][]byte{
		"layer.tar": content, digestOf(config) + ".json": config,
		"manifest.json": encoded([]object{{"Config": digestOf(config) + ".json", "RepoTags": []string{name}, "Layers": []string{"layer.tar"}}}),
	})
}

// ociLayout is an image as the OCI's image layout has it, under any name, and
// the digest that it has in truth.
func ociLayout(name, marker string) (layout []byte, digest string) {
	files := map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`)}
	blob := func(kind string, content []byte) object {
		files["blobs/sha256/"+digestOf(content)] = content
		return object{"mediaType": kind, "digest": "sha256:" + digestOf(content), "size": len(content)}
	}
	content := layer(marker)
	manifest := encoded(object{
		"schemaVersion": 2, "mediaType": manifestType,
		"config": blob("application/vnd.oci.image.config.v1+json", configOf(content)),
		"layers": []object{blob("application/vnd.oci.image.layer.v1.tar", content)},
	})
	entry := blob(manifestType, manifest)
	entry["annotations"] = object{"io.containerd.image.name": name}
	files["index.json"] = encoded(object{"schemaVersion": 2, "manifests": []object{entry}})
	return archive(files), "sha256:" + digestOf(manifest)
}

const manifestType = "application/vnd.oci.image.manifest.v1+json"
