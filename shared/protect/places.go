package protect

import (
	"path"
	"slices"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// A place is a path of the host that a container does not get. A folder that
// holds it gives it away, and what lies below it is part of it.
type place struct {
	path     string
	why      string
	readable bool // it may be had read-only
	shallow  bool // what lies below it is not meant
}

// meets reports whether what is asked for is, holds or belongs to the place,
// which goes by a name.
func (p *place) meets(name, asked string) bool {
	return under(name, asked) || (!p.shallow && under(asked, name))
}

// is compares a path with the place by what they are on disk, since a folder
// may go by a link or be mounted in two places.
func (p *place) is(own, asked found) bool {
	if own.chain == nil {
		return false
	}
	if p.meets(own.path, asked.path) || own.missing {
		return p.meets(own.path, asked.path)
	}
	last := own.chain[len(own.chain)-1]
	if p.shallow {
		return !asked.missing && asked.chain[len(asked.chain)-1].same(last)
	}
	return slices.ContainsFunc(asked.chain, last.same)
}

// layoutFor is how long it is remembered where the places are: only root moves
// them, and to look at them all takes some hundred microseconds.
const layoutFor = 10 * time.Second

// A layout is where the places were found at some time.
type layout struct {
	at     time.Time
	places []found
}

// whereabouts gives where each place is; a place that cannot be followed is
// known by its name alone.
func (r *Rules) whereabouts(t *tree) []found {
	now := r.options.Now()
	if l := r.known.Load(); l != nil && now.Sub(l.at).Abs() < layoutFor {
		return l.places
	}
	l := &layout{at: now, places: make([]found, len(r.places))}
	for i := range r.places {
		f, err := t.resolve(r.places[i].path)
		if err == nil {
			l.places[i] = f
		}
	}
	r.known.Store(l)
	return l.places
}

// places are those built in, the engine's and the site's.
func places(p policy.Protect, o Options) []place {
	list := append([]place(nil), never...)
	if o.DataRoot != "" {
		list = append(list, place{path: path.Clean(o.DataRoot), why: "holds the engine's images, volumes and containers"})
	}
	for _, name := range o.Paths {
		list = append(list, place{path: path.Clean(name), why: "decides what may run on the host"})
	}
	for _, name := range p.Paths {
		list = append(list, place{path: path.Clean(name), why: "is protected by the site (protect.paths)"})
	}
	return append(list, writeProtected...)
}

// never are places that tell or do too much even read-only: sockets work
// through a read-only bind, and who can read a key has it.
var never = []place{
	{path: "/", why: "is the whole host", shallow: true},
	{path: "/proc", why: "leads to every process and setting of the host"},
	{path: "/dev", why: "holds the host's disks, memory and logs"},
	{path: "/run", why: "holds the sockets by which the host is run, the engine's among them"},
	{path: "/var/run", why: "holds the sockets by which the host is run, the engine's among them"},
	{path: "/var/lib/docker", why: "holds the engine's images, volumes and containers"},
	{path: "/var/lib/docker-engine", why: "belongs to the engine"},
	{path: "/var/lib/docker-stig", why: "holds what is trusted and approved"},
	{path: "/var/lib/containerd", why: "holds the content of images and containers"},
	{path: "/var/lib/containers", why: "holds the content of images and containers"},
	{path: "/var/lib/buildkit", why: "holds the content that builds work with"},
	{path: "/var/lib/kubelet", why: "holds the containers and secrets of Kubernetes"},
	{path: "/var/lib/rancher", why: "holds the containers and secrets of Kubernetes"},
	{path: "/var/snap/docker", why: "holds the engine's configuration and content"},
	{path: "/var/backups", why: "holds copies of the passwords"},
	{path: "/etc/docker", why: "configures the engine and holds its keys"},
	{path: "/etc/docker-stig", why: "says what may run, and holds the plugin's credentials"},
	{path: "/etc/containerd", why: "configures containerd"},
	{path: "/etc/kubernetes", why: "holds the keys of Kubernetes"},
	{path: "/etc/shadow", why: "holds the passwords"},
	{path: "/etc/shadow-", why: "holds the passwords"},
	{path: "/etc/gshadow", why: "holds the passwords"},
	{path: "/etc/gshadow-", why: "holds the passwords"},
	{path: "/etc/security/opasswd", why: "holds the passwords"},
	{path: "/etc/ssh", why: "holds the host's keys"},
	{path: "/etc/ssl/private", why: "holds the host's keys"},
	{path: "/etc/pki/tls/private", why: "holds the host's keys"},
	{path: "/etc/krb5.keytab", why: "holds the host's keys"},
	{path: "/etc/wireguard", why: "holds the host's keys"},
	{path: "/etc/NetworkManager/system-connections", why: "holds the host's keys"},
	{path: "/root/.ssh", why: "holds the administrator's keys"},
	{path: "/root/.gnupg", why: "holds the administrator's keys"},
	{path: "/root/.docker", why: "holds the administrator's credentials"},
	{path: "/root/.kube", why: "holds the administrator's credentials"},
	{path: "/root/.aws", why: "holds the administrator's credentials"},
	{path: "/sysroot", why: "is the host's system by another name"},
}

// writeProtected are places from which root on the host runs programs, or
// takes orders.
var writeProtected = []place{
	{path: "/etc", why: "configures the host", readable: true},
	{path: "/usr", why: "holds the host's programs", readable: true},
	{path: "/bin", why: "holds the host's programs", readable: true},
	{path: "/sbin", why: "holds the host's programs", readable: true},
	{path: "/lib", why: "holds the host's programs", readable: true},
	{path: "/lib32", why: "holds the host's programs", readable: true},
	{path: "/lib64", why: "holds the host's programs", readable: true},
	{path: "/libx32", why: "holds the host's programs", readable: true},
	{path: "/boot", why: "holds what the host starts from", readable: true},
	{path: "/efi", why: "holds what the host starts from", readable: true},
	{path: "/ostree", why: "holds the host's programs", readable: true},
	{path: "/nix", why: "holds the host's programs", readable: true},
	{path: "/snap", why: "holds the host's programs", readable: true},
	{path: "/opt", why: "holds programs that the host runs", readable: true, shallow: true},
	{path: "/opt/containerd", why: "holds programs that containerd runs", readable: true},
	{path: "/opt/cni", why: "holds programs that root runs", readable: true},
	{path: "/root", why: "holds what the administrator's shell runs", readable: true},
	{path: "/home", why: "holds what users' shells run", readable: true, shallow: true},
	{path: "/sys", why: "sets the host's kernel and devices", readable: true},
	{path: "/tmp", why: "holds files that root's programs work with", readable: true, shallow: true},
	{path: "/var/tmp", why: "holds files that root's programs work with", readable: true, shallow: true},
	{path: "/var/spool/cron", why: "holds what cron runs as root", readable: true},
	{path: "/var/spool/anacron", why: "holds what cron runs as root", readable: true},
	{path: "/var/spool/at", why: "holds what at runs as root", readable: true},
	{path: "/var/lib/cloud", why: "holds what the host runs when it starts", readable: true},
	{path: "/var/lib/dpkg", why: "holds what packages run as root", readable: true},
	{path: "/var/lib/rpm", why: "holds what packages run as root", readable: true},
	{path: "/var/lib/apt", why: "says which packages are genuine", readable: true},
	{path: "/var/cache/apt", why: "holds packages that root installs", readable: true},
	{path: "/var/cache/dnf", why: "holds packages that root installs", readable: true},
	{path: "/var/lib/systemd", why: "configures the host's services", readable: true},
	{path: "/var/lib/polkit-1", why: "says who may act as root", readable: true},
	{path: "/var/log", why: "holds the records of what was done", readable: true, shallow: true},
	{path: "/var/log/audit", why: "holds the records of what was done", readable: true},
	{path: "/var/log/journal", why: "holds the records of what was done", readable: true},
}
