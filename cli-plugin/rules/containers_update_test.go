package rules_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/host/hosttest"
	"github.com/docker-stig/docker-stig/cli-plugin/rules"
	"github.com/docker-stig/docker-stig/shared/stig"
)

const (
	ofService = `, "Labels": {"com.docker.swarm.service.name": "shop_web"}`
	ofProject = `, "Labels": {"com.docker.compose.project": "p", "com.docker.compose.service": "app"}`
	ofPod     = `, "Labels": {"io.kubernetes.pod.name": "web-0"}`
	ofUCP     = `, "Labels": {"com.docker.ucp.version": "3"}`
	always    = `"RestartPolicy": {"Name": "always"}`
)

// planned is a site that gives all limits.
var planned = hosttest.Machine{"site.yaml": "containers: {memory: [512m, \"db:1g\"], cpu-shares: [\"web:512\"], pids-limit: [\"web:100\", \"shop_web:50\"]}\n"}

// TestUpdates changes what runs, by its rule's name alone, and writes lines for
// what makes its containers anew.
func TestUpdates(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		id        stig.ID
		container string
		more      hosttest.Machine
		change    string
		person    string
	}{
		"always":                {"DKER-EE-004030", shop("", always, ""), nil, `/RestartPolicy is set to {"MaximumRetryCount":5,"Name":"on-failure"}`, ""},
		"without end":           {"DKER-EE-004030", shop("", `"RestartPolicy": {"Name": "on-failure"}`, ""), nil, "/RestartPolicy", ""},
		"unless stopped":        {"DKER-EE-004030", shop("", `"RestartPolicy": {"Name": "unless-stopped"}`, ""), nil, "/RestartPolicy", ""},
		"3 times":               {"DKER-EE-004030", shop("", `"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}`, ""), nil, "", ""},
		"unknown":               {"DKER-EE-004030", shop("", `"RestartPolicy": {"Name": "at-random"}`, ""), nil, "", `"at-random" is unknown`},
		"always, of a swarm":    {"DKER-EE-004030", shop(ofService, always, ""), nil, "", "docker service update --restart-condition on-failure --restart-max-attempts 5 shop_web"},
		"always, of compose":    {"DKER-EE-004030", shop(ofProject, always, ""), nil, "", "restart"},
		"always, of Kubernetes": {"DKER-EE-004030", shop(ofPod, always, ""), nil, "", "change pod web-0"},
		"always, of UCP":        {"DKER-EE-004030", shop(ofUCP, always, ""), nil, "", ""},

		"memory":                {"DKER-EE-002010", shop("", "", ""), planned, `/Memory is set to {"Memory":536870912,"MemorySwap":536870912} for good`, ""},
		"memory, no plan":       {"DKER-EE-002010", shop("", "", ""), ofShop, "", "\ndocker update --memory SIZE --memory-swap SIZE web\n# put the most"},
		"memory, of another":    {"DKER-EE-002010", shop("", "", ""), settings(`memory: ["db:1g"]`), "", "--memory SIZE"},
		"memory, no limit":      {"DKER-EE-002010", shop("", `"Memory": -1`, ""), planned, "for good", ""},
		"memory, limited":       {"DKER-EE-002010", shop("", `"Memory": 7`, ""), planned, "", ""},
		"memory, of a swarm":    {"DKER-EE-002010", shop(ofService, "", ""), planned, "", "docker service update --limit-memory 512m shop_web"},
		"memory, of compose":    {"DKER-EE-002010", shop(ofProject, "", ""), planned, "", "mem_limit: 512m"},
		"memory, of Kubernetes": {"DKER-EE-002010", shop(ofPod, "", ""), planned, "", "change pod web-0"},
		"memory, of UCP":        {"DKER-EE-002010", shop(ofUCP, "", ""), planned, "", ""},

		"shares":             {"DKER-EE-002020", shop("", "", ""), planned, "/CPUShares is set to 512 for good", ""},
		"shares by default":  {"DKER-EE-002020", shop("", `"CpuShares": 1024`, ""), planned, "/CPUShares is set to 512", ""},
		"shares, no plan":    {"DKER-EE-002020", shop("", "", ""), nil, "", "docker update --cpu-shares SHARES web"},
		"shares, of a swarm": {"DKER-EE-002020", shop(ofService, "", ""), planned, "", "a swarm service has no CPU shares"},
		"shares, of compose": {"DKER-EE-002020", shop(ofProject, "", ""), planned, "", "cpu_shares: 512"},

		"processes":               {"DKER-EE-002780", shop("", "", ""), planned, "/PidsLimit is set to 100", ""},
		"processes, no limit":     {"DKER-EE-002780", shop("", `"PidsLimit": -1`, ""), planned, "/PidsLimit is set to 100", ""},
		"processes, no plan":      {"DKER-EE-002780", shop("", "", ""), nil, "", "docker update --pids-limit COUNT web"},
		"processes, of a service": {"DKER-EE-002780", strings.Replace(shop(ofService, "", ""), "/web", "/shop_web.1.x", 1), planned, "", "docker service update --limit-pids 50 shop_web"},
		"processes, of compose":   {"DKER-EE-002780", shop(ofProject, "", ""), planned, "", "pids_limit: 100"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rule, _ := rules.For(c.id)
			wanted, err := rule.Fix(t.Context(), machine(c.container, c.more).Host(t))
			if err != nil {
				t.Fatal(err)
			}
			for _, pair := range [][2]string{{wishesOf(t, wanted), c.change}, {strings.Join(wanted.Person, "\n"), c.person}} {
				if !strings.Contains(pair[0], pair[1]) || (pair[0] == "") != (pair[1] == "") {
					t.Errorf("got %q, want %q", pair[0], pair[1])
				}
			}
			if strings.Contains(c.change, "for good") != strings.Contains(wishesOf(t, wanted), "for good") {
				t.Errorf("got %q, want %q", wishesOf(t, wanted), c.change)
			}
		})
	}
}

