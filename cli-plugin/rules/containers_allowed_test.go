package rules

import (
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/site"
)

var siteLists = []*siteList{allowedPorts, allowedCapabilities, allowedDevices, allowedParents, allowedUlimits, sensitivePaths}

// TestSiteLists reads entries of each list as a site may write them.
func TestSiteLists(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		list            *siteList
		entry           string
		container, rest string // both empty: it is no entry
	}{
		{allowedPorts, "443/tcp", "", "443/tcp"},
		{allowedPorts, "443", "", "443"},
		{allowedPorts, "53/UDP", "", "53/UDP"},
		{allowedPorts, "8000-8010/tcp", "", "8000-8010/tcp"},
		{allowedPorts, "web:443/tcp", "web", "443/tcp"},
		{allowedPorts, "web.1-a_b:443", "web.1-a_b", "443"},
		{allowedPorts, "0/tcp", "", ""},
		{allowedPorts, "65536/tcp", "", ""},
		{allowedPorts, "443/tpc", "", ""},
		{allowedPorts, "20-10/tcp", "", ""},
		{allowedPorts, "https", "", ""},
		{allowedPorts, "", "", ""},
		{allowedPorts, ":443/tcp", "", ""},
		{allowedPorts, "web:", "", ""},
		{allowedPorts, "a web:443/tcp", "", ""},
		{allowedCapabilities, "NET_ADMIN", "", "NET_ADMIN"},
		{allowedCapabilities, "CAP_NET_ADMIN", "", "CAP_NET_ADMIN"},
		{allowedCapabilities, "all", "", "all"},
		{allowedCapabilities, "web:net_admin", "web", "net_admin"},
		{allowedCapabilities, "NET ADMIN", "", ""},
		{allowedCapabilities, "12", "", ""},
		{allowedDevices, "/dev/fuse", "", "/dev/fuse"},
		{allowedDevices, "/dev/fuse:rw", "", "/dev/fuse:rw"},
		{allowedDevices, "web:/dev/fuse:r", "web", "/dev/fuse:r"},
		{allowedDevices, "c 189:* rmw", "", "c 189:* rmw"},
		{allowedDevices, "web:c 189:1 r", "web", "c 189:1 r"},
		{allowedDevices, "nvidia.com/gpu=0:1", "", "nvidia.com/gpu=0:1"},
		{allowedDevices, "gpu", "", "gpu"},
		{allowedDevices, "compute,utility", "", "compute,utility"},
		{allowedDevices, "/dev/fuse:", "", ""},
		{allowedDevices, "/dev/fuse:rx", "", ""},
		{allowedDevices, "dev/fuse", "", ""},
		{allowedParents, "/shop", "", "/shop"},
		{allowedParents, "shop.slice", "", "shop.slice"},
		{allowedParents, "web:/shop", "web", "/shop"},
		{allowedParents, "", "", ""},
		{allowedUlimits, "nofile=1024:2048", "", "nofile=1024:2048"},
		{allowedUlimits, "nofile=1024", "", "nofile=1024"},
		{allowedUlimits, "memlock=-1:-1", "", "memlock=-1:-1"},
		{allowedUlimits, "web:nofile=1:2", "web", "nofile=1:2"},
		{allowedUlimits, "nofile", "", ""},
		{allowedUlimits, "nofile=many", "", ""},
		{allowedUlimits, "nofile=1:2:3", "", ""},
		{allowedUlimits, "nofile=-2", "", ""},
		{sensitivePaths, "/etc", "", "/etc"},
		{sensitivePaths, "web:/srv/x", "web", "/srv/x"},
		{sensitivePaths, "etc", "", ""},
	} {
		container, rest, ok := test.list.split(test.entry)
		if container != test.container || rest != test.rest || ok != (test.rest != "") {
			t.Errorf("%s, %q: got %q and %q, %v", test.list.key, test.entry, container, rest, ok)
		}
	}
}

// TestSiteListErrors holds that a wrong entry is named by its key and number,
// and that the error says what would be right.
func TestSiteListErrors(t *testing.T) {
	t.Parallel()
	wrong := []string{"web:ok", "?"}
	all := site.Containers{Ports: wrong, Capabilities: wrong, Devices: wrong, CgroupParents: []string{"/ok", ""}, Ulimits: wrong, SensitivePaths: wrong}
	for _, list := range siteLists {
		err := list.validate(all)
		if err == nil || !strings.Contains(err.Error(), list.key+"[") || !strings.Contains(err.Error(), "want "+list.want) {
			t.Errorf("%s: got %v", list.key, err)
		}
		if err := list.validate(site.Containers{}); err != nil {
			t.Errorf("%s: without entries: %v", list.key, err)
		}
	}
}

func TestParseUlimit(t *testing.T) {
	t.Parallel()
	for entry, want := range map[string]string{
		"nofile=1024": "nofile=1024:1024", "nofile=01:2": "nofile=1:2", "nproc=-1": "nproc=-1:-1", "nofile=": "", "=1": "", "nofile=9223372036854775808": "",
	} {
		if got := parseUlimit(entry); got != want {
			t.Errorf("%s: got %q, want %q", entry, got, want)
		}
	}
}

func TestSecurityOptions(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]securityOption{
		"no-new-privileges":       {"no-new-privileges", "true"},
		"no-new-privileges:false": {"no-new-privileges", "false"},
		"label=type:shop_t":       {"label", "type:shop_t"},
		"label:disable":           {"label", "disable"},
		"disable":                 {"label", "disable"},
		"seccomp={\"a\": 1}":      {"seccomp", "{\"a\": 1}"},
		"":                        {"", "true"},
	} {
		c := host.Container{InspectResponse: container.InspectResponse{HostConfig: &container.HostConfig{SecurityOpt: []string{text}}}}
		if got := securityOptions(c); len(got) != 1 || got[0] != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}

// FuzzSiteLists holds that what a list takes for an entry, it takes apart the
// same way again.
func FuzzSiteLists(f *testing.F) {
	for _, entry := range []string{"web:443/tcp", "8000-8010/udp", "/dev/fuse:rw", "c 189:* rmw", "nofile=1:2", "NET_ADMIN", "nvidia.com/gpu=0"} {
		f.Add(entry)
	}
	f.Fuzz(func(t *testing.T, entry string) {
		for _, list := range siteLists {
			name, rest, ok := list.split(entry)
			if !ok {
				continue
			}
			if _, again, ok := list.split(rest); !ok || again != rest || name != "" && entry != name+":"+rest {
				t.Errorf("%s: %q is %q and %q", list.key, entry, name, rest)
			}
		}
	})
}
