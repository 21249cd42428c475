package engine

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/container"

	"github.com/docker-stig/docker-stig/cli-plugin/remedy"
	"github.com/docker-stig/docker-stig/tests/testbed"
)

func TestFixLimitsOnDocker(t *testing.T) { testFixLimits(t, testbed.Docker) }

func TestFixLimitsOnMoby(t *testing.T) { testFixLimits(t, testbed.Moby) }

// limitRules are those that docker update meets.
var limitRules = []string{"V-235806", "V-235807", "V-235828", "V-235843"}

// limitValues are a site's, for the containers of these tests.
const limitValues = `containers:
  memory: [64m, "big:96m"]
  cpu-shares: [512]
  pids-limit: [50, "big:70"]
`

// bounds are those of a container, as the engine keeps them, and the process
// that they are for: 0 of one that does not run.
type bounds struct {
	Memory, Swap, Shares, Pids int64
	Policy                     container.RestartPolicy
	Process                    int
}

// A limitedBed has containers without limits, which get some.
type limitedBed struct {
	*bed
	before map[string]bounds
}

// testFixLimits has limits set on containers as they run, and taken off again
// as far as the engine does that.
func testFixLimits(t *testing.T, engine testbed.Engine) {
	t.Helper()
	b := limitedBed{bed: newBed(t, engine)}
	state := t.TempDir()
	b.env = []string{"STIG_STATE=" + state, "STIG_SITE=" + filepath.Join(state, "site.yaml")}
	writeFile(t, filepath.Join(state, "site.yaml"), limitValues, 0o600)
	image := b.must(t)(b.UnsignedImage(t.Context(), "shop:1")).Ref
	for name, options := range map[string]string{
		"bare": "--restart always", "big": "--restart unless-stopped --cpu-shares 1024 --pids-limit -1", "plain": "",
		"composed": "--restart always --label com.docker.compose.project=p --label com.docker.compose.service=web",
	} {
		b.tell(t, slices.Concat([]string{"run", "--detach", "--network", "none", "--name", name}, strings.Fields(options), []string{image, "sleep", "1000"})...)
	}
	b.tell(t, "create", "--name", "idle", image, "sleep", "1000")
	b.before = b.bounds(t)
	t.Run("nobody names a rule", func(t *testing.T) { b.unnamed(t) })
	t.Run("nobody agrees", func(t *testing.T) { b.notForGood(t) })
	t.Run("without a value", func(t *testing.T) { b.withoutValue(t) })
	t.Run("set, and undone", func(t *testing.T) { b.setAndUndone(t) })
}

// bounds are those of all containers.
func (b limitedBed) bounds(t *testing.T) map[string]bounds {
	t.Helper()
	all := map[string]bounds{}
	for name := range strings.Lines(b.tell(t, "ps", "--all", "--format", "{{.Names}}")) {
		name = strings.TrimSpace(name)
		c := inspected(t, b.api(t), name)
		h := c.HostConfig
		one := bounds{h.Memory, h.MemorySwap, h.CPUShares, 0, h.RestartPolicy, c.State.Pid}
		if h.PidsLimit != nil {
			one.Pids = max(*h.PidsLimit, 0)
		}
		all[name] = one
	}
	return all
}

func (b limitedBed) hold(t *testing.T, want map[string]bounds) {
	t.Helper()
	if diff := cmp.Diff(want, b.bounds(t)); diff != "" {
		t.Errorf("limits (-want +got):\n%s", diff)
	}
}

// fix fixes rules, and wants texts in the plan.
func (b limitedBed) fix(t *testing.T, code int, args, want []string) {
	t.Helper()
	out := b.stig(t, code, slices.Concat([]string{"fix"}, args)...)
	for _, text := range want {
		if !strings.Contains(out.stdout, text) {
			t.Errorf("docker stig fix %s says\n%s\nwant %q in it", strings.Join(args, " "), out.stdout, text)
		}
	}
}

