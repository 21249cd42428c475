package engineapi

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/swarm"
)

// A createBody is what is judged of the body of POST /containers/create, in
// the types of the daemon's container.CreateRequest. The rest of the body is
// held against those for keys that stand twice, and left to the daemon
// otherwise: to decode all of it would double the time that a create takes
// here, and refuse what older engines accept, such as a Cmd that is a string.
type createBody struct {
	Image      string
	HostConfig struct {
		Mounts []mount.Mount
	}
}

// A serviceBody is the body of POST /services/create and update.
type serviceBody struct {
	swarm.ServiceSpec
	Networks []swarm.NetworkAttachmentConfig // where API 1.24 had them
}

var (
	createShape  = shapeOf(reflect.TypeFor[container.CreateRequest](), map[reflect.Type]*shape{})
	serviceShape = shapeOf(reflect.TypeFor[serviceBody](), map[reflect.Type]*shape{})
	updateShape  = shapeOf(reflect.TypeFor[container.UpdateConfig](), map[reflect.Type]*shape{})
)

// hostOptions are the keys of HostConfig, folded. Engines up to 20.10 take
// them from the top level too.
var hostOptions = shapeOf(reflect.TypeFor[container.HostConfig](), map[reflect.Type]*shape{}).fields

// unset are the values by which clients leave an option as it is.
var unset = []string{"null", "0", `""`, "false", "[]", "{}"}

// decodeCreate reads the body of a create.
func decodeCreate(body []byte) (createBody, error) {
	var got createBody
	if err := decodeStrict(body, &got, createShape, insideHostConfig); err != nil {
		return createBody{}, refuse("malformed-request", "the request to create a container cannot be read: %v", err)
	}
	if got.Image == "" {
		return createBody{}, refuse("no-image", "the container names no image: what it would run cannot be vouched for")
	}
	return got, nil
}

// insideHostConfig refuses an option that stands outside of HostConfig.
func insideHostConfig(key string, value []byte) error {
	if _, ok := hostOptions[key]; !ok || slices.Contains(unset, string(value)) {
		return nil
	}
	return fmt.Errorf("the option %s stands outside of HostConfig, where engines read it differently", key)
}

// decodeService reads the body of a service's create or update.
func decodeService(body []byte) (swarm.ServiceSpec, error) {
	var got serviceBody
	if err := decodeStrict(body, &got, serviceShape, nil); err != nil {
		return swarm.ServiceSpec{}, refuse("malformed-request", "the service cannot be read: %v", err)
	}
	return got.ServiceSpec, nil
}

// imageMounts lists the sources of mounts that are images.
func imageMounts(mounts []mount.Mount) []string {
	var sources []string
	for _, m := range mounts {
		if m.Type == mount.TypeImage {
			sources = append(sources, m.Source)
		}
	}
	return sources
}

// A wanted image is a name as a request gives it, read as the engine reads it.
type wanted struct {
	name  string
	named reference.Named // nil: an image ID and nothing else
	isID  bool            // it is, or the engine may take it for, an image ID
}

// want reads the name of an image. The error carries Docker's own words.
func want(name string) (wanted, error) {
	ref, err := reference.ParseAnyReference(name)
	if err != nil {
		return wanted{}, refuse("malformed-request", "%q names no image: %v", clip(name), err)
	}
	w := wanted{name: name, isID: mayBeID(name)}
	if named, ok := ref.(reference.Named); ok {
		w.named = reference.TagNameOnly(named)
		return w, nil
	}
	w.isID = true
	return w, nil
}

// mayBeID reports whether an engine may find an image by name as by its ID or
// the beginning of one. Graphdriver engines take a prefix of any length, with
// or without the algorithm in front.
func mayBeID(name string) bool {
	hex := strings.TrimPrefix(name, "sha256:")
	return hex != "" && len(hex) <= 64 && strings.Trim(hex, "0123456789abcdef") == ""
}

// isFullID reports whether name is an image ID in full, which no tag can take
// over.
func isFullID(name string) bool {
	return mayBeID(name) && len(strings.TrimPrefix(name, "sha256:")) == 64
}
