package rules_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/docker-stig/docker-stig/cli-plugin/host/hosttest"
	"github.com/docker-stig/docker-stig/cli-plugin/rules"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// What containers are in a row: one that runs and one that does not.
const (
	runs  = `"State": {"Status": "running", "Running": true}`
	ended = `"State": {"Status": "exited"}`
	fresh = `"State": {"Status": "created"}`
	// restarts is between two starts: it has no ports at the moment.
	restarts = `"State": {"Status": "restarting", "Running": true, "Restarting": true}, "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}, "NetworkSettings": {"Ports": {}}`
)

// machine is one with a container and what else a row needs.
func machine(container string, more hosttest.Machine) hosttest.Machine {
	m := hosttest.Machine{
		"engine/containers/web/json": "{" + container + "}",
		"engine/info":                `{"SecurityOptions": ["name=apparmor", "name=seccomp,profile=builtin"]}`,
		"engine/volumes":             `{"Volumes": [{"Name": "v", "Driver": "local"}]}`,
	}
	maps.Copy(m, more)
	return m
}

func settings(yaml string) hosttest.Machine {
	return hosttest.Machine{"site.yaml": "containers:\n  " + yaml + "\n"}
}

// TestContainerShapes asks each rule about one container in every shape that
// makes a difference to it.
func TestContainerShapes(t *testing.T) {
	t.Parallel()
	for id, shapes := range containerShapes {
		for _, shape := range shapes {
			t.Run(string(id)+"/"+shape.name, func(t *testing.T) {
				t.Parallel()
				findings := judge(t, id, machine(shape.container, shape.more).Host(t), shape.want, shape.says)
				for _, f := range findings {
					if f.Status == stig.Open && len(f.Evidence) == 0 {
						t.Errorf("%s is open without evidence", f.Object)
					}
				}
			})
		}
	}
}

type shape struct {
	name, container string
	more            hosttest.Machine
	want            stig.Status
	says            string
}

const (
	open     = stig.Open
	good     = stig.NotAFinding
	unknown  = stig.NotReviewed
	noMatter = stig.NotApplicable
)

var (
	hostEtc = `"Mounts": [{"Type": "bind", "Source": "/etc", "Destination": "/host", "RW": true}]`
	volume  = `"Mounts": [{"Type": "volume", "Name": "v", "Driver": "local", "Source": "/var/lib/docker/volumes/v/_data", "Destination": "/data", "RW": true}]`
)

func bind(source, destination string) string {
	return `"Mounts": [{"Type": "bind", "Source": "` + source + `", "Destination": "` + destination + `", "RW": true}]`
}

func volumeOptions(options string) hosttest.Machine {
	return hosttest.Machine{"engine/volumes": `{"Volumes": [{"Name": "v", "Driver": "local", "Options": ` + options + `}]}`}
}

func linked(modes string) hosttest.Machine { return hosttest.Machine{"modes": modes} }

func onHost(release string) hosttest.Machine {
	return hosttest.Machine{"root/etc/os-release": release}
}

func with(machines ...hosttest.Machine) hosttest.Machine {
	all := hosttest.Machine{}
	for _, m := range machines {
		maps.Copy(all, m)
	}
	return all
}

func hostConfig(fields string) string { return runs + `, "HostConfig": {` + fields + `}` }

func mapped(ports string) string {
	return runs + `, "NetworkSettings": {"Ports": {` + ports + `}}`
}

func bound(fields string) string { return ended + `, "HostConfig": {` + fields + `}` }

func engineSays(info string) hosttest.Machine { return hosttest.Machine{"engine/info": info} }

var (
	ubuntu = onHost("ID=ubuntu\nPRETTY_NAME='Ubuntu 24.04'\n")
	rhel   = with(onHost("ID=\"rhel\"\nID_LIKE=\"fedora\"\n"), hosttest.Machine{"root/sys/fs/selinux/enforce": "1", "engine/info": `{"SecurityOptions": ["name=selinux"]}`})
	remote = hosttest.Machine{"remote": ""}
	other  = func(name, config string) hosttest.Machine {
		return hosttest.Machine{"engine/containers/" + name + "/json": `{"State": {}, "HostConfig": {` + config + `}}`}
	}
)

