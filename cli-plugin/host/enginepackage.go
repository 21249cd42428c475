package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/docker-stig/docker-stig/cli-plugin/host/packages"
	"github.com/docker-stig/docker-stig/cli-plugin/host/process"
)

// ErrRemote says that a question needs files that this connection cannot see.
var ErrRemote = errors.New("this connection cannot see the host: run docker stig check on the engine's own host")

// InstalledPackage proves the package that the engine at address was installed
// from. Only a local socket leads to an engine whose files can be seen, unless
// its host is mounted at root.
func InstalledPackage(root, address string, approved []string, now func() time.Time) func(context.Context) (packages.Proof, error) {
	return func(ctx context.Context) (packages.Proof, error) {
		o := packages.Options{Root: root, Approved: approved, Now: now()}
		if root == "" {
			if !strings.HasPrefix(address, "unix://") {
				return packages.Proof{}, ErrRemote
			}
			o.Root, o.Engine = "/", enginePath(ctx, address)
		}
		return packages.Installed(ctx, o)
	}
}

// EnginePackage proves the package of the host's own engine, once See has been
// called with the same root.
func (h *Host) EnginePackage(root string) func(context.Context) (packages.Proof, error) {
	if h.Files == nil {
		return func(context.Context) (packages.Proof, error) { return packages.Proof{}, h.unseen() }
	}
	return InstalledPackage(root, h.Address, h.Site.ApprovedKeys, h.Now)
}

// PackageFile proves an engine package brought by hand.
func PackageFile(o packages.FileOptions) func(context.Context) (packages.Proof, error) {
	return func(ctx context.Context) (packages.Proof, error) { return packages.VerifyFile(ctx, o) }
}

// enginePath is the program behind the engine's socket, "" if the socket does
// not tell: one that systemd listens on names systemd, and a proxy itself.
func enginePath(ctx context.Context, address string) string {
	socket, ok := strings.CutPrefix(address, "unix://")
	if !ok {
		return ""
	}
	peer, err := process.Behind(ctx, socket)
	if err != nil {
		return ""
	}
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", peer))
	if err != nil || filepath.Base(path) != "dockerd" {
		return ""
	}
	return path
}

// PackageProof is what Package says, asked once: it reads and counts whole
// lists of packages.
func (h *Host) PackageProof(ctx context.Context) (packages.Proof, error) {
	return h.proof.get(func() (packages.Proof, error) { return h.Package(ctx) })
}
