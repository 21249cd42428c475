// Package protect decides whether a container, a volume, an exec or a service
// is given what leads from a container to its host: whoever holds the host
// holds the engine, and with it the plugin that judges images. A signature
// vouches for content, not for what its container is handed.
//
// It follows moby 20.10 to 29 in how a configuration is read (the linux parser
// of binds, the local volume driver, security options) and runc in what comes
// of it. It looks at the host's folders as the engine will, so it has to see
// the engine's mount tree. It knows nothing of requests: what is not in the
// configuration it is given (images, networks, the bodies of requests) is
// others' to judge, and so is what happens within a container. What a container
// leaves in a folder of the host is another matter: links that the engine
// follows at its next start, programs that the host runs. So a bind that is
// writable has to be one of the site's (protect.binds), and nothing below it is
// bound by itself.
//
// Turned down: to refuse every symbolic link in a bind's source. A link in a
// folder that only root can write stays what it is until root changes it, and
// systems have many of them (/var/run, /lib). And not judged are the cgroup
// parent and limits: they move resources, and give none of the host away.
package protect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/container"

	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// ErrNotFound is a Lookup's answer that the engine has no such object.
var ErrNotFound = errors.New("the engine has no such object")

// Options say what the host is like.
type Options struct {
	Root        string   // the host's tree; "" is "/"
	DataRoot    string   // the engine's folder, DockerRootDir of /info
	Runtime     string   // the engine's default runtime, DefaultRuntime of /info; "" is runc
	HostCgroups bool     // containers have the host's cgroup namespace by default: /info does not list cgroupns
	ReadOnly    bool     // ReadOnlyForceRecursive of a bind does what it says: API 1.44
	Paths       []string // protected as the data root is: the engine's socket, the policy file
	Now         func() time.Time
}

// A Lookup asks the engine for what a configuration only names.
type Lookup interface {
	// Volume gives a volume's driver and options, or ErrNotFound.
	Volume(ctx context.Context, name string) (driver string, options map[string]string, err error)
	// Container gives the configuration of a container and what it mounts.
	Container(ctx context.Context, name string) (*container.HostConfig, []container.MountPoint, error)
	// Network gives a network's driver, or ErrNotFound.
	Network(ctx context.Context, name string) (driver string, err error)
}

// A Refusal is a no, and the setting of the policy that says it.
type Refusal struct {
	Setting policy.Setting
	Text    string // what was asked, why not, and what would allow it
	Err     error  // what kept it from being found out for good; nil: it was
}

// Error gives the text.
func (r *Refusal) Error() string { return r.Text }

// Unwrap gives what kept it from being found out.
func (r *Refusal) Unwrap() error { return r.Err }

// Inconclusive reports whether it could not be found out what the
// configuration reaches: reason enough to start nothing, and none to stop what
// runs.
func (r *Refusal) Inconclusive() bool { return r.Err != nil }

// unseen makes of a refusal one for want of a look at the host. Too many links
// are seen for what they are.
func unseen(err, refusal error) error {
	if no := new(Refusal); errors.As(refusal, &no) && !errors.Is(err, errLinks) {
		return &Refusal{Setting: no.Setting, Text: no.Text, Err: err}
	}
	return refusal
}

// Rules are a policy's self-protection on one host. They may be used by many
// at once.
type Rules struct {
	policy       policy.Protect
	except       policy.Map[[]policy.Setting]
	capabilities map[string]bool // by their full names
	runtimes     []string
	places       []place
	options      Options
	known        atomic.Pointer[layout]
}