// unnamed: without its rule's name no limit is set, and the lines for each
// container have the site's values.
func (b limitedBed) unnamed(t *testing.T) {
	t.Helper()
	var plan remedy.Plan
	fromJSON(t, b.docker(t, "stig", "fix", "--dry-run", "--format", "json").stdout, &plan)
	for _, c := range plan.Changes {
		if c.Setting != nil {
			t.Errorf("unasked: %s: %s", c.Subject(), c.Wish())
		}
	}
	blocks := strings.Join(plan.Containers, "\n")
	for _, want := range []string{
		" --memory 96m --memory-swap 96m --cpu-shares 512 --pids-limit 70 --name big ", "mem_limit: 64m",
		"docker stig fix DKER-EE-002010 sets it in the container as it runs", "docker stig fix DKER-EE-004030 sets it",
	} {
		if !strings.Contains(blocks, want) {
			t.Errorf("want %q in\n%s", want, blocks)
		}
	}
	b.hold(t, b.before)
}

// notForGood: what cannot be taken back takes a yes of its own.
func (b limitedBed) notForGood(t *testing.T) {
	t.Helper()
	b.fix(t, 2, []string{"V-235806", "--yes"}, []string{`container bare: /Memory is set to {"Memory":67108864,"MemorySwap":67108864}: it cannot be taken back`, "--accept-irrevocable", "There is nothing to change.", "mem_limit: 64m"})
	b.hold(t, b.before)
}

// withoutValue: what the site has not said stays a person's.
func (b limitedBed) withoutValue(t *testing.T) {
	t.Helper()
	empty := filepath.Join(t.TempDir(), "site.yaml")
	writeFile(t, empty, "{}\n", 0o600)
	b.fix(t, 2, []string{"V-235806", "V-235828", "--yes", "--accept-irrevocable", "--site", empty}, []string{"docker update --memory SIZE --memory-swap SIZE --pids-limit COUNT big\n", "There is nothing to change."})
	b.hold(t, b.before)
}

// setAndUndone sets the limits of all containers but the one that compose
// makes.
func (b limitedBed) setAndUndone(t *testing.T) {
	t.Helper()
	b.tell(t, "rm", "--force", "composed")
	before := maps.Clone(b.before)
	delete(before, "composed")
	b.fix(t, 0, append(slices.Clone(limitRules), "--yes", "--accept-irrevocable"), []string{"4 checked: 0 Open", "docker stats shows what each uses"})
	limited, undone := map[string]bounds{}, map[string]bounds{}
	for name, was := range before {
		is := bounds{64 << 20, 64 << 20, 512, 50, was.Policy, was.Process}
		if name == "big" {
			is.Memory, is.Swap, is.Pids = 96<<20, 96<<20, 70
		}
		back := is
		if was.Policy.Name != container.RestartPolicyDisabled {
			is.Policy = container.RestartPolicy{Name: container.RestartPolicyOnFailure, MaximumRetryCount: 5}
		}
		if was.Shares > 0 {
			back.Shares = was.Shares
		}
		back.Pids = 0
		limited[name], undone[name] = is, back
	}
	b.hold(t, limited)
	b.inKernel(t, "67108864\n50\n")
	b.fix(t, 0, append(slices.Clone(limitRules), "--yes", "--accept-irrevocable"), []string{"There is nothing to change."})

	out := b.stig(t, 0, "undo", "--yes")
	for name, was := range before {
		if said := strings.Contains(out.stdout, "cannot be taken back: container "+name+": /CPUShares is set to 512"); said != (was.Shares == 0) || !strings.Contains(out.stdout, "cannot be taken back: container "+name+": /Memory is set to") {
			t.Errorf("undo says of container %s, which had %d shares:\n%s", name, was.Shares, out.stdout)
		}
	}
	b.hold(t, undone)
	b.inKernel(t, "67108864\nmax\n")
}

// inKernel wants the limits of memory and processes in force in container bare,
// in either version of control groups.
func (b limitedBed) inKernel(t *testing.T, want string) {
	t.Helper()
	const script = `cd /sys/fs/cgroup; if [ -e memory.max ]; then cat memory.max pids.max; else cat memory/memory.limit_in_bytes pids/pids.max; fi`
	if got := b.tell(t, "exec", "bare", "sh", "-c", script); got != want {
		t.Errorf("the kernel has %q, want %q", got, want)
	}
}
