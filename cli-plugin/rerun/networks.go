package rerun

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// networks writes the network that the container is made in, and how it joins
// the others: engines before 25.0 take one when a container is made.
func (w *writer) networks() {
	h := w.c.HostConfig
	var settings map[string]*network.EndpointSettings
	if w.c.NetworkSettings != nil {
		settings = w.c.NetworkSettings.Networks
	}
	first := firstNetwork(h.NetworkMode, settings)
	endpoint := settings[first]
	if endpoint == nil {
		endpoint = &network.EndpointSettings{}
	}
	w.firstNetwork(h.NetworkMode, endpoint)
	w.each("dns", textsOf(h.DNS))
	w.each("dns-search", h.DNSSearch)
	w.each("dns-option", h.DNSOptions)
	w.each("add-host", h.ExtraHosts)
	w.each("link", links(h.Links))
	for _, name := range sortedKeys(settings) {
		if name != first && h.NetworkMode.IsPrivate() {
			w.connect(name, settings[name])
		}
	}
}

// firstNetwork is the name under which the network of a mode is listed.
func firstNetwork(mode container.NetworkMode, settings map[string]*network.EndpointSettings) string {
	if mode == "" || mode.IsDefault() {
		return network.NetworkBridge
	}
	for name, endpoint := range settings {
		if endpoint != nil && endpoint.NetworkID != "" && endpoint.NetworkID == string(mode) {
			return name
		}
	}
	return string(mode)
}

func (w *writer) firstNetwork(mode container.NetworkMode, e *network.EndpointSettings) {
	if len(e.DriverOpts) > 0 || e.GwPriority != 0 {
		name := string(mode)
		if name == "" || mode.IsDefault() {
			name = network.NetworkBridge
		}
		fields := []string{"name=" + name}
		for _, key := range sortedKeys(e.DriverOpts) {
			fields = append(fields, "driver-opt="+key+"="+w.hide("driver-opt "+key, key, e.DriverOpts[key]))
		}
		if e.GwPriority != 0 {
			fields = append(fields, fmt.Sprintf("gw-priority=%d", e.GwPriority))
		}
		text := joined(fields)
		w.flag("network", text)
		if text != strings.ToLower(text) {
			w.note("docker makes all of " + text + " lower case: join that network with docker network connect if its name is not")
		}
	} else if mode != "" && !mode.IsDefault() {
		w.flag("network", string(mode))
	}
	if mode.IsContainer() {
		return
	}
	w.each("network-alias", w.aliases(e.Aliases))
	for _, address := range addresses(e) {
		w.flag(address.flag, address.value)
	}
	w.each("link", e.Links)
	if mac := w.ownMAC(e); mac != "" {
		w.flag("mac-address", mac)
	}
}

// aliases leaves out the names that engines before 25.0 add themselves.
func (w *writer) aliases(all []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(alias string) bool { return alias == shortID(w.c) })
}

type flagValue struct{ flag, value string }

// addresses are those that were asked for.
func addresses(e *network.EndpointSettings) []flagValue {
	var found []flagValue
	if e.IPAMConfig == nil {
		return nil
	}
	if e.IPAMConfig.IPv4Address.IsValid() {
		found = append(found, flagValue{"ip", e.IPAMConfig.IPv4Address.String()})
	}
	if e.IPAMConfig.IPv6Address.IsValid() {
		found = append(found, flagValue{"ip6", e.IPAMConfig.IPv6Address.String()})
	}
	for _, text := range textsOf(e.IPAMConfig.LinkLocalIPs) {
		found = append(found, flagValue{"link-local-ip", text})
	}
	return found
}

// ownMAC is an address that was asked for. While a container runs it cannot be
// told from one that the engine made up.
func (w *writer) ownMAC(e *network.EndpointSettings) string {
	if runs := w.c.State != nil && w.c.State.Running; runs || len(e.MacAddress) == 0 {
		return ""
	}
	return e.MacAddress.String()
}

// connect has the container join another network once it is made.
func (w *writer) connect(name string, e *network.EndpointSettings) {
	w.later = true
	if w.name == "" {
		w.note("it has to join network " + name + " too: docker network connect " + quote(name) + " and the ID that docker create prints")
		return
	}
	words := []string{"docker", "network", "connect"}
	if e != nil {
		for _, alias := range w.aliases(e.Aliases) {
			words = append(words, "--alias", alias)
		}
		for _, address := range addresses(e) {
			words = append(words, "--"+address.flag, address.value)
		}
		for _, link := range e.Links {
			words = append(words, "--link", link)
		}
		for _, key := range sortedKeys(e.DriverOpts) {
			words = append(words, "--driver-opt", key+"="+w.hide("driver-opt "+key, key, e.DriverOpts[key]))
		}
		if e.GwPriority != 0 {
			words = append(words, "--gw-priority", fmt.Sprint(e.GwPriority))
		}
	}
	w.after = append(w.after, append(words, name, w.name))
}

// links writes "/db:/web/alias", as the engine has them, as docker takes them.
func links(all []string) []string {
	var texts []string
	for _, link := range all {
		to, alias, _ := strings.Cut(link, ":")
		texts = append(texts, strings.TrimPrefix(to, "/")+":"+alias[strings.LastIndex(alias, "/")+1:])
	}
	return texts
}

func textsOf[T fmt.Stringer](values []T) []string {
	var texts []string
	for _, value := range values {
		texts = append(texts, value.String())
	}
	return texts
}

// ports writes what is published, and what is exposed beside the image's.
func (w *writer) ports() {
	h := w.c.HostConfig
	for _, port := range sortedPorts(h.PortBindings) {
		for _, binding := range h.PortBindings[port] {
			w.flag("publish", publication(port, binding))
		}
	}
	for _, port := range sortedPorts(w.c.Config.ExposedPorts) {
		_, inherits := w.image.ports[port.String()]
		if !inherits && len(h.PortBindings[port]) == 0 {
			w.flag("expose", port.String())
		}
	}
	w.on("publish-all", h.PublishAllPorts)
}

func sortedPorts[V any](m map[network.Port]V) []network.Port {
	ports := make([]network.Port, 0, len(m))
	for port := range m {
		ports = append(ports, port)
	}
	slices.SortFunc(ports, func(a, b network.Port) int { return strings.Compare(a.String(), b.String()) })
	return ports
}

// publication is a port as --publish takes it.
func publication(into network.Port, from network.PortBinding) string {
	text := into.Port()
	if into.Proto() != network.TCP {
		text = into.String()
	}
	switch {
	case from.HostIP.IsValid():
		return net.JoinHostPort(from.HostIP.String(), from.HostPort) + ":" + text
	case from.HostPort != "":
		return from.HostPort + ":" + text
	}
	return text
}