var containerShapes = map[stig.ID][]shape{
	"DKER-EE-001190": {
		{"none", runs, nil, good, "1 containers pass"},
		{"a listed directory", runs + "," + hostEtc, nil, open, "/etc at /host (bind mount) is sensitive"},
		{"of a container that ended", ended + "," + hostEtc, nil, open, "is sensitive"},
		{"below one", bind("/etc/cron.d", "/x"), nil, open, "lies in /etc"},
		{"its name alone begins like one", bind("/etcetera", "/x"), nil, good, ""},
		{"all of the host", bind("/", "/host"), nil, open, "/ at /host (bind mount) is sensitive"},
		{"read-only", `"Mounts": [{"Type": "bind", "Source": "/etc", "Destination": "/host", "RW": false}]`, nil, good, ""},
		{"a volume", volume, nil, good, ""},
		{"a volume that binds one", volume, volumeOptions(`{"type": "none", "o": "bind", "device": "/etc"}`), open, "/etc at /data (volume v) is sensitive"},
		{"a volume that binds another", volume, volumeOptions(`{"type": "none", "o": "bind", "device": "/srv"}`), good, ""},
		{"a volume that binds one to be read", volume, volumeOptions(`{"type": "none", "o": "ro,rbind", "device": "/etc"}`), good, ""},
		{"a volume in memory", volume, volumeOptions(`{"type": "tmpfs", "device": "tmpfs"}`), good, ""},
		{"volumes cannot be listed", volume, hosttest.Machine{"engine/volumes.500": "broken"}, unknown, "whether its volume v is a directory of the host is unknown"},
		{"through a link of the host", bind("/bin", "/x"), linked("root:root 777 /bin link=usr/bin"), open, "/bin at /x (bind mount) is /usr/bin, and lies in /usr"},
		{"through a link in between", bind("/srv/a/cron.d", "/x"), linked("root:root 777 /srv/a link=../etc"), open, "is /etc/cron.d, and lies in /etc"},
		{"links that lead in circles", bind("/srv/a", "/x"), linked("root:root 777 /srv/a link=/srv/a"), good, ""},
		{"a link that cannot be seen", bind("/bin", "/x"), remote, good, ""},
		{"the site's list in place of the guide's", bind("/etc", "/x"), settings("sensitive-paths: [/srv/secret]"), good, ""},
		{"above one of the site's list", bind("/srv", "/x"), settings("sensitive-paths: [/srv/secret]"), open, "holds /srv/secret"},
		{"of one container", bind("/srv/secret", "/x"), settings(`sensitive-paths: ["web:/srv/secret"]`), open, "is sensitive"},
		{"of another container", bind("/srv/secret", "/x"), settings(`sensitive-paths: ["db:/srv/secret"]`), good, ""},
		{"another container's list takes none of the guide's", bind("/etc", "/x"), settings(`sensitive-paths: ["db:/srv/secret"]`), open, "/etc at /x (bind mount) is sensitive"},
		{"an empty list takes none of the guide's", bind("/etc", "/x"), settings(`sensitive-paths: []`), open, "is sensitive"},
		{"where a listed link leads", bind("/mnt/a", "/x"), with(settings("sensitive-paths: [/srv/a]"), linked("root:root 777 /srv/a link=/mnt/a")), open, "/mnt/a at /x (bind mount) is sensitive"},
		{"a volume that binds from where dockerd works", volume, volumeOptions(`{"type": "none", "o": "bind", "device": "etc"}`), open, "/etc at /data (volume v) is sensitive"},
		{"a volume that is not listed", volume, hosttest.Machine{"engine/volumes": `{"Volumes": null}`}, unknown, "the engine does not list it"},
		{"an answer without mounts", `"Mounts": null, "HostConfig": {"Binds": ["/etc:/x"]}`, nil, unknown, "the engine's answer has no Mounts"},
		{"a mount that is null", `"Mounts": [null]`, nil, unknown, "what its mount at"},
		{"the site's list is wrong", runs, settings("sensitive-paths: [etc]"), unknown, `containers.sensitive-paths[0] in site.yaml is "etc"`},
		{"mounts of the wrong shape", `"Mounts": {}`, nil, unknown, "inspecting it"},
	},
	"DKER-EE-001240": {
		{"its own", hostConfig(`"PidMode": ""`), nil, good, ""},
		{"the host's", hostConfig(`"PidMode": "host"`), nil, open, "the host's PID namespace: make web anew without --pid=host"},
		{"another container's", hostConfig(`"PidMode": "container:db"`), other("db", ``), good, "2 containers pass"},
		{"the host's through another", hostConfig(`"PidMode": "container:db"`), other("db", `"PidMode": "host"`), open, "container web: Open: it is in the host's PID namespace through container db: make db anew"},
		{"through one that is gone", hostConfig(`"PidMode": "container:db"`), nil, unknown, "container db, which the engine does not have any more"},
		{"through one that cannot be inspected", hostConfig(`"PidMode": "container:db"`), hosttest.Machine{"engine/containers/db/json.500": "broken"}, unknown, "it joins the PID namespace of another container"},
		{"of another engine", hostConfig(`"PidMode": "private"`), nil, good, ""},
		{"by its path", hostConfig(`"PidMode": "ns:/proc/1/ns/pid"`), nil, unknown, `PidMode is "ns:/proc/1/ns/pid", which is none of Docker's`},
		{"through one by its path", hostConfig(`"PidMode": "container:db"`), other("db", `"PidMode": "ns:/proc/1/ns/pid"`), unknown, "none of Docker's"},
		{"in a circle", hostConfig(`"PidMode": "container:db"`), other("db", `"PidMode": "container:web"`), unknown, "joins its own"},
	},
	"DKER-EE-001250": {
		{"private", hostConfig(`"IpcMode": "private"`), nil, good, ""},
		{"none", hostConfig(`"IpcMode": "none"`), nil, good, ""},
		{"the host's", hostConfig(`"IpcMode": "host"`), nil, open, "the host's IPC namespace"},
		{"shareable", hostConfig(`"IpcMode": "shareable"`), nil, open, "IpcMode is shareable"},
		{"of an old engine", hostConfig(`"IpcMode": ""`), nil, open, "IpcMode is empty"},
		{"by its path", hostConfig(`"IpcMode": "ns:/proc/1/ns/ipc"`), nil, unknown, "none of Docker's"},
		{"the host's through another", hostConfig(`"IpcMode": "container:db"`), other("db", `"IpcMode": "host"`), open, "through container db"},
		{"through one that is gone", hostConfig(`"IpcMode": "container:db"`), nil, unknown, "does not have any more"},
	},
	"DKER-EE-001930": {
		{"the engine's default", runs + `, "AppArmorProfile": "docker-default"`, ubuntu, good, ""},
		{"unconfined", runs + `, "AppArmorProfile": "unconfined"`, ubuntu, open, "is unconfined"},
		{"none", runs + `, "AppArmorProfile": ""`, ubuntu, open, "has no AppArmor profile: start it anew"},
		{"an engine without", runs, with(ubuntu, engineSays(`{"SecurityOptions": []}`)), open, "the engine uses none"},
		{"never started", fresh, ubuntu, good, ""},
		{"never started, unconfined", fresh + `, "HostConfig": {"SecurityOpt": ["apparmor:unconfined"]}`, ubuntu, open, "is unconfined"},
		{"never started, privileged", fresh + `, "HostConfig": {"Privileged": true}`, ubuntu, open, "is unconfined"},
		{"never started, an engine without", fresh, with(ubuntu, engineSays(`{"SecurityOptions": []}`)), open, "the engine uses none"},
		{"one that complains", runs + `, "AppArmorProfile": "shop"`, with(ubuntu, hosttest.Machine{"root/sys/kernel/security/apparmor/profiles": "docker-default (enforce)\nshop (complain)\n"}), open, "only complains"},
		{"one that is enforced", runs + `, "AppArmorProfile": "shop"`, with(ubuntu, hosttest.Machine{"root/sys/kernel/security/apparmor/profiles": "shop (enforce)\n"}), good, ""},
		{"one that forbids nothing", runs + `, "AppArmorProfile": "shop"`, with(ubuntu, hosttest.Machine{"root/sys/kernel/security/apparmor/profiles": "shop (unconfined)\n"}), open, "has the mode unconfined"},
		{"another distribution", runs, onHost("ID=debian\nVERSION_ID=\"12\"\n"), noMatter, "the host runs debian 12"},
		{"one made from it", runs, onHost("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"), open, "no AppArmor profile"},
		{"remote", runs, with(remote, engineSays(`{"OperatingSystem": "Ubuntu 22.04.5 LTS", "SecurityOptions": ["name=apparmor"]}`)), open, "has no AppArmor profile"},
		{"remote, another distribution", runs, with(remote, engineSays(`{"OperatingSystem": "Debian GNU/Linux 12 (bookworm)"}`)), noMatter, "the host runs Debian GNU/Linux 12"},
		{"remote, of unknown name", runs, with(remote, engineSays(`{"OperatingSystem": "Home Linux"}`)), unknown, `calls its host's system "Home Linux"`},
		{"no os-release", runs, nil, unknown, "neither /etc/os-release nor"},
		{"os-release that names nothing", runs, onHost("nonsense\n"), unknown, "no line ID=NAME"},
		{"os-release that cannot be read", runs, with(ubuntu, linked("root:root 600 /etc/os-release unreadable")), unknown, "permission denied"},
		{"os-release that is a pipe", runs, linked("root:root 600 /etc/os-release pipe"), unknown, "no regular file"},
		{"os-release that dangles", runs, linked("root:root 777 /etc/os-release link=/nowhere"), unknown, "neither /etc/os-release nor"},
		{"info fails", runs, with(ubuntu, hosttest.Machine{"engine/info.500": "broken"}), unknown, "asking the engine what it is"},
		{"info of the wrong shape", runs, with(ubuntu, engineSays(`{"SecurityOptions": 1}`)), unknown, "asking the engine what it is"},
	},
	"DKER-EE-001940": {
		{"labels on", runs, rhel, good, "the engine labels its containers"},
		{"labels off", hostConfig(`"SecurityOpt": ["label=disable"]`), rhel, open, "container web: Open: its SELinux labels are switched off"},
		{"labels off, with a colon", hostConfig(`"SecurityOpt": ["no-new-privileges", "label:disable"]`), rhel, open, "switched off"},
		{"labels off, in one word", hostConfig(`"SecurityOpt": ["disable"]`), rhel, open, "switched off"},
		{"another label", hostConfig(`"SecurityOpt": ["label=type:shop_t"]`), rhel, good, ""},
		{"an engine without", runs, with(rhel, engineSays(`{"SecurityOptions": ["name=seccomp,profile=builtin"]}`)), open, "engine: Open: the engine runs without SELinux"},
		{"an engine that does not say", runs, with(rhel, engineSays(`{"SecurityOptions": null}`)), unknown, "engine: Not_Reviewed: the engine lists no security options"},
		{"Oracle's", runs, with(rhel, onHost("ID=\"ol\"\nID_LIKE=\"fedora\"\n")), good, "the engine labels its containers"},
		{"a host without", runs, with(onHost("ID=centos\n"), engineSays(`{}`)), noMatter, "SELinux is not in use"},
		{"a host that is to have it", runs, with(onHost("ID=centos\n"), engineSays(`{}`), hosttest.Machine{"root/etc/selinux/config": "# x\nSELINUX=enforcing\n"}), unknown, "says enforcing, and the kernel shows no SELinux"},
		{"a host that has it off", runs, with(onHost("ID=centos\n"), engineSays(`{}`), hosttest.Machine{"root/etc/selinux/config": "SELINUX=disabled\n"}), noMatter, "not in use"},
		{"settings that cannot be read", runs, with(onHost("ID=centos\n"), engineSays(`{}`), linked("root:root 600 /etc/selinux/config unreadable")), unknown, "permission denied"},
		{"another distribution", runs, ubuntu, noMatter, "Ubuntu 24.04"},
		{"remote, in use", hostConfig(`"SecurityOpt": ["label=disable"]`), with(remote, engineSays(`{"OperatingSystem": "Red Hat Enterprise Linux 9.4 (Plow)", "SecurityOptions": ["name=selinux"]}`)), open, "switched off"},
		{"remote, an engine without", runs, with(remote, engineSays(`{"OperatingSystem": "Rocky Linux 9.4 (Blue Onyx)"}`)), unknown, "cannot see the host"},
	},
	"DKER-EE-001950": {
		{"the default set", hostConfig(`"CapAdd": null`), nil, good, ""},
		{"one of the default set", hostConfig(`"CapDrop": ["ALL"], "CapAdd": ["CAP_CHOWN", "kill"]`), nil, good, ""},
		{"one more, and no list", hostConfig(`"CapAdd": ["NET_ADMIN"]`), nil, unknown, "give containers.capabilities in site.yaml"},
		{"one more than the list", hostConfig(`"CapAdd": ["CAP_NET_ADMIN", "CAP_SYS_TIME"]`), settings("capabilities: [NET_ADMIN]"), open, "it has capability SYS_TIME, which"},
		{"listed with its prefix", hostConfig(`"CapAdd": ["NET_ADMIN"]`), settings("capabilities: [cap_net_admin]"), good, ""},
		{"listed for the container", hostConfig(`"CapAdd": ["NET_ADMIN"]`), settings(`capabilities: ["web:NET_ADMIN"]`), good, ""},
		{"listed for another", hostConfig(`"CapAdd": ["NET_ADMIN"]`), settings(`capabilities: ["db:NET_ADMIN"]`), open, "NET_ADMIN"},
		{"listed for its service", hostConfig(`"CapAdd": ["NET_ADMIN"]`) + `, "Config": {"Labels": {"com.docker.swarm.service.name": "shop_web"}}`, settings(`capabilities: ["shop_web:NET_ADMIN"]`), good, ""},
		{"all", hostConfig(`"CapAdd": ["ALL"]`), settings("capabilities: [NET_ADMIN]"), open, "capability ALL"},
		{"all, listed", hostConfig(`"CapAdd": ["all"]`), settings("capabilities: [ALL]"), good, ""},
		{"privileged", hostConfig(`"Privileged": true`), settings("capabilities: [NET_ADMIN]"), open, "capability ALL"},
		{"in place of the default set", hostConfig(`"Capabilities": ["CAP_SYS_ADMIN", "CAP_KILL"]`), settings("capabilities: []"), open, "it has capability SYS_ADMIN, which"},
		{"in place of the default set, listed", hostConfig(`"Capabilities": ["CAP_SYS_ADMIN"]`), settings("capabilities: [SYS_ADMIN]"), good, ""},
		{"in place of the default set, of the wrong shape", hostConfig(`"Capabilities": 1`), nil, unknown, "inspecting it: its capabilities"},
		{"the site allows none", hostConfig(`"CapAdd": ["NET_ADMIN"]`), settings("capabilities: []"), open, "NET_ADMIN"},
		{"the site's list is wrong", runs, settings(`capabilities: ["net admin"]`), unknown, "containers.capabilities[0] in site.yaml"},
	},
	"DKER-EE-001970": {
		{"no process list for one that ended", ended, nil, good, "0 running containers pass"},
		{"without", runs, hosttest.Machine{"engine/containers/web/top": `{"Titles": ["PID", "COMMAND", "COMMAND"], "Processes": [["7", "sleep", "sleep 9"]]}`}, good, "1 running containers pass"},
		{"with", runs, hosttest.Machine{"engine/containers/web/top": `{"Titles": ["PID", "COMMAND", "COMMAND"], "Processes": [["7", "sh", "sh"], ["8", "sshd", "sshd: /usr/sbin/sshd -D [listener]"]]}`}, open, "an SSH server runs in it: sshd (process 8 of the host)"},
		{"by its own title alone", runs, hosttest.Machine{"engine/containers/web/top": `{"Titles": ["PID", "COMMAND", "COMMAND"], "Processes": [["8", "ld.so", "/usr/sbin/sshd -D"]]}`}, open, "an SSH server"},
		{"dropbear", runs, hosttest.Machine{"engine/containers/web/top": `{"Titles": ["PID", "COMMAND", "COMMAND"], "Processes": [["8", "dropbear", "dropbear -F"]]}`}, open, "dropbear"},
		{"its settings in an editor", runs, hosttest.Machine{"engine/containers/web/top": `{"Titles": ["PID", "COMMAND", "COMMAND"], "Processes": [["8", "vi", "vi /etc/ssh/sshd_config"]]}`}, good, ""},
		{"that has ended meanwhile", runs, nil, good, ""},
		{"in one whose state is said in words alone", `"State": {"Status": "running"}`, hosttest.Machine{"engine/containers/web/top": `{"Titles": ["PID", "COMMAND", "COMMAND"], "Processes": [["8", "sshd", "sshd"]]}`}, open, "an SSH server"},
		{"top fails", runs, hosttest.Machine{"engine/containers/web/top": `{`}, unknown, "asking the engine for its processes"},
		{"other columns", runs, hosttest.Machine{"engine/containers/web/top": `{"Titles": ["A"], "Processes": [["8"]]}`}, unknown, `has columns ["A"]`},
		{"short rows", runs, hosttest.Machine{"engine/containers/web/top": `{"Titles": ["PID", "COMMAND", "COMMAND"], "Processes": [["8"]]}`}, unknown, "a row of 1 columns"},
		{"no rows", runs, hosttest.Machine{"engine/containers/web/top": `{"Titles": ["PID", "COMMAND", "COMMAND"]}`}, unknown, "0 rows"},
	},
	"DKER-EE-001990": {
		{"none", mapped(``), nil, good, ""},
		{"exposed alone", mapped(`"443/tcp": null`), nil, good, ""},
		{"between two starts", restarts, settings("ports: [443/tcp]"), open, "0.0.0.0:8080->80/tcp"},
		{"between two starts, listed", restarts, settings("ports: [8080/tcp]"), good, ""},
		{"one, and no list", mapped(`"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]`), nil, unknown, "published port 0.0.0.0:8080->80/tcp, and whether"},
		{"listed", mapped(`"80/tcp": [{"HostIp": "", "HostPort": "8080"}]`), settings("ports: [8080/tcp]"), good, ""},
		{"listed without its protocol", mapped(`"80/tcp": [{"HostIp": "::", "HostPort": "8080"}]`), settings(`ports: ["8080"]`), good, ""},
		{"listed in a range", mapped(`"80/tcp": [{"HostIp": "10.0.0.1", "HostPort": "8080"}]`), settings("ports: [8000-8100/tcp]"), good, ""},
		{"of another protocol", mapped(`"80/udp": [{"HostIp": "10.0.0.1", "HostPort": "8080"}]`), settings("ports: [8080/tcp]"), open, "10.0.0.1:8080->80/udp"},
		{"the container's number listed", mapped(`"80/tcp": [{"HostIp": "10.0.0.1", "HostPort": "8080"}]`), settings("ports: [80/tcp]"), open, "10.0.0.1:8080->80/tcp"},
		{"listed for the container", mapped(`"80/tcp": [{"HostIp": "10.0.0.1", "HostPort": "8080"}]`), settings(`ports: ["web:8080/tcp"]`), good, ""},
		{"listed for another", mapped(`"80/tcp": [{"HostIp": "10.0.0.1", "HostPort": "8080"}]`), settings(`ports: ["db:8080/tcp"]`), open, "8080"},
		{"the site allows none", mapped(`"80/tcp": [{"HostIp": "fd00::1", "HostPort": "8080"}]`), settings("ports: []"), open, "[fd00::1]:8080->80/tcp"},
		{"on the host's network", runs + `, "HostConfig": {"NetworkMode": "host"}, "NetworkSettings": {}`, nil, good, "1 on the host's network"},
		{"of one that ended", bound(`"PortBindings": {"80/tcp": [{"HostPort": "80"}]}`), settings("ports: []"), good, "0 running containers pass"},
		{"no network settings", runs, nil, unknown, "no network settings"},
		{"a port that is none", mapped(`"80/tcp": [{"HostIp": "", "HostPort": "many"}]`), nil, unknown, `published on "many"`},
		{"an address that is none", mapped(`"80/tcp": [{"HostIp": "here", "HostPort": "80"}]`), nil, unknown, "inspecting it"},
		{"the site's list is wrong", mapped(``), settings("ports: [0/tcp]"), unknown, `containers.ports[0] in site.yaml is "0/tcp"`},
		{"the site's list has another protocol", mapped(``), settings("ports: [80/tcp, 443/tpc]"), unknown, "containers.ports[1]"},
	},
	"DKER-EE-002000": {
		{"a bridge", hostConfig(`"NetworkMode": "bridge"`), nil, good, ""},
		{"none", hostConfig(`"NetworkMode": "none"`), nil, good, ""},
		{"the host's", hostConfig(`"NetworkMode": "host"`), nil, open, "the host's network namespace: make web anew without --network=host"},
		{"the host's through another", hostConfig(`"NetworkMode": "container:db"`), other("db", `"NetworkMode": "host"`), open, "through container db"},
		{"through one that is gone", hostConfig(`"NetworkMode": "container:db"`), nil, unknown, "does not have any more"},
	},
	"DKER-EE-002010": {
		{"limited", hostConfig(`"Memory": 268435456`), nil, good, ""},
		{"not limited", bound(`"Memory": 0`), nil, open, "its memory is not limited"},
	},
	"DKER-EE-002020": {
		{"less than the default", hostConfig(`"CpuShares": 512`), nil, good, ""},
		{"none", hostConfig(`"CpuShares": 0`), nil, open, "CpuShares is 0"},
		{"the default", hostConfig(`"CpuShares": 1024`), nil, open, "CpuShares is 1024"},
		{"another limit", hostConfig(`"NanoCpus": 500000000`), nil, open, "CpuShares is 0"},
	},
	"DKER-EE-002030": {
		{"read-only", hostConfig(`"ReadonlyRootfs": true`), nil, good, ""},
		{"writable", hostConfig(`"ReadonlyRootfs": false`), nil, open, "is writable"},
	},
	"DKER-EE-002040": {
		{"none", hostConfig(`"Devices": null`), nil, good, ""},
		{"one, and no list", hostConfig(`"Devices": [{"PathOnHost": "/dev/fuse", "CgroupPermissions": "rwm"}]`), nil, unknown, "it has device /dev/fuse (rwm), and whether"},
		{"listed", hostConfig(`"Devices": [{"PathOnHost": "/dev/fuse", "CgroupPermissions": "rwm"}]`), settings("devices: [/dev/fuse]"), good, ""},
		{"listed with fewer permissions", hostConfig(`"Devices": [{"PathOnHost": "/dev/fuse", "CgroupPermissions": "rwm"}]`), settings(`devices: ["/dev/fuse:rw"]`), open, "/dev/fuse (rwm)"},
		{"listed with more permissions", hostConfig(`"Devices": [{"PathOnHost": "/dev/fuse", "CgroupPermissions": "r"}]`), settings(`devices: ["/dev/fuse:rw"]`), good, ""},
		{"without a word all are given", hostConfig(`"Devices": [{"PathOnHost": "/dev/fuse"}]`), settings(`devices: ["/dev/fuse:rw"]`), open, "/dev/fuse (rwm)"},
		{"listed for the container", hostConfig(`"Devices": [{"PathOnHost": "/dev/fuse", "CgroupPermissions": "rw"}]`), settings(`devices: ["web:/dev/fuse:rw"]`), good, ""},
		{"another", hostConfig(`"Devices": [{"PathOnHost": "/dev/sda", "CgroupPermissions": "r"}]`), settings(`devices: [/dev/fuse]`), open, "/dev/sda (r)"},
		{"a graphics card", hostConfig(`"DeviceRequests": [{"Count": -1, "Capabilities": [["gpu"]]}]`), settings(`devices: []`), open, "device request gpu"},
		{"a graphics card, listed", hostConfig(`"DeviceRequests": [{"Count": -1, "Capabilities": [["gpu"]]}]`), settings(`devices: [gpu]`), good, ""},
		{"a device of the CDI", hostConfig(`"DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=0"]}]`), settings(`devices: [nvidia.com/gpu=1]`), open, "device request nvidia.com/gpu=0"},
		{"a request of a driver", hostConfig(`"DeviceRequests": [{"Driver": "nvidia"}]`), settings(`devices: [nvidia]`), good, ""},
		{"a rule", hostConfig(`"DeviceCgroupRules": ["c 189:* rwm"]`), nil, unknown, "device rule c 189:* rwm"},
		{"a rule, listed", hostConfig(`"DeviceCgroupRules": ["c 189:* rwm"]`), settings(`devices: ["c 189:* rwm"]`), good, ""},
		{"privileged", hostConfig(`"Privileged": true`), nil, good, "1 privileged, with all devices of the host"},
		{"the site's list is wrong", runs, settings(`devices: ["/dev/fuse:rx"]`), unknown, `containers.devices[0] in site.yaml is "/dev/fuse:rx"`},
	},
	"DKER-EE-002050": {
		{"private", `"Mounts": [{"Type": "bind", "Source": "/a", "Destination": "/b", "Propagation": "rprivate"}]`, nil, good, ""},
		{"shared", `"Mounts": [{"Type": "bind", "Source": "/a", "Destination": "/b", "Propagation": "shared"}]`, nil, open, "/b (shared)"},
		{"an answer without mounts", `"Mounts": null, "HostConfig": {"Mounts": [{"Type": "bind", "Source": "/a", "Target": "/b"}]}`, nil, unknown, "no Mounts"},
		{"shared below", `"Mounts": [{"Type": "bind", "Source": "/a", "Destination": "/b", "Propagation": "rshared"}]`, nil, open, "/b (rshared)"},
		{"slave", `"Mounts": [{"Type": "bind", "Source": "/a", "Destination": "/b", "Propagation": "rslave"}]`, nil, good, ""},
	},
	"DKER-EE-002060": {
		{"its own", hostConfig(`"UTSMode": ""`), nil, good, ""},
		{"the host's", hostConfig(`"UTSMode": "host"`), nil, open, "UTSMode is host"},
		{"of another engine", hostConfig(`"UTSMode": "private"`), nil, good, ""},
		{"by its path", hostConfig(`"UTSMode": "ns:/proc/1/ns/uts"`), nil, unknown, "none of Docker's"},
	},
	"DKER-EE-002070": {
		{"the engine's", runs, nil, good, "the engine's own seccomp profile is builtin"},
		{"off", hostConfig(`"SecurityOpt": ["seccomp=unconfined"]`), nil, open, "container web: Open: its system calls are not filtered"},
		{"off, with a colon", hostConfig(`"SecurityOpt": ["seccomp:unconfined"]`), nil, open, "not filtered"},
		{"its own", hostConfig(`"SecurityOpt": ["seccomp={\"defaultAction\": \"SCMP_ACT_ERRNO\"}"]`), nil, good, ""},
		{"privileged", hostConfig(`"Privileged": true`), nil, open, "gives a privileged container no seccomp profile"},
		{"privileged, with its own", hostConfig(`"Privileged": true, "SecurityOpt": ["seccomp={}"]`), nil, unknown, "older engines"},
		{"an engine without filter", runs, engineSays(`{"SecurityOptions": ["name=seccomp,profile=unconfined"]}`), open, "engine: Open: the engine's own seccomp profile is unconfined"},
		{"an engine without seccomp", runs, engineSays(`{"SecurityOptions": ["name=apparmor"]}`), open, "engine: Open: the engine has no seccomp"},
		{"an engine that does not say", runs, engineSays(`{}`), unknown, "lists no security options"},
		{"info fails", runs, hosttest.Machine{"engine/info.500": "broken"}, unknown, "engine: Not_Reviewed: asking the engine what it is"},
	},
	"DKER-EE-002100": {
		{"blank", hostConfig(`"CgroupParent": ""`), nil, good, ""},
		{"one, and no list", hostConfig(`"CgroupParent": "/shop"`), nil, unknown, "give containers.cgroup-parents"},
		{"listed", hostConfig(`"CgroupParent": "/shop/"`), settings("cgroup-parents: [/shop]"), good, ""},
		{"another", hostConfig(`"CgroupParent": "shop.slice"`), settings("cgroup-parents: [/shop]"), open, "below cgroup shop.slice"},
		{"the site's list is wrong", runs, settings(`cgroup-parents: ["a b"]`), unknown, "containers.cgroup-parents[0]"},
	},
	"DKER-EE-002110": {
		{"in one word", hostConfig(`"SecurityOpt": ["no-new-privileges"]`), nil, good, ""},
		{"with a colon", hostConfig(`"SecurityOpt": ["no-new-privileges:true"]`), nil, good, ""},
		{"with =", hostConfig(`"SecurityOpt": ["label=type:a_t", "no-new-privileges=true"]`), nil, good, ""},
		{"without", hostConfig(`"SecurityOpt": null`), nil, open, "has no no-new-privileges): make it anew"},
		{"switched off", hostConfig(`"SecurityOpt": ["no-new-privileges:false"]`), nil, open, "no-new-privileges=false"},
		{"switched off behind on", hostConfig(`"SecurityOpt": ["no-new-privileges", "no-new-privileges=false"]`), nil, open, "no-new-privileges=false"},
		{"of the engine", runs, engineSays(`{"SecurityOptions": ["name=no-new-privileges"]}`), open, "covers it in effect"},
		{"of the engine, switched off", hostConfig(`"SecurityOpt": ["no-new-privileges=false"]`), engineSays(`{"SecurityOptions": ["name=no-new-privileges"]}`), open, "no-new-privileges=false): make it anew"},
	},
	"DKER-EE-002120": {
		{"the engine's", hostConfig(`"UsernsMode": ""`), nil, good, ""},
		{"the host's", hostConfig(`"UsernsMode": "host"`), nil, open, "UsernsMode is host"},
		{"of another engine", hostConfig(`"UsernsMode": "keep-id"`), nil, unknown, `UsernsMode is "keep-id", which is none of Docker's`},
	},
	"DKER-EE-002130": {
		{"none", bind("/srv", "/srv"), nil, good, ""},
		{"by its name", bind("/var/run/docker.sock", "/s"), nil, open, "/var/run/docker.sock at /s: make"},
		{"by the name inside", bind("/srv/x", "/var/run/Docker.sock"), nil, open, "/srv/x at /var/run/Docker.sock"},
		{"of Windows' name", bind("/srv/docker_engine", "/s"), nil, open, "docker_engine"},
		{"read-only", `"Mounts": [{"Type": "bind", "Source": "/run/docker.sock", "Destination": "/s", "RW": false}]`, nil, open, "root on the host"},
		{"with all of /run", bind("/run", "/x"), nil, open, "/run at /x (bind mount), where /run/docker.sock is"},
		{"with all of /var/run", bind("/var/run", "/x"), linked("root:root 777 /var/run link=/run"), open, "/var/run at /x"},
		{"with /var, where /var/run is a link", bind("/var", "/x"), linked("root:root 777 /var/run link=/run"), good, ""},
		{"with the host", bind("/", "/x"), nil, open, "/ at /x"},
		{"through a link", bind("/srv/s", "/x"), linked("root:root 777 /srv/s link=/run"), open, "/srv/s at /x"},
		{"by a volume", volume, volumeOptions(`{"type": "none", "o": "bind", "device": "/run"}`), open, "/run at /data (volume v)"},
		{"volumes cannot be listed", volume, hosttest.Machine{"engine/volumes.500": "broken"}, unknown, "volume v"},
		{"remote, with all of /var/run", bind("/var/run", "/x"), remote, open, "/var/run at /x"},
		{"remote, with /var", bind("/var", "/x"), remote, good, ""},
		{"something else below /run", bind("/run/shop", "/x"), nil, good, ""},
	},
	"DKER-EE-002150": {
		{"none", mapped(``), nil, good, ""},
		{"high", mapped(`"80/tcp": [{"HostIp": "", "HostPort": "1024"}]`), nil, good, ""},
		{"low", mapped(`"80/tcp": [{"HostIp": "", "HostPort": "1023"}]`), nil, open, "it publishes ports of the host below 1024: 0.0.0.0:1023->80/tcp"},
		{"stopped, high", bound(`"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}`), nil, good, ""},
		{"stopped, low", bound(`"PortBindings": {"80/tcp": [{"HostIp": "10.0.0.1", "HostPort": "80"}]}`), nil, open, "it would publish ports of the host below 1024: 10.0.0.1:80->80/tcp"},
		{"stopped, a range", bound(`"PortBindings": {"80/tcp": [{"HostPort": "1000-2000"}]}`), nil, open, "0.0.0.0:1000-2000->80/tcp"},
		{"stopped, chosen by the engine", bound(`"PortBindings": {"80/tcp": [{"HostPort": "0"}, {"HostPort": ""}]}, "PublishAllPorts": true`), nil, good, ""},
		{"stopped, on the host's network", bound(`"NetworkMode": "host", "PortBindings": {"80/tcp": [{"HostPort": "80"}]}`), nil, good, "1 on the host's network"},
		{"between two starts", `"State": {"Status": "restarting", "Running": true, "Restarting": true}, "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "80"}]}}, "NetworkSettings": {}`, nil, open, "would publish"},
		{"a range that is none", bound(`"PortBindings": {"80/tcp": [{"HostPort": "90-80"}]}`), nil, unknown, `"90-80", which is no port`},
		{"running, and no network settings", runs, nil, unknown, "no network settings"},
		{"running, and no ports told", hostConfig(`"PortBindings": {"80/tcp": [{"HostPort": "80"}]}`) + `, "NetworkSettings": {"Ports": null}`, nil, open, "0.0.0.0:80->80/tcp"},
	},
	"DKER-EE-002160": {
		{"none", mapped(``), nil, good, ""},
		{"one address", mapped(`"80/tcp": [{"HostIp": "10.0.0.1", "HostPort": "80"}]`), nil, good, ""},
		{"all addresses", mapped(`"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "80"}]`), nil, open, "0.0.0.0:80->80/tcp"},
		{"all of IPv6", mapped(`"80/tcp": [{"HostIp": "::", "HostPort": "80"}]`), nil, open, "[::]:80->80/tcp"},
		{"no address", mapped(`"80/tcp": [{"HostIp": "", "HostPort": "80"}]`), nil, open, "0.0.0.0:80->80/tcp"},
		{"stopped", bound(`"PortBindings": {"80/tcp": [{"HostPort": "80"}]}`), nil, good, "0 running"},
		{"between two starts", restarts, nil, open, "0.0.0.0:8080->80/tcp"},
		{"no ports told, and none wanted", runs + `, "NetworkSettings": {"Ports": null}`, nil, good, ""},
		{"no network settings", runs, nil, unknown, "no network settings"},
	},
	"DKER-EE-002770": {
		{"healthy", `"State": {"Running": true, "Health": {"Status": "healthy"}}`, nil, good, ""},
		{"not checked", runs, nil, open, "nothing checks its health"},
		{"checks switched off", `"State": {"Running": true, "Health": {"Status": "none"}}`, nil, open, "nothing checks its health"},
		{"starting", `"State": {"Running": true, "Health": {"Status": "starting"}}`, nil, open, "its health is starting"},
		{"unhealthy", `"State": {"Running": true, "Health": {"Status": "unhealthy"}}`, nil, open, "its health is unhealthy"},
		{"ended", ended, nil, good, "0 running"},
		{"no state", `"State": null`, nil, unknown, "whether it runs is unknown"},
	},
	"DKER-EE-002780": {
		{"limited", hostConfig(`"PidsLimit": 100`), nil, good, ""},
		{"null", hostConfig(`"PidsLimit": null`), nil, open, "PidsLimit is null"},
		{"0", hostConfig(`"PidsLimit": 0`), nil, open, "PidsLimit is 0"},
		{"-1", hostConfig(`"PidsLimit": -1`), nil, open, "PidsLimit is -1"},
	},
	"DKER-EE-003200": {
		{"a name", `"Config": {"User": "app"}`, nil, good, ""},
		{"a number", `"Config": {"User": "1000:0"}`, nil, good, ""},
		{"empty", `"Config": {"User": ""}`, nil, open, "User is empty"},
		{"root", `"Config": {"User": "root"}`, nil, open, "User is root"},
		{"root with a group", `"Config": {"User": "root:app"}`, nil, open, "User is root:app"},
		{"0", `"Config": {"User": "0"}`, nil, open, "User is 0"},
		{"0 with a group", `"Config": {"User": "0:1000"}`, nil, open, "User is 0:1000"},
		{"0 in more digits", `"Config": {"User": "00"}`, nil, open, "User is 00"},
		{"a group alone", `"Config": {"User": ":1000"}`, nil, open, "User is :1000"},
	},
	"DKER-EE-004030": {
		{"none", hostConfig(`"RestartPolicy": {"Name": ""}`), nil, good, ""},
		{"no", hostConfig(`"RestartPolicy": {"Name": "no"}`), nil, good, ""},
		{"5 times", hostConfig(`"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 5}`), nil, good, ""},
		{"6 times", hostConfig(`"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 6}`), nil, open, "restarted 6 times"},
		{"without a number", hostConfig(`"RestartPolicy": {"Name": "on-failure"}`), nil, open, "no number of tries"},
		{"always", hostConfig(`"RestartPolicy": {"Name": "always"}`), nil, open, "policy always"},
		{"unless-stopped", hostConfig(`"RestartPolicy": {"Name": "unless-stopped"}`), nil, open, "policy unless-stopped"},
		{"unknown", hostConfig(`"RestartPolicy": {"Name": "maybe"}`), nil, unknown, `restart policy "maybe" is unknown`},
	},
	"DKER-EE-004040": {
		{"none", hostConfig(`"Ulimits": null`), nil, good, ""},
		{"one, and no list", hostConfig(`"Ulimits": [{"Name": "nofile", "Soft": 1024, "Hard": 2048}]`), nil, unknown, "it has ulimit nofile=1024:2048, and whether"},
		{"listed", hostConfig(`"Ulimits": [{"Name": "nofile", "Soft": 1024, "Hard": 2048}]`), settings(`ulimits: ["nofile=1024:2048"]`), good, ""},
		{"listed with one value", hostConfig(`"Ulimits": [{"Name": "nofile", "Soft": 1024, "Hard": 1024}]`), settings(`ulimits: ["nofile=1024"]`), good, ""},
		{"without limit", hostConfig(`"Ulimits": [{"Name": "memlock", "Soft": -1, "Hard": -1}]`), settings(`ulimits: ["web:memlock=-1:-1"]`), good, ""},
		{"another value", hostConfig(`"Ulimits": [{"Name": "nofile", "Soft": 1024, "Hard": 4096}]`), settings(`ulimits: ["nofile=1024:2048"]`), open, "nofile=1024:4096"},
		{"the site's list is wrong", runs, settings(`ulimits: ["nofile"]`), unknown, "containers.ulimits[0]"},
		{"a value that is too large", runs, settings(`ulimits: ["nofile=99999999999999999999"]`), unknown, "containers.ulimits[0]"},
	},
}

// TestSharedRule holds that both requirements about published ports have one
// rule.
func TestSharedRule(t *testing.T) {
	t.Parallel()
	rule, ok := rules.For("DKER-EE-003560")
	if !ok || len(rule.IDs) != 2 || rule.IDs[0] != "DKER-EE-001990" {
		t.Errorf("got %v, %v", rule.IDs, ok)
	}
}

// TestContainerEvidence holds what evidence shows: the judged field, and
// neither a profile of hundreds of lines nor anything of Env.
func TestContainerEvidence(t *testing.T) {
	t.Parallel()
	container := hostConfig(`"SecurityOpt": ["seccomp={\"names\": [\"canary\"]}"]`) + `, "Config": {"Env": ["PASSWORD=canary"]}`
	for id := range containerShapes {
		rule, _ := rules.For(id)
		findings, err := rule.Judge(t.Context(), machine(container, with(ubuntu)).Host(t))
		if err != nil {
			t.Errorf("%s: %v", id, err)
		}
		for _, f := range findings {
			for _, fact := range f.Evidence {
				if strings.Contains(fact.Answer, "canary") || len(fact.Answer) > 4<<10 {
					t.Errorf("%s: evidence has %s", id, fact.Answer)
				}
			}
		}
	}
}
