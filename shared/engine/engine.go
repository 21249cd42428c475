// Package engine asks one engine what has to be known to judge what it would
// run: its images, containers, volumes and services, and the questions that
// are to be put to a trust.Verifier about them.
//
// It reads, and changes nothing but by RemoveContainer and StopContainer. What
// becomes of an answer is for package admission and its callers to decide.
package engine

import (
	"context"
	"errors"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/swarm"
	"github.com/opencontainers/go-digest"

	"github.com/docker-stig/docker-stig/shared/trust"
)

// ErrNotFound is the engine's answer that there is no such object.
var ErrNotFound = errors.New("no such object")

// An Engine answers what has to be known to judge a request. Objects that do not exist are ErrNotFound.
type Engine interface {
	// Store tells how the engine keeps images.
	Store(ctx context.Context) (trust.Store, error)
	// Image finds an image by name, ID or prefix of an ID.
	Image(ctx context.Context, name string) (HeldImage, error)
	// Known gives what Image last gave for an image ID, and asks nobody.
	Known(id digest.Digest) (HeldImage, bool)
	// Container finds a container as the engine would.
	Container(ctx context.Context, name string) (Container, error)
	// Containers lists all containers, running or not, as the engine's list
	// has them: without what they are made of, and how. It answers where an
	// inspect has to wait for who holds the container.
	Containers(ctx context.Context) ([]Container, error)
	// Volume finds a volume by its name.
	Volume(ctx context.Context, name string) (Volume, error)
	// Exec finds a process that was prepared to run in a container.
	Exec(ctx context.Context, id string) (Exec, error)
	// Network finds a network by name or ID.
	Network(ctx context.Context, name string) (Network, error)
	// Facts tells what the engine is like.
	Facts(ctx context.Context) (Facts, error)
	// Forget says that it may be another engine now.
	Forget()
	// Service finds a swarm service.
	Service(ctx context.Context, id string) (Service, error)
	// RemoveContainer removes a container that must not exist, running or
	// not, with its anonymous volumes.
	RemoveContainer(ctx context.Context, id string) error
	// StopContainer stops a container, and kills it if it does not end in
	// 10 s, whatever time it has set for itself.
	StopContainer(ctx context.Context, id string) error
}

// A HeldImage is an image as the engine holds it.
type HeldImage struct {
	ID          digest.Digest
	RepoTags    []string
	RepoDigests []string
}

// A Container is what decides whether a container may run.
type Container struct {
	ID        string
	Name      string // without the slash in front
	ImageID   digest.Digest
	ImageName string // as it was named at create
	Running   bool   // or paused
	Host      *container.HostConfig
	Mounts    []container.MountPoint // what Host's binds, mounts and volumes came to be
}

func (c Container) mounts() []mount.Mount {
	if c.Host == nil {
		return nil
	}
	return c.Host.Mounts
}

// A Volume is a volume as its driver has it.
type Volume struct {
	Name    string
	Driver  string
	Options map[string]string
}

// A Network is one that containers can join.
type Network struct {
	ID     string
	Name   string
	Driver string
}

// Facts are what an engine says of itself. They change only with a restart.
type Facts struct {
	Version     string // "29.2.0"
	Root        string // the folder of its data
	Runtime     string // the OCI runtime of containers that name none
	HostCgroups bool   // containers that do not ask have the host's cgroup namespace
	ReadOnly    bool   // what is mounted below a bind is read-only where that is forced
	Swarm       bool   // it is a node of a swarm
	Manager     bool   // and one that decides
}

// An Exec is a process that was prepared to run in a container.
type Exec struct {
	ID         string
	Container  string // ID
	Privileged bool
}

// A Service is a swarm service as an update would find it.
type Service struct {
	Version  uint64
	Spec     swarm.ServiceSpec
	Previous *swarm.ServiceSpec // what a rollback returns to
}
