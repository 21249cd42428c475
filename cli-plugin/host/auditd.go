package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/host/audit"
)

// auditKey is the one that the guide has the records of Docker's files found by.
const auditKey = "docker"

// auditedClient is what docker's client is called.
const auditedClient = "docker"

// ErrNoAuditd says that the host has no audit daemon.
var ErrNoAuditd = errors.New("auditd is not installed")

// auditctl asks the kernel's audit system. An unprivileged user's path often
// lacks the folder of auditctl.
func (h *Host) auditctl(ctx context.Context, option string) ([]byte, error) {
	var err error
	for _, program := range []string{"auditctl", "/usr/sbin/auditctl", "/sbin/auditctl"} {
		var said []byte
		said, err = h.Run(ctx, program, option)
		if err == nil {
			return said, nil
		}
		if !errors.Is(err, exec.ErrNotFound) && !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if h.lacksAuditd() {
		return nil, ErrNoAuditd
	}
	return nil, fmt.Errorf("asking the audit system with auditctl %s: %w; run this as root on the engine's own host", option, err)
}

// lacksAuditd reports whether the host's files are known to have no auditd.
func (h *Host) lacksAuditd() bool {
	for _, name := range []string{"/usr/sbin/auditd", "/sbin/auditd", "/usr/sbin/auditctl", "/sbin/auditctl"} {
		if _, err := h.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			return false
		}
	}
	return true
}

// AuditStatus tells whether the kernel records, and for whom.
func (h *Host) AuditStatus(ctx context.Context) (audit.Status, error) {
	said, err := h.auditctl(ctx, "-s")
	if err != nil {
		return audit.Status{}, err
	}
	return audit.ParseStatus(said)
}

// AuditRules are those that the kernel follows, asked once.
func (h *Host) AuditRules(ctx context.Context) (audit.Rules, error) {
	return h.auditRules.get(func() (audit.Rules, error) {
		said, err := h.auditctl(ctx, "-l")
		if err != nil {
			return audit.Rules{}, err
		}
		return audit.ParseRules(said), nil
	})
}

// An AuditFile is one that rules are loaded from when the host starts.
type AuditFile struct {
	Name  string
	Rules audit.Rules
}

// AuditFiles reads what augenrules and auditctl -R load.
func (h *Host) AuditFiles() ([]AuditFile, error) {
	names, err := h.List("/etc/audit/rules.d")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("looking for audit rules: %w", err)
	}
	var paths []string
	for _, name := range names {
		if strings.HasSuffix(name, ".rules") {
			paths = append(paths, path.Join("/etc/audit/rules.d", name))
		}
	}
	var files []AuditFile
	for _, name := range append(paths, "/etc/audit/audit.rules") {
		raw, err := h.Read(name)
		if errors.Is(err, fs.ErrNotExist) && !h.Dangling(name) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading audit rules: %w", orDangling(h, name, err))
		}
		files = append(files, AuditFile{name, audit.ParseRules(raw)})
	}
	return files, nil
}

// AuditTree is what has to be known of the host's files to tell what a watch
// covers.
func (h *Host) AuditTree() (audit.Tree, error) {
	mounts, err := h.Read("/proc/mounts")
	if err != nil {
		return audit.Tree{}, fmt.Errorf("reading which file systems are mounted, which watches of folders do not reach into: %w", err)
	}
	return audit.Tree{
		Real:   func(name string) string { return path.Join(h.RealPath(path.Dir(name)), path.Base(name)) },
		IsDir:  func(name string) bool { f, err := h.Stat(name); return err == nil && f.Mode.IsDir() },
		Mounts: audit.ParseMounts(mounts),
	}, nil
}

// Execs are the runs of docker's client, and of what has its name in its path,
// that the audit log has under the key docker, asked once. Those still in the log count: auditd deletes old ones.
func (h *Host) Execs(ctx context.Context) ([]audit.Exec, error) {
	return h.execs.get(func() ([]audit.Exec, error) {
		var said []byte
		var err error
		for _, program := range []string{"ausearch", "/usr/sbin/ausearch", "/sbin/ausearch"} {
			// --input-logs: it would read a pipe on its standard input otherwise.
			// -x: part of the program's path. The key is also that of runc, which
			// health checks run many thousand times a day.
			said, err = h.Run(ctx, program, "--input-logs", "-k", auditKey, "-m", "EXECVE", "-x", auditedClient)
			if err == nil || !errors.Is(err, exec.ErrNotFound) && !errors.Is(err, fs.ErrNotExist) {
				break
			}
		}
		if err != nil && strings.Contains(err.Error(), "<no matches>") {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("searching the audit log: %w; run this as root on the engine's own host, or search it with ausearch -k %s", err, auditKey)
		}
		return audit.ParseExecs(said)
	})
}
