package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"
	"github.com/moby/moby/client/pkg/versions"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/singleflight"

	"github.com/docker-stig/docker-stig/shared/trust"
)

const (
	// sessionAge is how long an engine is taken for the one it was: its API
	// version and its image store change only with a restart. After that it
	// is asked again, and for staleAge nobody waits for the answer.
	sessionAge = 30 * time.Second
	staleAge   = 5 * time.Minute
	// openTimeout bounds one shared GET /info, which engines answer in tens
	// of milliseconds.
	openTimeout = 4 * time.Second
	// stopWithin is the time a container has to end before it is killed, the
	// one of docker stop. What it has set for itself does not count: it may
	// be years. For stopAnswer the engine is waited for, which goes on by
	// itself afterwards.
	stopWithin = 10 * time.Second
	stopAnswer = 15 * time.Second
	// forcesReadOnly is the API that has ReadOnlyForceRecursive among the
	// options of a bind, since moby 25.0. Older engines drop it unread.
	forcesReadOnly = "1.44"
	// maxAnswer bounds what is read of one answer of the engine.
	maxAnswer = 32 << 20 // bytes; a list of ten thousand containers is about 15 MiB
)

// A Client asks an engine over its API socket. Its requests come back to the
// plugin to be authorized, and have to be let through there without any
// question: reading, removing and stopping are.
type Client struct {
	host    string // "unix:///run/docker.sock"
	now     func() time.Time
	open    singleflight.Group
	session atomic.Pointer[session]
	known   known
}

// A session is a client that has agreed on an API version.
type session struct {
	api   *client.Client
	bare  *http.Client // to the same engine, for what api does not tell
	store trust.Store
	facts Facts
	until time.Time
}

// NewClient makes a client for the engine at host. It connects to nothing yet.
func NewClient(host string, now func() time.Time) *Client {
	return &Client{host: host, now: now}
}

// current gives the session, opening it when there is none or it is old. One
// caller opens it for all; each waits no longer than its own context.
func (c *Client) current(ctx context.Context) (*session, error) {
	s := c.session.Load()
	now := c.now()
	if s != nil && now.Before(s.until) {
		return s, nil
	}
	opened := c.open.DoChan("", func() (any, error) {
		return c.reopen(context.WithoutCancel(ctx))
	})
	if s != nil && now.Before(s.until.Add(staleAge)) {
		return s, nil
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case result := <-opened:
		if result.Err != nil {
			return nil, result.Err
		}
		return result.Val.(*session), nil
	}
}

func (c *Client) reopen(ctx context.Context) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	api, err := client.New(client.WithHost(c.host), client.WithResponseHook(limitAnswer), client.WithUserAgent("docker-stig-authz"))
	if err != nil {
		return nil, fmt.Errorf("engine at %s: %w", c.host, err)
	}
	info, err := api.Info(ctx, client.InfoOptions{})
	if err != nil {
		_ = api.Close()
		return nil, fmt.Errorf("engine at %s: %w", c.host, err)
	}
	s := &session{
		api:   api,
		bare:  &http.Client{Transport: &http.Transport{DialContext: dialWith(api)}},
		store: trust.StoreOf(info.Info.Driver, info.Info.DriverStatus),
		facts: factsOf(info.Info),
		until: c.now().Add(sessionAge),
	}
	s.facts.ReadOnly = versions.GreaterThanOrEqualTo(api.ClientVersion(), forcesReadOnly)
	c.session.Swap(s).end()
	return s, nil
}

// limitAnswer cuts an answer that is longer than any an engine gives; what is
// left does not decode.
func limitAnswer(resp *http.Response) {
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
}

// Store tells how the engine keeps images.
func (c *Client) Store(ctx context.Context) (trust.Store, error) {
	s, err := c.current(ctx)
	if err != nil {
		return trust.UnknownStore, err
	}
	return s.store, nil
}

// Image finds an image by name, ID or prefix of an ID.
func (c *Client) Image(ctx context.Context, name string) (HeldImage, error) {
	s, err := c.current(ctx)
	if err != nil {
		return HeldImage{}, err
	}
	image, err := s.api.ImageInspect(ctx, name)
	if err != nil {
		return HeldImage{}, notFound(err)
	}
	id, err := digest.Parse(image.ID)
	if err != nil {
		return HeldImage{}, fmt.Errorf("the engine gave %q as an image ID: %w", Clip(image.ID), err)
	}
	held := HeldImage{ID: id, RepoTags: image.RepoTags, RepoDigests: image.RepoDigests}
	c.known.keep(held)
	return held, nil
}

// Known gives what Image last gave for an image ID, and asks nobody.
func (c *Client) Known(id digest.Digest) (HeldImage, bool) { return c.known.find(id) }

// Container finds a container as the engine would.
func (c *Client) Container(ctx context.Context, name string) (Container, error) {
	s, err := c.current(ctx)
	if err != nil {
		return Container{}, err
	}
	result, err := s.api.ContainerInspect(ctx, name, client.ContainerInspectOptions{})
	if err != nil {
		return Container{}, notFound(err)
	}
	got := result.Container
	found := Container{ID: got.ID, Name: strings.TrimPrefix(got.Name, "/"), ImageID: digest.Digest(got.Image), Host: got.HostConfig, Mounts: got.Mounts}
	if got.Config != nil {
		found.ImageName = got.Config.Image
	}
	if got.State != nil {
		found.Running = got.State.Running
	}
	return found, nil
}

// Containers lists all containers, running or not.
func (c *Client) Containers(ctx context.Context) ([]Container, error) {
	s, err := c.current(ctx)
	if err != nil {
		return nil, err
	}
	// No filter: moby answers an ambiguous prefix with an empty list.
	list, err := s.api.ContainerList(ctx, client.ContainerListOptions{All: true})
	if err != nil {
		return nil, err
	}
	all := make([]Container, 0, len(list.Items))
	for i := range list.Items {
		all = append(all, listed(&list.Items[i]))
	}
	return all, nil
}

