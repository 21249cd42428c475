package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"
)

// A SwarmRole is what an engine is in a swarm.
type SwarmRole string

// The roles. An engine alone is in no swarm.
const (
	Alone   SwarmRole = "alone"
	Worker  SwarmRole = "worker"
	Manager SwarmRole = "manager"
)

// A Swarm is what an engine tells of the swarm it is in. A worker knows no
// more than its role.
type Swarm struct {
	Role     SwarmRole
	Managers int
	Spec     swarm.Spec // it holds no token
	Port     uint16     // on which managers listen
	// Untold is why a manager does not know its swarm: its managers are too
	// few to have a leader. Managers and Spec are empty then, and the swarm's
	// networks may be missing.
	Untold error
}

// defaultSwarmPort is that of docker swarm init --listen-addr.
const defaultSwarmPort = 2377

// Swarm tells which swarm the engine is in. One that is locked or failing
// cannot tell.
func (h *Host) Swarm(ctx context.Context) (Swarm, error) {
	info, err := h.Info(ctx)
	if err != nil {
		return Swarm{}, err
	}
	switch state := info.Swarm.LocalNodeState; state {
	case swarm.LocalNodeStateInactive:
		return Swarm{Role: Alone}, nil
	case swarm.LocalNodeStateActive:
	case swarm.LocalNodeStateLocked:
		return Swarm{}, errors.New("the swarm is locked and tells nothing: unlock it with docker swarm unlock")
	case swarm.LocalNodeStatePending, swarm.LocalNodeStateError:
		return Swarm{}, fmt.Errorf("the engine's part in its swarm is in state %s (%s): look at docker info", state, info.Swarm.Error)
	default:
		return Swarm{}, fmt.Errorf("the engine does not say whether it is in a swarm (state %q): look at docker info", state)
	}
	if !info.Swarm.ControlAvailable {
		return Swarm{Role: Worker}, nil
	}
	s := Swarm{Role: Manager, Managers: info.Swarm.Managers, Port: managerPort(info.Swarm)}
	var cluster swarm.ClusterInfo
	if info.Swarm.Cluster != nil {
		cluster = *info.Swarm.Cluster
	} else {
		asked, err := h.Engine.SwarmInspect(ctx, client.SwarmInspectOptions{})
		if err != nil {
			return Swarm{}, fmt.Errorf("asking the engine for its swarm: %w", err)
		}
		cluster = asked.Swarm.ClusterInfo
	}
	// The engine gives an empty description of a swarm without a leader.
	if info.Swarm.Error != "" || cluster.ID == "" {
		s.Managers, s.Untold = 0, fmt.Errorf("this manager does not know its own swarm (%s): see with docker node ls that more than half of the managers are reachable, then check again", cmp.Or(info.Swarm.Error, "its description is empty"))
		return s, nil
	}
	s.Spec = cluster.Spec
	return s, nil
}

// managerPort is the port that this manager advertises, which is the one it
// listens on unless it was told otherwise.
func managerPort(info swarm.Info) uint16 {
	for _, peer := range info.RemoteManagers {
		if peer.NodeID != info.NodeID {
			continue
		}
		if _, port, err := net.SplitHostPort(peer.Addr); err == nil {
			if n, err := strconv.ParseUint(port, 10, 16); err == nil {
				return uint16(n)
			}
		}
	}
	return defaultSwarmPort
}

// An Overlay is a network that spans the nodes of a swarm.
type Overlay struct {
	Name      string
	Ingress   bool // the swarm's own, through which published ports are reached
	Encrypted bool
	// Pending: the swarm has not set it up yet, so its driver and options are
	// not told.
	Pending bool
}

// Overlays are the engine's overlay networks. Only a manager knows all of the
// swarm's.
func (h *Host) Overlays(ctx context.Context) ([]Overlay, error) {
	if h.Engine == nil {
		return nil, errNoEngine
	}
	list, err := h.Engine.NetworkList(ctx, client.NetworkListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing the engine's networks: %w", err)
	}
	if list.Items == nil {
		return nil, fmt.Errorf("listing the engine's networks: %w", errNoList)
	}
	var found []Overlay
	for _, network := range list.Items {
		if network.Name == "" {
			return nil, errors.New("listing the engine's networks: its answer has one without a name: look at docker network ls")
		}
		pending := network.Driver == "" && network.Scope == "swarm"
		if network.Driver == "overlay" || pending {
			_, encrypted := network.Options["encrypted"] // whatever its value, the engine encrypts
			found = append(found, Overlay{Name: network.Name, Ingress: network.Ingress, Encrypted: encrypted, Pending: pending})
		}
	}
	return found, nil
}
