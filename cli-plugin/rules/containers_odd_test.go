package rules_test

import (
	"encoding/json"
	"testing"

	"github.com/docker-stig/docker-stig/cli-plugin/host/hosttest"
	"github.com/docker-stig/docker-stig/cli-plugin/rules"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// odd is a container with a fault in every field that is judged.
const odd = `{"State": {"Status": "running", "Running": true, "Health": {"Status": "unhealthy"}}, "AppArmorProfile": "unconfined", "ExecIDs": ["e"],
 "Mounts": [{"Type": "bind", "Source": "/", "Destination": "/host", "RW": true, "Propagation": "rshared"}, {"Type": "volume", "Name": "v", "Driver": "local", "Destination": "/v", "RW": true}],
 "Config": {"User": "0", "Labels": {"com.docker.compose.project": "shop"}},
 "HostConfig": {"Privileged": true, "PidMode": "host", "IpcMode": "host", "NetworkMode": "host", "UTSMode": "host", "UsernsMode": "host", "CgroupParent": "/x",
  "Binds": ["/:/host"], "Mounts": [{"Type": "bind"}], "PortBindings": {"22/tcp": [{"HostPort": "22"}]}, "Memory": 0, "CpuShares": 0, "PidsLimit": 0, "ReadonlyRootfs": false,
  "Devices": [{"PathOnHost": "/dev/sda"}], "DeviceRequests": [{"Driver": "cdi"}], "DeviceCgroupRules": ["a *:* rwm"], "SecurityOpt": ["seccomp=unconfined"],
  "CapAdd": ["ALL"], "Capabilities": ["CAP_SYS_ADMIN"], "RestartPolicy": {"Name": "always"}, "Ulimits": [{"Name": "nproc", "Soft": -1, "Hard": -1}]},
 "NetworkSettings": {"Ports": {"22/tcp": [{"HostIp": "0.0.0.0", "HostPort": "22"}]}}}`

// TestOddContainers puts null, and what has the wrong shape, in the place of
// every part of a container. A rule answers all the same, and what cannot be
// read is Not_Reviewed.
func TestOddContainers(t *testing.T) {
	t.Parallel()
	var whole any
	if err := json.Unmarshal([]byte(odd), &whole); err != nil {
		t.Fatal(err)
	}
	count := 0
	vary(whole, func() {
		count++
		raw, err := json.Marshal(whole)
		if err != nil {
			t.Fatal(err)
		}
		h := hosttest.Machine{
			"engine/containers/odd/json": string(raw),
			"engine/info":                `{"ServerVersion": "19.03.15", "SecurityOptions": ["name=apparmor", "name=seccomp,profile=default"]}`,
			"engine/volumes":             `{"Volumes": [null, {"Name": "v", "Driver": "local"}]}`,
			"root/etc/os-release":        "ID=ubuntu\n",
		}.Host(t)
		for id := range containerShapes {
			rule, _ := rules.For(id)
			findings, err := rule.Judge(t.Context(), h)
			if err == nil && len(findings) == 0 {
				t.Errorf("%s judged nothing of %s", id, raw)
			}
			for _, f := range findings {
				if f.Status == stig.NotReviewed && f.Details == "" {
					t.Errorf("%s does not say why it is not reviewed: %s", id, raw)
				}
			}
		}
	})
	if count < 100 {
		t.Errorf("%d shapes are too few", count)
	}
}

// vary puts odd values in the place of every part of a JSON value, one after
// the other, and calls with for each.
func vary(value any, with func()) {
	each := func(inner any, set func(any)) {
		for _, other := range []any{nil, 1e300, "odd", []any{nil}, map[string]any{"22/tcp": nil}} {
			set(other)
			with()
		}
		set(inner)
		vary(inner, with)
	}
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			each(inner, func(other any) { v[key] = other })
		}
	case []any:
		for i, inner := range v {
			each(inner, func(other any) { v[i] = other })
		}
	}
}
