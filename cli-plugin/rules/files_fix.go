package rules

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// A Fix gives the changes that would make a rule pass. It changes nothing.
type Fix func(ctx context.Context, h *host.Host) (change.Wanted, error)

// fix gives files their owner or mode. Permissions are only taken away: a mode
// that was stricter in part stays so.
func (r fileRule) fix(ctx context.Context, h *host.Host) (change.Wanted, error) {
	found, _, err := r.files(ctx, h)
	if err != nil {
		return change.Wanted{}, err
	}
	var wanted change.Wanted
	for _, p := range found {
		file, err := h.Stat(p.path)
		if errors.Is(err, fs.ErrNotExist) && !h.Dangling(p.path) && r.absent == stig.Open {
			r.create(p, &wanted)
			continue
		}
		if f := r.judge(h, p); f.Status != stig.Open {
			if f.Status == stig.NotReviewed {
				wanted.Person = append(wanted.Person, p.path+": "+f.Details)
			}
			continue
		}
		if err != nil {
			return change.Wanted{}, err
		}
		wanted.Changes = append(wanted.Changes, change.Change{Serves: []stig.ID{r.id}, Disruption: change.None, Owner: r.wish(p, file)})
		if p.kind == fs.ModeSocket {
			if err := r.lasts(ctx, h, p, &wanted); err != nil {
				return change.Wanted{}, err
			}
		}
	}
	return wanted, nil
}

// lasts keeps a socket so when it is made anew. That of systemd has owner and
// mode from its unit; one that the engine makes is root's, of the engine's
// option group, and 0660.
func (r fileRule) lasts(ctx context.Context, h *host.Host, p place, wanted *change.Wanted) error {
	hosts, err := h.Option(ctx, "hosts")
	if err != nil || slices.ContainsFunc(hosts.Value, func(address string) bool { return strings.HasPrefix(address, "fd://") }) {
		r.handedOver(ctx, h, p, wanted)
		return nil //nolint:nilerr // an engine that cannot be found keeps nobody from giving its socket an owner
	}
	group, err := h.Option(ctx, "group")
	if err != nil || r.owner == "" || group.Value.String() == socketGroup {
		return err
	}
	more, err := inConfig(ctx, h, r.id, "group", member{"/group", socketGroup})
	wanted.Changes, wanted.Person = append(wanted.Changes, more.Changes...), append(wanted.Person, more.Person...)
	return err
}

// socketDropIn says for docker.socket what the guide wants of its socket
// (DKER-EE-005310, DKER-EE-005320). What is written by systemctl edit
// (override.conf), or for a guard (zz-…), comes later and wins.
const (
	socketDropIn = "/etc/systemd/system/docker.socket.d/docker-stig.conf"
	socketUnit   = "[Socket]\nSocketUser=root\nSocketGroup=" + socketGroup + "\nSocketMode=0660\n"
)

// handedOver has systemd make a socket as it is wanted from its next start on.
func (r fileRule) handedOver(ctx context.Context, h *host.Host, p place, wanted *change.Wanted) {
	_, down := h.Stat("/run/systemd/system") // sd_booted(3)
	unit, err := h.Unit(ctx, "docker.socket")
	if down != nil || err != nil || unit.Path == "" || unit.Masked {
		wanted.Notes = append(wanted.Notes, p.path+" is made anew when docker.socket starts: so that it lasts, set SocketUser, SocketGroup and SocketMode in a drop-in of docker.socket")
		return
	}
	wanted.Changes = append(wanted.Changes, change.Change{
		Serves: []stig.ID{r.id}, Disruption: change.None,
		File: &change.File{Path: socketDropIn, Content: socketUnit, Then: change.DaemonReload},
	})
}

// socketGroup is the group whose members may ask the engine.
const socketGroup = "docker"

// wish is what is wanted of a file that is there.
func (r fileRule) wish(p place, file host.File) *change.Owner {
	if r.owner != "" {
		user, group, _ := strings.Cut(r.owner, ":")
		return &change.Owner{Path: p.path, User: user, Group: group}
	}
	bits := uint32(r.mode.bits)
	if !r.mode.exact {
		bits &= unixMode(file.Mode)
	}
	return &change.Owner{Path: p.path, Mode: fmt.Sprintf("%04o", bits)}
}

// create makes daemon.json, which says nothing until somebody writes into it.
// Other things that are missing have their reasons.
func (r fileRule) create(p place, wanted *change.Wanted) {
	if p.path != daemonConfig {
		wanted.Person = append(wanted.Person, p.path+" is missing: find out why, and make it with "+r.creation())
		return
	}
	wanted.Changes = append(wanted.Changes, change.Change{
		Serves: []stig.ID{r.id}, Disruption: change.None,
		File: &change.File{Path: p.path, Content: "{}\n"},
	})
}
