package protect

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/moby/moby/api/types/container"

	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// maxJoined is how long a chain of containers that join each other may be.
const maxJoined = 4

// A shared is a namespace that a container may have in common with the host
// or with another container.
type shared struct {
	flag string // of docker run
	mode func(*container.HostConfig) string
	why  string
}

var sharedNamespaces = []shared{
	{"--pid", func(h *container.HostConfig) string { return string(h.PidMode) }, "joins the host's processes"},
	{"--ipc", func(h *container.HostConfig) string { return string(h.IpcMode) }, "joins the memory that the host's processes share"},
	{"--network", func(h *container.HostConfig) string { return string(h.NetworkMode) }, "joins the host's network, with what listens there for the host alone"},
	{"--uts", func(h *container.HostConfig) string { return string(h.UTSMode) }, "joins the host's name"},
	{"--userns", func(h *container.HostConfig) string { return string(h.UsernsMode) }, "makes the container's root the host's root"},
}

// namespaces judges which of the host's namespaces a container joins, itself
// or by way of other containers.
func (j *judgement) namespaces(ctx context.Context, h *container.HostConfig, depth int) error {
	if j.allows(policy.SettingHostNamespaces, j.policy.HostNamespaces) {
		return nil
	}
	for _, s := range sharedNamespaces {
		mode := s.mode(h)
		if mode == "host" {
			return j.refuse(policy.SettingHostNamespaces, s.flag+"=host", s.why)
		}
		id, joins := strings.CutPrefix(mode, "container:")
		if !joins {
			continue
		}
		if err := j.joins(ctx, s, id, depth); err != nil {
			return err
		}
	}
	if h.CgroupnsMode.IsHost() && !j.options.HostCgroups {
		return j.refuse(policy.SettingHostNamespaces, "--cgroupns=host", "joins the host's control groups")
	}
	return nil
}

// joins judges a container whose namespace another joins. Who shares its
// processes reaches, through /proc, its files and its powers, so all that it
// has counts. Of the other namespaces, whether they are the host's.
func (j *judgement) joins(ctx context.Context, s shared, id string, depth int) error {
	if depth >= maxJoined {
		return j.refuse(policy.SettingHostNamespaces, s.flag+"=container:"+quote(id), fmt.Sprintf("is a chain of more than %d containers, whose end is not looked for", maxJoined))
	}
	host, mounts, err := j.other(ctx, id)
	if err != nil {
		return err
	}
	if s.flag == "--pid" {
		err = j.container(ctx, Subject{Host: host, Made: true, Mounts: mounts}, depth+1)
		return byWayOf(s.flag+"=container:"+quote(id), err)
	}
	mode := s.mode(host)
	if mode == "host" {
		return byWayOf(s.flag+"=container:"+quote(id), j.refuse(policy.SettingHostNamespaces, s.flag+"=host", s.why))
	}
	if next, chained := strings.CutPrefix(mode, "container:"); chained {
		return j.joins(ctx, s, next, depth+1)
	}
	return nil
}

// byWayOf says through what a refusal came.
func byWayOf(asked string, err error) error {
	if refused := new(Refusal); errors.As(err, &refused) {
		return &Refusal{Setting: refused.Setting, Text: asked + " brings along " + refused.Text, Err: refused.Err}
	}
	return err
}

// other looks up a container that a configuration names.
func (j *judgement) other(ctx context.Context, id string) (*container.HostConfig, []container.MountPoint, error) {
	if j.ask == nil {
		return nil, nil, fmt.Errorf("container %s: there is nobody to ask about it", quote(id))
	}
	host, mounts, err := j.ask.Container(ctx, id)
	if err != nil {
		return nil, nil, fmt.Errorf("asking the engine for container %s: %w", quote(id), err)
	}
	if host == nil {
		return nil, nil, fmt.Errorf("the engine did not tell the configuration of container %s", quote(id))
	}
	return host, mounts, nil
}