// New makes the rules of a policy.
func New(p policy.Protect, o Options) *Rules {
	if o.Root == "" {
		o.Root = "/"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Runtime == "" {
		o.Runtime = "runc"
	}
	r := &Rules{policy: p, options: o, except: policy.NewMap(p.Except), capabilities: map[string]bool{}}
	for _, name := range slices.Concat(engineCapabilities, p.Capabilities) {
		r.capabilities[capability(name)] = true
	}
	r.runtimes = append(slices.Clone(p.Runtimes), "", o.Runtime)
	r.places = places(p, o)
	return r
}

// A Subject is a container that is to be made, or one that exists.
type Subject struct {
	Image reference.Named // the repository that vouched for it, for its exceptions; may be nil
	Host  *container.HostConfig

	// Made says that the container exists. What it mounts is then in Mounts,
	// as the engine inspects it, and no longer what Host once asked for.
	Made   bool
	Mounts []container.MountPoint
}

// Container judges a container's configuration. It may be had if the error is
// nil, and only then; a no is a *Refusal that is not Inconclusive, any other
// error an unanswered question.
func (r *Rules) Container(ctx context.Context, s Subject, ask Lookup) error {
	j := r.judge(s.Image, ask)
	return j.container(ctx, s, 0)
}

// Volume judges a volume that is to be made. It may be mounted by any
// container, so no image has an exception.
func (r *Rules) Volume(driver string, options map[string]string) error {
	j := r.judge(nil, nil)
	j.creates = true
	return j.driverOptions(driver, options)
}

// Exec judges a process that is to run in a container of an image.
func (r *Rules) Exec(privileged bool, image reference.Named) error {
	j := r.judge(image, nil)
	if !privileged || j.allows(policy.SettingExecPrivileged, r.policy.ExecPrivileged) {
		return nil
	}
	return j.refuse(policy.SettingExecPrivileged, "a privileged exec", "has every capability, and with them the host")
}

// A judgement is one question with what it has looked up so far.
type judgement struct {
	*Rules

	service bool   // tasks of a service, as a manager hands them on
	image   string // the repository whose exceptions hold; "" if none is known
	open    []policy.Setting
	creates bool // a volume, for containers of any image
	ask     Lookup
	tree    *tree
	layout  []found // of the places, in their order
	entries []entry // of protect.binds
}

func (r *Rules) judge(image reference.Named, ask Lookup) judgement {
	j := judgement{Rules: r, ask: ask}
	if image != nil {
		j.image = image.Name()
		j.open, _ = r.except.Find(j.image)
	}
	return j
}

// container judges a configuration, and at some depth one that another joins.
func (j *judgement) container(ctx context.Context, s Subject, depth int) error {
	host := s.Host
	if host == nil {
		host = &container.HostConfig{}
	}
	if err := j.powers(host); err != nil {
		return err
	}
	if err := j.namespaces(ctx, host, depth); err != nil {
		return err
	}
	if err := Driver(host.VolumeDriver); err != nil {
		return err
	}
	if err := j.logs(host.LogConfig); err != nil {
		return err
	}
	if err := tmpfs(s); err != nil {
		return err
	}
	if s.Made {
		return j.mounted(ctx, s.Mounts, host.Mounts)
	}
	return j.mounts(ctx, host)
}

// allows reports whether a setting is open, to all or to the image.
func (j *judgement) allows(s policy.Setting, d policy.Disposition) bool {
	return d == policy.Allow || j.opened(s)
}

func (j *judgement) opened(s policy.Setting) bool { return slices.Contains(j.open, s) }

// ways are how a setting is opened to all images, where a site may want that.
var ways = map[policy.Setting]string{
	policy.SettingPrivileged:      `set protect.privileged to "allow", or `,
	policy.SettingHostNamespaces:  `set protect.host-namespaces to "allow", or `,
	policy.SettingDevices:         `set protect.devices to "allow", or `,
	policy.SettingCapabilities:    "list it in protect.capabilities, or ",
	policy.SettingRuntimes:        "list it in protect.runtimes, or ",
	policy.SettingSecurityOptions: `set protect.security-options to "allow", or `,
	policy.SettingExecPrivileged:  `set protect.exec-privileged to "allow", or `,
}

// refuse says what was asked for, why it leads to the host, and what in the
// policy would allow it.
func (j *judgement) refuse(s policy.Setting, asked, why string) error {
	return j.refuseUnless(s, ways[s], asked, why)
}

// refuseUnless names another way than the setting's own to allow what was
// asked for, or none beside an exception.
func (j *judgement) refuseUnless(s policy.Setting, way, asked, why string) error {
	image, exception := j.image, "except"
	if image == "" {
		image = "REPOSITORY"
	}
	if j.creates {
		exception = "make no volume of it but mount it in a container, and except"
	}
	return &Refusal{Setting: s, Text: fmt.Sprintf("%s %s: protect.%s refuses it (to allow it, %s%s the image: \"protect\": {\"except\": {%q: [%q]}})", asked, why, s, way, exception, image, s)}
}

// refuseAll says no to what no policy opens: nobody needs it.
func refuseAll(asked, why, instead string) error {
	return &Refusal{Setting: policy.SettingPaths, Text: fmt.Sprintf("%s %s: protect.paths refuses it, for all images; %s", asked, why, instead)}
}

// maxQuoted bounds what a message repeats of a request, in bytes.
const maxQuoted = 200

// quote makes text from outside fit to be read.
func quote(s string) string {
	if len(s) > maxQuoted {
		s = s[:maxQuoted] + "..."
	}
	return fmt.Sprintf("%q", s)
}

// under reports whether a clean path is a folder or lies below it.
func under(path, folder string) bool {
	if folder == "/" || path == folder {
		return true
	}
	return strings.HasPrefix(path, folder) && path[len(folder)] == '/'
}
