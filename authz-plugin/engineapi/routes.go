// Package engineapi knows the engine's HTTP API as far as an authorization
// plugin must: which requests run or store an image, which image that is, and
// which requests are never to be let through unseen.
//
// It holds one table of routes, taken from moby's routers and API
// descriptions, versions 1.12 (Docker 1.0) to 1.56. Requests are routed as
// moby routes them: on the decoded path, with moby's own patterns. A route
// that may change something and is not in the table is Unknown, which denies.
//
// The package decides which questions are to be asked. Whether content is
// vouched for is package trust's to say, and whether a class of requests is
// open at this site is the policy's; package authz brings the three together.
package engineapi

import "net/http"

// A Use is what a route does that authorization has to look at. The zero Use
// denies.
type Use int

const (
	// Unknown is a route that may change something and is not in the table.
	Unknown Use = iota
	// Pass neither runs an image nor helps to. What it may store, such as
	// the image of a commit, is judged when it is to run.
	Pass
	// Create makes a container: the image it names is judged, and again in
	// the engine's answer.
	Create
	// Start runs a container, which is judged.
	Start
	// Revive runs a container again: restart, unpause.
	Revive
	// Alter changes what a container is called or how it restarts. It is
	// judged because the engine restarts containers without asking.
	Alter
	// Pull stores an image from a registry.
	Pull
	// ServiceCreate and ServiceUpdate run images on the nodes of a swarm.
	ServiceCreate
	// ServiceUpdate may run the previous specification instead of its own.
	ServiceUpdate
	// Build runs what its body says, in a form that authorization is not
	// shown: a tar archive, or gRPC.
	Build
	// Plugins changes managed plugins: installing one is root.
	Plugins
	// Swarm hands the choice of what runs here to a swarm's managers, or lets
	// somebody become one: its tokens and its authority do.
	Swarm
	// Exec prepares a process in a container, which reaches what the container
	// does; a privileged one reaches the host.
	Exec
	// ExecStart runs it.
	ExecStart
	// Read reads files of a container, and of the host where it has those.
	Read
	// Copy writes them.
	Copy
	// Volume makes a volume, which may be a folder or a device of the host.
	Volume
	// Network makes a network, by a driver that may be any program's.
	Network
	// Checkpoint writes a process's memory, to be started later.
	Checkpoint
)

// A Route is one row of the table.
type Route struct {
	Method  string
	Pattern string // moby's own, without the version in front
	Use     Use
	Body    bool // an empty body is never legitimate here
}

const (
	get  = http.MethodGet
	head = http.MethodHead
	post = http.MethodPost
	put  = http.MethodPut
	del  = http.MethodDelete
)

