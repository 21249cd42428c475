package scan

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/cli-plugin/benchmark"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/hosttest"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// talkative is a machine whose engine has something to say at every endpoint:
// the only manager of a swarm, with a service and a container that runs.
var talkative = hosttest.Machine{
	"engine/info": `{"ID": "A", "ServerVersion": "29.2.0", "Name": "dkr01", "OperatingSystem": "Debian GNU/Linux 12", "Driver": "overlay2",
		"LoggingDriver": "syslog", "DefaultRuntime": "runc", "SecurityOptions": ["name=seccomp,profile=builtin", "name=apparmor"],
		"RegistryConfig": {"InsecureRegistryCIDRs": ["127.0.0.0/8"], "IndexConfigs": {}}, "Plugins": {"Log": ["syslog"]}, "Swarm": {
		"NodeID": "n1", "LocalNodeState": "active", "ControlAvailable": true, "Managers": 1, "RemoteManagers": [{"NodeID": "n1", "Addr": "10.0.0.1:2377"}]}}`,
	"engine/version":              `{"Version": "29.2.0", "ApiVersion": "1.53", "Platform": {"Name": "Docker Engine - Community"}}`,
	"engine/swarm":                `{"ID": "c1", "Spec": {"CAConfig": {"NodeCertExpiry": 7776000000000000}, "EncryptionConfig": {"AutoLockManagers": true}}}`,
	"engine/nodes":                `[{"ID": "n1", "Spec": {"Role": "manager"}, "Status": {"State": "ready"}, "Description": {"Hostname": "dkr01"}}]`,
	"engine/networks":             `[{"Name": "plain", "Driver": "overlay", "Options": {"com.docker.network.driver.overlay.vxlanid_list": "4097"}}]`,
	"engine/secrets":              `[{"ID": "s1", "Spec": {"Name": "db-password"}}]`,
	"engine/services":             `[{"ID": "x", "Spec": {"Name": "web", "TaskTemplate": {"ContainerSpec": {"Secrets": [{"SecretName": "db-password"}]}}}}]`,
	"engine/volumes":              `{"Volumes": [{"Name": "v", "Driver": "local", "Mountpoint": "/v"}]}`,
	"engine/images/json":          `[{"Id": "sha256:0000000000000000000000000000000000000000000000000000000000000001", "RepoTags": ["shop:1"]}]`,
	"engine/plugins":              `[{"Name": "logger", "Enabled": true, "Config": {"Interface": {"Types": ["docker.logdriver/1.0"]}}}]`,
	"engine/containers/web/top":   `{"Titles": ["PID", "COMMAND", "COMMAND"], "Processes": [["7", "nginx", "nginx"]]}`,
	"engine/containers/web/json":  `{"Id": "` + webID + `", "State": {"Status": "running", "Running": true}, "Config": {"Image": "shop:1"}, "HostConfig": {"Privileged": true}}`,
	"root/proc/812/exe":           "/usr/bin/dockerd",
	"root/proc/812/cmdline":       "dockerd\n",
	"root/proc/812/stat":          "812 (dockerd) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 360000 20",
	"root/proc/stat":              "btime 1795176000\n",
	"root/proc/net/tcp":           "0: 0100000A:0949 00000000:0000 0A 0 0 0\n",
	"root/etc/docker/daemon.json": `{"userland-proxy": false, "log-driver": "syslog"}`,
	"root/etc/os-release":         "ID=debian\n",
	"times":                       "2026-11-01T00:00:00Z /etc/docker/daemon.json",
	"site.yaml":                   "swarm:\n  node-cert-expiry: 2160h\n  secrets: {web: [db-password]}\n  encrypted-by-application: []\n",
}

const webID = "00000000000000000000000000000000000000000000000000000000000000ab"

// garbage are answers of no shape that any endpoint has.
var garbage = map[string]string{
	"nothing": "", "half": `{"a": [`, "a page": "<html>502 Bad Gateway</html>", "text": `"x"`, "a number": "7", "null": "null", "lists in a list": `[[1], [[]]]`,
	"null in a list": "[null]", "numbers": "[1, 2]", "false": "false",
	"an endless object": `{"a": ` + strings.Repeat(`{"a": `, 20_000),
}

// objects and lists are garbage where the other one belongs.
var (
	objects = map[string]string{"an object": `{"message": "no"}`, "an empty object": `{}`, "a list of objects": `[{}, {}]`}
	lists   = map[string]string{"a list": `[]`, "a list of objects": `[{}, {}]`}
)

