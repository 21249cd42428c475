package engineapi

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/singleflight"

	"github.com/docker-stig/docker-stig/shared/trust"
)

const (
	// sessionAge is how long an engine is taken for the one it was: its API
	// version and its image store change only with a restart.
	sessionAge = 30 * time.Second
	// openTimeout bounds one shared GET /info, which engines answer in tens
	// of milliseconds.
	openTimeout = 4 * time.Second
	// maxAnswer bounds what is read of one answer of the engine.
	maxAnswer = 32 << 20 // bytes; a list of ten thousand containers is about 15 MiB
)

// A Client asks an engine over its API socket. It only reads, RemoveContainer
// apart: its requests come back to the plugin to be authorized, and have to
// be let through there without any question.
type Client struct {
	host    string // "unix:///run/docker.sock"
	now     func() time.Time
	open    singleflight.Group
	session atomic.Pointer[session]
}

// A session is a client that has agreed on an API version.
type session struct {
	api   *client.Client
	store trust.Store
	until time.Time
}

// NewClient makes a client for the engine at host. It connects to nothing yet.
func NewClient(host string, now func() time.Time) *Client {
	return &Client{host: host, now: now}
}

// current gives the session, opening it when there is none or it is old. One
// caller opens it for all; each waits no longer than its own context.
func (c *Client) current(ctx context.Context) (*session, error) {
	if s := c.session.Load(); s != nil && c.now().Before(s.until) {
		return s, nil
	}
	opened := c.open.DoChan("", func() (any, error) {
		return c.reopen(context.WithoutCancel(ctx))
	})
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
	s := &session{api: api, store: trust.StoreOf(info.Info.Driver, info.Info.DriverStatus), until: c.now().Add(sessionAge)}
	if old := c.session.Swap(s); old != nil {
		_ = old.api.Close() // idle connections; what is under way ends by itself
	}
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
		return HeldImage{}, fmt.Errorf("the engine gave %q as an image ID: %w", clip(image.ID), err)
	}
	return HeldImage{ID: id, RepoTags: image.RepoTags, RepoDigests: image.RepoDigests}, nil
}

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
	container := Container{ID: got.ID, Name: strings.TrimPrefix(got.Name, "/"), ImageID: digest.Digest(got.Image)}
	if got.Config != nil {
		container.ImageName = got.Config.Image
	}
	if got.HostConfig != nil {
		container.ImageMounts = imageMounts(got.HostConfig.Mounts)
	}
	return container, nil
}

// ContainerIDs lists all containers, running or not.
func (c *Client) ContainerIDs(ctx context.Context) ([]string, error) {
	s, err := c.current(ctx)
	if err != nil {
		return nil, err
	}
	// No filter: moby answers an ambiguous prefix with an empty list.
	list, err := s.api.ContainerList(ctx, client.ContainerListOptions{All: true})
	if err != nil {
		return nil, err
	}
	ids := make([]string, 0, len(list.Items))
	for _, container := range list.Items {
		ids = append(ids, container.ID)
	}
	return ids, nil
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
	return Service{Version: result.Service.Version.Index, Previous: result.Service.PreviousSpec}, nil
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

// Close lets go of idle connections.
func (c *Client) Close() error {
	if s := c.session.Swap(nil); s != nil {
		return s.api.Close()
	}
	return nil
}

func notFound(err error) error {
	if cerrdefs.IsNotFound(err) {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return err
}
