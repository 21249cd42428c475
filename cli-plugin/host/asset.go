package host

import (
	"context"
	"net"
	"os"
	"strings"
)

// maxHostName is HOST_NAME_MAX of Linux with a line end: hostname(5).
const maxHostName = 65 // bytes

// An Asset is the machine as evidence names it.
type Asset struct {
	HostName, IP, MAC, FQDN, Comment, TechnologyArea, Marking string
}

// Asset tells which machine was assessed: as the site names it, else by what
// the engine says of itself and, where the host can be seen, its own network.
func (h *Host) Asset(ctx context.Context) Asset {
	given := h.Site.Asset
	found := Asset{given.HostName, given.IP, given.MAC, given.FQDN, given.Comment, given.TechnologyArea, given.Marking}
	if found.HostName == "" {
		found.HostName = h.name(ctx)
	}
	if found.FQDN == "" && strings.Contains(found.HostName, ".") {
		found.FQDN = found.HostName
	}
	if _, local := h.Programs.(LocalPrograms); local && (found.IP == "" || found.MAC == "") {
		found.address()
	}
	return found
}

// name is the engine's own, else that in the address it was asked at. Of an
// engine behind a local socket it is the machine's whose files are judged.
func (h *Host) name(ctx context.Context) string {
	if info, err := h.Info(ctx); err == nil && info.Name != "" {
		return info.Name
	}
	if _, rest, ok := strings.Cut(h.Address, "://"); ok && !strings.HasPrefix(rest, "/") {
		name := rest[strings.LastIndexByte(rest, '@')+1:]
		if host, _, err := net.SplitHostPort(name); err == nil {
			return host
		}
		return name
	}
	if _, local := h.Programs.(LocalPrograms); local {
		if name, err := os.Hostname(); err == nil {
			return name
		}
	}
	if raw, err := h.Read("/etc/hostname"); err == nil && len(raw) <= maxHostName {
		if name := strings.TrimSpace(string(raw)); name != "" {
			return name
		}
	}
	return "unknown"
}

// address is that of this machine's first network interface with one.
func (a *Asset) address() {
	interfaces, err := net.Interfaces()
	if err != nil {
		return
	}
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 || len(i.HardwareAddr) == 0 {
			continue
		}
		addresses, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, address := range addresses {
			if network, ok := address.(*net.IPNet); ok && network.IP.IsGlobalUnicast() && a.IP == "" {
				a.IP = network.IP.String()
				if a.MAC == "" {
					a.MAC = i.HardwareAddr.String()
				}
			}
		}
	}
}

// Edition names the engine that was assessed, empty if it does not tell.
func (h *Host) Edition(ctx context.Context) string {
	version, err := h.Version(ctx)
	if err != nil || version.Version == "" {
		return ""
	}
	name := version.Platform.Name
	if name == "" {
		name = "Docker Engine"
	}
	return name + " " + version.Version
}