// wrongTypes have the right keys with values of another type.
var wrongTypes = map[string]string{
	"info":                `{"ServerVersion": [], "Swarm": "active", "Driver": {}, "RegistryConfig": [], "SecurityOptions": {}}`,
	"version":             `{"Version": 29, "Platform": "x"}`,
	"containers/json":     `[{"Id": 7, "Names": "web"}]`,
	"containers/web/json": `{"Id": [], "Config": [], "HostConfig": "x", "State": 1}`,
	"containers/web/top":  `{"Titles": "PID", "Processes": {"0": []}}`,
	"images/json":         `[{"Id": {}, "RepoTags": "shop:1"}]`,
	"networks":            `[{"Name": 1, "Options": []}]`,
	"swarm":               `{"Spec": []}`,
	"services":            `[{"Spec": {"TaskTemplate": []}}]`,
	"secrets":             `[{"Spec": "db-password"}]`,
	"volumes":             `{"Volumes": {"v": 1}}`,
}

// TestGarbage gives one garbled answer after another. What rests on it is not
// judged, what does not is judged as before, and no rule breaks.
func TestGarbage(t *testing.T) {
	t.Parallel()
	sound := results(t, talkative)
	for endpoint, shape := range map[string]map[string]string{
		"info": lists, "version": lists, "swarm": lists, "volumes": lists, "containers/web/json": lists, "containers/web/top": lists,
		"containers/json": objects, "images/json": objects, "networks": objects, "nodes": objects, "services": objects, "secrets": objects, "plugins": objects,
	} {
		t.Run(strings.ReplaceAll(endpoint, "/", "-"), func(t *testing.T) {
			t.Parallel()
			answers := maps.Clone(garbage)
			maps.Copy(answers, shape)
			if wrong, ok := wrongTypes[endpoint]; ok {
				answers["wrong types"] = wrong
			}
			for title, answer := range answers {
				t.Run(title, func(t *testing.T) { holdGarbage(t, endpoint, answer, sound) })
			}
		})
	}
}

func holdGarbage(t *testing.T, endpoint, answer string, sound []Result) {
	t.Helper()
	machine := maps.Clone(talkative)
	machine["engine/"+endpoint] = answer
	if endpoint == "containers/web/json" {
		delete(machine, "engine/containers/web/json")
		machine["engine/containers/"+webID+"/json.raw"] = answer
		machine["engine/containers/json"] = `[{"Id": "` + webID + `", "Names": ["/web"], "Image": "shop:1", "State": "running"}]`
	}
	for i, got := range results(t, machine) {
		if strings.Contains(got.Details, "please report this") {
			t.Errorf("%s breaks: %.600s", got.StigID, got.Details)
		}
		switch {
		case got.Status == stig.NotReviewed:
		case got.Status != sound[i].Status:
			t.Errorf("%s is %v, and %v by a sound answer: %s", got.StigID, got.Status, sound[i].Status, got.Details)
		case got.Status != stig.NotApplicable && restsOn(got, endpoint):
			t.Errorf("%s is %v by garbage: %+v", got.StigID, got.Status, got.Findings)
		}
	}
}

// restsOn reports whether a result gives an endpoint's answer as evidence.
func restsOn(r Result, endpoint string) bool {
	return slices.ContainsFunc(r.Findings, func(f stig.Finding) bool {
		return slices.ContainsFunc(f.Evidence, func(fact stig.Fact) bool {
			asked := strings.NewReplacer("/ID/", "/web/", webID, "web").Replace(fact.Asked)
			return f.Status != stig.NotReviewed && strings.HasPrefix(asked, "GET /"+endpoint)
		})
	})
}

// TestOldAPI asks an engine that speaks the oldest API of all that docker's
// client still takes, and no other.
func TestOldAPI(t *testing.T) {
	t.Parallel()
	machine := maps.Clone(talkative)
	machine["api"] = "1.40"
	sound := results(t, talkative)
	for i, got := range results(t, machine) {
		if got.Status != sound[i].Status {
			t.Errorf("%s is %v, and %v over a newer API: %s", got.StigID, got.Status, sound[i].Status, got.Details)
		}
	}
}

func results(t *testing.T, machine hosttest.Machine) []Result {
	t.Helper()
	guide, err := benchmark.DockerEnterprise()
	if err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return hosttest.Now }
	h := maps.Clone(machine).Host(t)
	h.Package = host.InstalledPackage("", "ssh://elsewhere", nil, now)
	list := Run(t.Context(), h, Options{Benchmark: guide, Requirements: guide.Requirements, Now: now})
	return list.Results
}
