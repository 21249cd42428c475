package rules

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
)

const (
	daemonConfig = "/etc/docker/daemon.json"
	defaultsPath = "/etc/default/docker"
	certsFolder  = "/etc/docker/certs.d"
	socketPath   = "/var/run/docker.sock"
)

// at is one file at a fixed place.
func at(name string, kind fs.FileMode) places {
	return func(context.Context, *host.Host) ([]place, string, error) {
		return []place{{name, kind}}, "", nil
	}
}

// unitFile is where systemd has a unit from. One that is masked has no file.
func unitFile(unit string) places {
	return func(ctx context.Context, h *host.Host) ([]place, string, error) {
		u, err := h.Unit(ctx, unit)
		switch {
		case err != nil:
			return nil, "", err
		case u.Masked:
			return nil, fmt.Sprintf("%s is masked: %s is a link to /dev/null, and there is no file to judge", unit, u.Path), nil
		case u.Path == "":
			return nil, "there is no unit " + unit + " on this host", nil
		}
		return []place{{u.Path, 0}}, "", nil
	}
}

// configFolder is /etc/docker, on Ubuntu with the file that the guide takes
// for it.
func configFolder(_ context.Context, h *host.Host) ([]place, string, error) {
	found := []place{{"/etc/docker", fs.ModeDir}}
	distribution, err := h.Distribution()
	if err != nil {
		return nil, "", err
	}
	if _, err := h.Stat(defaultsPath); distribution.Is("ubuntu") && (!errors.Is(err, fs.ErrNotExist) || h.Dangling(defaultsPath)) {
		found = append(found, place{defaultsPath, 0})
	}
	return found, "", nil
}

// defaultsFile is /etc/default/docker, on Ubuntu.
func defaultsFile(_ context.Context, h *host.Host) ([]place, string, error) {
	distribution, err := h.Distribution()
	if err != nil {
		return nil, "", err
	}
	if !distribution.Is("ubuntu") {
		return nil, fmt.Sprintf("this host runs %s, and the requirement is about Ubuntu", distribution.Name), nil
	}
	return []place{{defaultsPath, 0}}, "", nil
}

// registryCertificates are the files in the folders of registries, and those
// folders if wanted.
func registryCertificates(folders bool) places {
	return func(_ context.Context, h *host.Host) ([]place, string, error) {
		const none = "there are no certificates of registries in " + certsFolder
		registries, err := h.List(certsFolder)
		if errors.Is(err, fs.ErrNotExist) && !h.Dangling(certsFolder) {
			return nil, none, nil
		}
		if err != nil {
			return nil, "", fmt.Errorf("looking for certificates of registries: %w; run this as root", err)
		}
		var found []place
		for _, registry := range registries {
			dir := path.Join(certsFolder, registry)
			if file, err := h.Stat(dir); err == nil && !file.Mode.IsDir() {
				found = append(found, place{dir, 0})
				continue
			}
			files, err := h.List(dir)
			if err != nil {
				return nil, "", fmt.Errorf("looking for certificates of registry %s: %w", registry, err)
			}
			if folders {
				found = append(found, place{dir, fs.ModeDir})
			}
			for _, name := range files {
				found = append(found, place{path.Join(dir, name), 0})
			}
		}
		return found, none, nil
	}
}

// apiSocket is the engine's, at its usual place or where it was reached, or
// both.
func apiSocket(_ context.Context, h *host.Host) ([]place, string, error) {
	names := []string{socketPath}
	if other, local := strings.CutPrefix(h.Address, "unix://"); local && h.RealPath(other) != h.RealPath(socketPath) {
		names = append(names, other)
	}
	var found []place
	for _, name := range names {
		_, err := h.Stat(name)
		if errors.Is(err, fs.ErrNotExist) && !h.Dangling(name) {
			continue
		}
		if errors.Is(err, host.ErrRemote) {
			return nil, "", err
		}
		found = append(found, place{name, fs.ModeSocket})
	}
	return found, "there is no " + socketPath + ": is the engine running, and does it listen elsewhere (dockerd --host)?", nil
}