func listed(s *container.Summary) Container {
	c := Container{ID: s.ID, ImageName: s.Image}
	if len(s.Names) > 0 {
		c.Name = strings.TrimPrefix(s.Names[0], "/")
	}
	switch s.State {
	case container.StateRunning, container.StatePaused, container.StateRestarting:
		c.Running = true
	case container.StateCreated, container.StateRemoving, container.StateExited, container.StateDead:
	}
	return c
}

// Volume finds a volume by its name.
func (c *Client) Volume(ctx context.Context, name string) (Volume, error) {
	s, err := c.current(ctx)
	if err != nil {
		return Volume{}, err
	}
	got, err := s.api.VolumeInspect(ctx, name, client.VolumeInspectOptions{})
	if err != nil {
		return Volume{}, notFound(err)
	}
	return Volume{Name: got.Volume.Name, Driver: got.Volume.Driver, Options: got.Volume.Options}, nil
}

// Exec finds a process that was prepared to run in a container. It asks by
// itself, because moby's client leaves out whether the process is privileged.
func (c *Client) Exec(ctx context.Context, id string) (Exec, error) {
	s, err := c.current(ctx)
	if err != nil {
		return Exec{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine/v"+s.api.ClientVersion()+"/exec/"+url.PathEscape(id)+"/json", http.NoBody)
	if err != nil {
		return Exec{}, err
	}
	resp, err := s.bare.Do(req)
	if err != nil {
		return Exec{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return Exec{}, fmt.Errorf("%w: exec %s", ErrNotFound, Clip(id))
	}
	if resp.StatusCode != http.StatusOK {
		return Exec{}, fmt.Errorf("engine at %s: inspecting exec %s: %s", c.host, Clip(id), resp.Status)
	}
	var got container.ExecInspectResponse
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&got); err != nil {
		return Exec{}, fmt.Errorf("engine at %s: inspecting exec %s: %w", c.host, Clip(id), err)
	}
	process := got.ProcessConfig
	return Exec{ID: got.ID, Container: got.ContainerID, Privileged: process == nil || (process.Privileged != nil && *process.Privileged)}, nil
}

// Network finds a network by name or ID.
func (c *Client) Network(ctx context.Context, name string) (Network, error) {
	s, err := c.current(ctx)
	if err != nil {
		return Network{}, err
	}
	got, err := s.api.NetworkInspect(ctx, name, client.NetworkInspectOptions{})
	if err != nil {
		return Network{}, notFound(err)
	}
	return Network{ID: got.Network.ID, Name: got.Network.Name, Driver: got.Network.Driver}, nil
}

// Facts tells what the engine is like.
func (c *Client) Facts(ctx context.Context) (Facts, error) {
	s, err := c.current(ctx)
	if err != nil {
		return Facts{}, err
	}
	return s.facts, nil
}

func factsOf(info system.Info) Facts {
	return Facts{
		Version:     info.ServerVersion,
		Root:        info.DockerRootDir,
		Runtime:     info.DefaultRuntime,
		HostCgroups: !slices.Contains(info.SecurityOptions, "name=cgroupns"),
		Swarm:       info.Swarm.LocalNodeState != "" && info.Swarm.LocalNodeState != swarm.LocalNodeStateInactive,
		Manager:     info.Swarm.ControlAvailable,
	}
}

// Service finds a swarm service.
func (c *Client) Service(ctx context.Context, id string) (Service, error) {
	s, err := c.current(ctx)
	if err != nil {
		return Service{}, err
	}
	result, err := s.api.ServiceInspect(ctx, id, client.ServiceInspectOptions{})
	if err != nil {
		return Service{}, notFound(err)
	}
	return Service{Version: result.Service.Version.Index, Spec: result.Service.Spec, Previous: result.Service.PreviousSpec}, nil
}

// RemoveContainer removes a container, running or not, with its anonymous
// volumes. One that is gone already is no error.
func (c *Client) RemoveContainer(ctx context.Context, id string) error {
	s, err := c.current(ctx)
	if err != nil {
		return err
	}
	_, err = s.api.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	if err != nil && !cerrdefs.IsNotFound(err) {
		return err
	}
	return nil
}

// StopContainer stops a container, and kills it if it does not end in time.
func (c *Client) StopContainer(ctx context.Context, id string) error {
	s, err := c.current(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, stopAnswer)
	defer cancel()
	seconds := int(stopWithin / time.Second)
	if _, err = s.api.ContainerStop(ctx, id, client.ContainerStopOptions{Timeout: &seconds}); err != nil {
		return notFound(err)
	}
	return nil
}

// Forget makes the next question ask the engine what it is like: it may be
// another one now.
func (c *Client) Forget() {
	c.session.Swap(nil).end()
	c.ForgetImages()
}

// ForgetImages makes the next question about an image ask the engine: another
// policy may revoke a digest that was not there when it was asked last.
func (c *Client) ForgetImages() { c.known.forget() }

// Close lets go of idle connections.
func (c *Client) Close() error {
	c.session.Swap(nil).end()
	return nil
}

// end lets go of idle connections; what is under way ends by itself.
func (s *session) end() {
	if s == nil {
		return
	}
	_ = s.api.Close()
	s.bare.CloseIdleConnections()
}

func dialWith(api *client.Client) func(context.Context, string, string) (net.Conn, error) {
	dial := api.Dialer()
	return func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }
}

func notFound(err error) error {
	if cerrdefs.IsNotFound(err) {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return err
}