// routes are all routes of the engine's API that may change something, and
// those that read what is not everybody's. Other GET, HEAD and OPTIONS pass.
var routes = []Route{
	{Method: post, Pattern: "/containers/create", Use: Create, Body: true},
	{Method: post, Pattern: "/containers/prune", Use: Pass},
	{Method: post, Pattern: "/containers/{name:.*}/start", Use: Start},
	{Method: post, Pattern: "/containers/{name:.*}/restart", Use: Revive},
	{Method: post, Pattern: "/containers/{name:.*}/unpause", Use: Revive},
	{Method: post, Pattern: "/containers/{name:.*}/rename", Use: Alter},
	{Method: post, Pattern: "/containers/{name:.*}/update", Use: Alter, Body: true},
	{Method: post, Pattern: "/containers/{name:.*}/kill", Use: Pass},
	{Method: post, Pattern: "/containers/{name:.*}/pause", Use: Pass},
	{Method: post, Pattern: "/containers/{name:.*}/stop", Use: Pass},
	{Method: post, Pattern: "/containers/{name:.*}/wait", Use: Pass},
	{Method: post, Pattern: "/containers/{name:.*}/resize", Use: Pass},
	{Method: post, Pattern: "/containers/{name:.*}/attach", Use: Pass},
	{Method: post, Pattern: "/containers/{name:.*}/copy", Use: Read}, // up to API 1.23
	{Method: get, Pattern: "/containers/{name:.*}/archive", Use: Read},
	{Method: head, Pattern: "/containers/{name:.*}/archive", Use: Read},
	{Method: post, Pattern: "/containers/{name:.*}/exec", Use: Exec, Body: true},
	{Method: post, Pattern: "/exec/{name:.*}/start", Use: ExecStart},
	{Method: post, Pattern: "/exec/{name:.*}/resize", Use: Pass},
	{Method: put, Pattern: "/containers/{name:.*}/archive", Use: Copy},
	{Method: post, Pattern: "/containers/{name:.*}/checkpoints", Use: Checkpoint},
	{Method: del, Pattern: "/containers/{name}/checkpoints/{checkpoint}", Use: Checkpoint},
	{Method: del, Pattern: "/containers/{name:.*}", Use: Pass},
	{Method: post, Pattern: "/commit", Use: Pass},

	{Method: post, Pattern: "/images/create", Use: Pull},
	{Method: post, Pattern: "/images/load", Use: Pass},
	{Method: post, Pattern: "/images/prune", Use: Pass},
	{Method: post, Pattern: "/images/{name:.*}/push", Use: Pass},
	{Method: post, Pattern: "/images/{name:.*}/tag", Use: Pass},
	{Method: del, Pattern: "/images/{name:.*}", Use: Pass},

	{Method: post, Pattern: "/build", Use: Build},
	{Method: post, Pattern: "/session", Use: Build},
	{Method: post, Pattern: "/grpc", Use: Build},
	{Method: post, Pattern: "/build/prune", Use: Pass},
	{Method: post, Pattern: "/build/cancel", Use: Pass},

	{Method: post, Pattern: "/plugins/pull", Use: Plugins},
	{Method: post, Pattern: "/plugins/create", Use: Plugins},
	{Method: post, Pattern: "/plugins/{name:.*}/enable", Use: Plugins},
	{Method: post, Pattern: "/plugins/{name:.*}/disable", Use: Plugins},
	{Method: post, Pattern: "/plugins/{name:.*}/push", Use: Plugins},
	{Method: post, Pattern: "/plugins/{name:.*}/upgrade", Use: Plugins},
	{Method: post, Pattern: "/plugins/{name:.*}/set", Use: Plugins},
	{Method: del, Pattern: "/plugins/{name:.*}", Use: Plugins},

	{Method: post, Pattern: "/services/create", Use: ServiceCreate, Body: true},
	{Method: post, Pattern: "/services/{id}/update", Use: ServiceUpdate, Body: true},
	{Method: del, Pattern: "/services/{id}", Use: Pass},
	{Method: post, Pattern: "/swarm/init", Use: Swarm},
	{Method: post, Pattern: "/swarm/join", Use: Swarm},
	{Method: post, Pattern: "/swarm/unlock", Use: Swarm},
	{Method: post, Pattern: "/swarm/leave", Use: Pass},
	{Method: post, Pattern: "/swarm/update", Use: Swarm},
	{Method: get, Pattern: "/swarm", Use: Swarm},           // with tokens to join
	{Method: get, Pattern: "/swarm/unlockkey", Use: Swarm}, // with its key
	{Method: post, Pattern: "/nodes/{id}/update", Use: Swarm},
	{Method: del, Pattern: "/nodes/{id}", Use: Pass},
	{Method: post, Pattern: "/secrets/create", Use: Pass},
	{Method: post, Pattern: "/secrets/{id}/update", Use: Pass},
	{Method: del, Pattern: "/secrets/{id}", Use: Pass},
	{Method: post, Pattern: "/configs/create", Use: Pass},
	{Method: post, Pattern: "/configs/{id}/update", Use: Pass},
	{Method: del, Pattern: "/configs/{id}", Use: Pass},

	{Method: post, Pattern: "/networks/create", Use: Network, Body: true},
	{Method: post, Pattern: "/networks/prune", Use: Pass},
	{Method: post, Pattern: "/networks/{id:.*}/connect", Use: Pass},
	{Method: post, Pattern: "/networks/{id:.*}/disconnect", Use: Pass},
	{Method: del, Pattern: "/networks/{id:.*}", Use: Pass},
	{Method: post, Pattern: "/volumes/create", Use: Volume, Body: true},
	{Method: post, Pattern: "/volumes/prune", Use: Pass},
	{Method: put, Pattern: "/volumes/{name:.*}", Use: Pass},
	{Method: del, Pattern: "/volumes/{name:.*}", Use: Pass},

	{Method: post, Pattern: "/auth", Use: Pass},
}

// Routes gives a copy of the table.
func Routes() []Route { return append([]Route(nil), routes...) }
