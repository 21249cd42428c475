package daemon

import "slices"

// Lookup finds an option by its key in daemon.json or by its flag.
func Lookup(name string) (Spec, bool) {
	for _, s := range specs {
		if s.Name == name || s.Name == "" && s.Flag == name {
			return s, true
		}
	}
	return Spec{}, false
}

func byFlag(name string) (Spec, bool) {
	i := slices.IndexFunc(specs, func(s Spec) bool { return s.Flag != "" && s.Flag == name })
	if i < 0 {
		return Spec{}, false
	}
	return specs[i], true
}

func byShort(letter string) (Spec, bool) {
	i := slices.IndexFunc(specs, func(s Spec) bool { return s.Short == letter })
	if i < 0 {
		return Spec{}, false
	}
	return specs[i], true
}

// same is an option whose key and flag have one name.
func same(name string, kind Kind, value ...string) Spec {
	return Spec{Name: name, Flag: name, Kind: kind, Default: value}
}

// many is a list whose flag is singular and whose key is plural.
func many(name, flag string) Spec {
	return Spec{Name: name, Flag: flag, Kind: List, Default: Value{}}
}

// specs are the options of dockerd 20.10 to 29. One without a default has none
// that holds for all of them, or the engine chooses by what it finds.
//
// https://docs.docker.com/reference/cli/dockerd/
var specs = []Spec{
	{Flag: "config-file", Kind: Text, Default: Value{DefaultConfigFile}},
	{Flag: "validate", Kind: Bool, Default: Truth(false)},
	{Flag: "help", Short: "h", Kind: Bool, Default: Truth(false)},
	{Flag: "version", Short: "v", Kind: Bool, Default: Truth(false)},
	{Flag: "restart", Short: "r", Kind: Bool, Default: Truth(true)},
	{Name: "hosts", Flag: "host", Short: "H", Kind: List, Default: Value{DefaultHost}},
	{Name: "debug", Flag: "debug", Short: "D", Kind: Bool, Default: Truth(false)},
	{Name: "log-level", Flag: "log-level", Short: "l", Kind: Text, Default: Value{"info"}},
	{Name: "bridge", Flag: "bridge", Short: "b", Kind: Text},
	{Name: "group", Flag: "group", Short: "G", Kind: Text, Default: Value{"docker"}},
	{Name: "pidfile", Flag: "pidfile", Short: "p", Kind: Text, Default: Value{"/var/run/docker.pid"}},
	{Name: "storage-driver", Flag: "storage-driver", Short: "s", Kind: Text},
	{Name: "data-root", Flag: "data-root", Kind: Text, Default: Value{"/var/lib/docker"}},
	{Name: "graph", Flag: "graph", Short: "g", Kind: Text}, // data-root until 23.0
	{Name: "log-driver", Flag: "log-driver", Kind: Text, Default: Value{"json-file"}},
	{Name: "log-opts", Flag: "log-opt", Kind: Map, Default: Value{}},
	{Name: "runtimes", Flag: "add-runtime", Kind: Any},
	{Name: "default-ulimits", Flag: "default-ulimit", Kind: Any},
	{Name: "default-address-pools", Flag: "default-address-pool", Kind: Any},
	{Name: "default-network-opts", Flag: "default-network-opt", Kind: Any},
	{Name: "cluster-store-opts", Flag: "cluster-store-opt", Kind: Map},
	{Name: "nri-opts", Flag: "nri-opts", Kind: Any},
	{Name: "features", Flag: "feature", Kind: Any},
	{Name: "builder", Kind: Any},
	{Name: "proxies", Kind: Any},
	{Name: "content-trust", Kind: Any}, // Mirantis Container Runtime
	many("allow-nondistributable-artifacts", "allow-nondistributable-artifacts"),
	many("authorization-plugins", "authorization-plugin"),
	many("dns-opts", "dns-opt"),
	many("exec-opts", "exec-opt"),
	many("insecure-registries", "insecure-registry"),
	many("labels", "label"),
	many("node-generic-resources", "node-generic-resource"),
	many("registry-mirrors", "registry-mirror"),
	many("storage-opts", "storage-opt"),
	many("cdi-spec-dirs", "cdi-spec-dir"),
	same("dns", List),
	same("dns-search", List),
	same("api-cors-header", Text),
	same("apparmor-profile", Text),
	same("bip", Text),
	same("bip6", Text),
	same("cgroup-parent", Text),
	same("cluster-advertise", Text),
	same("cluster-store", Text),
	same("containerd", Text),
	same("containerd-namespace", Text, "moby"),
	same("containerd-plugins-namespace", Text, "plugins.moby"),
	same("cpu-rt-period", Number, "0"),
	same("cpu-rt-runtime", Number, "0"),
	same("cri-containerd", Bool, "false"),
	same("default-cgroupns-mode", Text),
	same("default-gateway", Text),
	same("default-gateway-v6", Text),
	same("default-ipc-mode", Text, "private"),
	same("default-runtime", Text, "runc"),
	same("default-shm-size", Any),
	same("exec-root", Text, "/var/run/docker"),
	same("experimental", Bool, "false"),
	same("fixed-cidr", Text),
	same("fixed-cidr-v6", Text),
	same("http-proxy", Text),
	same("https-proxy", Text),
	same("no-proxy", Text),
	same("icc", Bool, "true"),
	same("init", Bool, "false"),
	same("init-path", Text),
	same("ip", Text, "0.0.0.0"),
	same("ip-forward", Bool, "true"),
	same("ip-forward-no-drop", Bool, "false"),
	same("ip-masq", Bool, "true"),
	same("ip6tables", Bool),
	same("iptables", Bool, "true"),
	same("ipv6", Bool, "false"),
	same("allow-direct-routing", Bool, "false"),
	same("live-restore", Bool, "false"),
	same("log-format", Text, "text"),
	same("max-concurrent-downloads", Number, "3"),
	same("max-concurrent-uploads", Number, "5"),
	same("max-download-attempts", Number, "5"),
	same("default-stop-timeout", Number, "10"),
	same("metrics-addr", Text),
	same("mtu", Number),
	same("network-control-plane-mtu", Number, "1500"),
	same("network-diagnostic-port", Number, "0"),
	same("no-new-privileges", Bool, "false"),
	same("oom-score-adjust", Number),
	same("raw-logs", Bool, "false"),
	same("rootless", Bool, "false"),
	same("seccomp-profile", Text),
	same("selinux-enabled", Bool, "false"),
	same("shutdown-timeout", Number, "15"),
	same("swarm-default-advertise-addr", Text),
	same("tls", Bool, "false"),
	same("tlscacert", Text),
	same("tlscert", Text),
	same("tlskey", Text),
	same("tlsverify", Bool, "false"),
	same("userland-proxy", Bool, "true"),
	same("userland-proxy-path", Text),
	same("userns-remap", Text),
}