// wishesOf are changes of container web by its rules' names alone, and which
// of them are for good.
func wishesOf(t *testing.T, wanted change.Wanted) string {
	t.Helper()
	var wishes []string
	for _, one := range wanted.Changes {
		wish := one.Wish()
		if one.ByName == "" || one.Check() != nil || one.Disruption != change.None || one.Setting.Target != change.Container+"0123456789abcdef"+one.Setting.Pointer {
			t.Errorf("got %+v, %v", one, one.Check())
		}
		if one.Irrevocable != "" {
			wish += " for good"
		}
		wishes = append(wishes, wish)
	}
	return strings.Join(wishes, "\n")
}

// TestUpdateContainers holds what becomes of a container that several rules
// which somebody names find fault with.
func TestUpdateContainers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		host    string
		more    hosttest.Machine
		ids     []stig.ID
		changes []string // limits
		left    []stig.ID
		want    []string
	}{
		"all updated": {
			always,
			planned,
			[]stig.ID{"DKER-EE-002010", "DKER-EE-002020", "DKER-EE-002780", "DKER-EE-004030"},
			[]string{"Memory", "CPUShares", "PidsLimit", "RestartPolicy"},
			nil,
			[]string{"!docker"},
		},
		"some without a value": {
			"",
			settings("memory: [512m]"),
			[]stig.ID{"DKER-EE-002010", "DKER-EE-002020", "DKER-EE-002780"},
			[]string{"Memory"},
			[]stig.ID{"DKER-EE-002020", "DKER-EE-002780"},
			[]string{"\ndocker update --cpu-shares SHARES --pids-limit COUNT web\n", "!memory"},
		},
		"one that is made anew has them, too": {
			`"Privileged": true`,
			planned,
			[]stig.ID{"DKER-EE-002010", "DKER-EE-001960", "DKER-EE-002780"},
			[]string{"Memory", "PidsLimit"},
			[]stig.ID{"DKER-EE-001960"},
			[]string{"docker create --memory 512m --memory-swap 512m --pids-limit 100 --name web shop", "(DKER-EE-002010)"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := machine(shop("", c.host, ""), ofShop)
			maps.Copy(m, c.more)
			wanted, left, err := rules.UpdateContainers(t.Context(), m.Host(t), c.ids...)
			if err != nil {
				t.Fatal(err)
			}
			var changes []string
			for _, one := range wanted.Changes {
				changes = append(changes, strings.TrimPrefix(one.Setting.Pointer, "/"))
			}
			if !slices.Equal(changes, c.changes) || !slices.Equal(left, c.left) {
				t.Errorf("changes %v, left %v; want %v, %v", changes, left, c.changes, c.left)
			}
			said(t, strings.Join(wanted.Person, "\n\n"), c.want)
			if noted := strings.Contains(strings.Join(wanted.Notes, "\n"), "docker stats shows"); noted != slices.Contains(c.changes, "Memory") {
				t.Errorf("notes %q", wanted.Notes)
			}
		})
	}
}

// TestUpdateContainersSilent holds that what cannot be asked is an error.
func TestUpdateContainersSilent(t *testing.T) {
	t.Parallel()
	if _, _, err := rules.UpdateContainers(t.Context(), hosttest.Machine{"silent": ""}.Host(t), "DKER-EE-002010"); err == nil || !strings.Contains(err.Error(), "DKER-EE-002010: ") {
		t.Errorf("got %v", err)
	}
}
