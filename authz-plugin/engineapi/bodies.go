package engineapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/api/types/volume"

	"github.com/docker-stig/docker-stig/shared/engine"
)

// A createBody is what is judged of the body of POST /containers/create, in
// the types of the daemon's container.CreateRequest. The rest of the body is
// held against those for keys that stand twice, and left to the daemon
// otherwise: to decode all of it would double the time that a create takes
// here, and refuse what older engines accept, such as a Cmd that is a string.
type createBody struct {
	Image      string
	HostConfig container.HostConfig
}

// A serviceBody is the body of POST /services/create and update.
type serviceBody struct {
	swarm.ServiceSpec
	Networks []swarm.NetworkAttachmentConfig // where API 1.24 had them
}

var (
	createShape  = ShapeOf[container.CreateRequest]()
	serviceShape = ShapeOf[serviceBody]()
	updateShape  = ShapeOf[container.UpdateConfig]()
	execShape    = ShapeOf[container.ExecCreateRequest]()
	volumeShape  = ShapeOf[volume.CreateRequest]()
	networkShape = ShapeOf[network.CreateRequest]()
)

// hostOptions are the keys of HostConfig, folded. Engines up to 20.10 take
// them from the top level too.
var hostOptions = ShapeOf[container.HostConfig]().fields

// unset are the values by which clients leave an option as it is.
var unset = []string{"null", "0", `""`, "false", "[]", "{}"}

// listed are options for which an empty list says something else than none.
var listed = []string{"MASKEDPATHS", "READONLYPATHS"}

// zero are values of single options that clients send and that decode to
// nothing.
var zero = map[string]string{
	"CONSOLESIZE": "[0,0]",
	"LOGCONFIG":   `{"Type":"","Config":{}}`,
}

// decodeCreate reads the body of a create. Clients send every option there
// is: those that are left as they are, nearly all, are not decoded.
func decodeCreate(body []byte) (*createBody, error) {
	var image []byte
	options := append(make([]byte, 0, 512), '{') // bytes; what most creates set
	err := readStrict(body, createShape, func(inside, key string, value []byte) error {
		switch {
		case inside == "" && key == "IMAGE":
			image = value
		case inside == "" && key == "HOSTCONFIG":
			return hostConfigValue(value)
		case inside == "":
			return outsideHostConfig(key, value)
		case inside == "HOSTCONFIG" && isSet(key, value) && isOption(key):
			options = member(options, hostOptions[key].name, value)
		}
		return nil
	})
	got := new(createBody)
	if err == nil && image != nil {
		err = json.Unmarshal(image, &got.Image)
	}
	if err == nil {
		err = json.Unmarshal(append(options, '}'), &got.HostConfig)
	}
	if err != nil {
		return nil, engine.Refuse("malformed-request", "the request to create a container cannot be read: %v", err)
	}
	if got.Image == "" {
		return nil, engine.Refuse("no-image", "the container names no image: what it would run cannot be vouched for")
	}
	return got, nil
}

// member adds a member to a JSON object that is not closed yet.
func member(object []byte, key string, value []byte) []byte {
	if len(object) > 1 {
		object = append(object, ',')
	}
	object = append(append(append(object, '"'), key...), `":`...)
	return append(object, value...)
}

// hostConfigValue refuses what is no object where one belongs.
func hostConfigValue(value []byte) error {
	if value[0] != '{' && string(value) != "null" {
		return errors.New("HostConfig is not an object")
	}
	return nil
}

// isSet reports whether an option says something.
func isSet(key string, value []byte) bool {
	if isUnset(value) {
		return slices.Contains(listed, key) && string(value) != "null"
	}
	return string(value) != zero[key]
}

func isUnset(value []byte) bool {
	return len(value) <= len("false") && slices.Contains(unset, string(value))
}

func isOption(key string) bool { return hostOptions[key] != nil }

// outsideHostConfig refuses an option that stands outside of HostConfig.
func outsideHostConfig(key string, value []byte) error {
	if isUnset(value) || !isOption(key) {
		return nil
	}
	return fmt.Errorf("the option %s stands outside of HostConfig, where engines read it differently", key)
}

// decodeService reads the body of a service's create or update.
func decodeService(body []byte) (swarm.ServiceSpec, error) {
	var got serviceBody
	if err := decodeStrict(body, &got, serviceShape); err != nil {
		return swarm.ServiceSpec{}, engine.Refuse("malformed-request", "the service cannot be read: %v", err)
	}
	got.TaskTemplate.Networks = append(got.TaskTemplate.Networks, got.Networks...)
	return got.ServiceSpec, nil
}
