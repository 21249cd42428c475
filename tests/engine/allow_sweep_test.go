package engine

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/docker-stig/docker-stig/tests/testbed"
)

func TestAllowOnDocker(t *testing.T) { testAllow(t, testbed.Docker) }

func TestAllowOnMoby(t *testing.T) { testAllow(t, testbed.Moby) }

func TestSweepOnDocker(t *testing.T) { testSweep(t, testbed.Docker) }

func TestSweepOnMoby(t *testing.T) { testSweep(t, testbed.Moby) }

// A watched plugin is one whose words and records are looked at.
type watched struct {
	*exec.Cmd
	log, records string // files
}

// enforceWatched has the engine ask a plugin that keeps its state where docker
// stig looks for it.
func (b *bed) enforceWatched(t *testing.T) watched {
	t.Helper()
	dir := t.TempDir()
	w := watched{log: filepath.Join(dir, "log"), records: filepath.Join(dir, "records.log")}
	log, err := os.Create(w.log)
	if err != nil {
		t.Fatal(err)
	}
	w.Cmd = exec.CommandContext(t.Context(), filepath.Join(programs, "docker-stig-authz"), "serve",
		"--policy", b.PolicyFile(), "--socket", b.pluginSocket(), "--state", b.variable("STIG_STATE"), "--log-file", w.records)
	w.Cancel = func() error { return w.Process.Signal(os.Interrupt) }
	w.Stderr = log
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = w.Wait() // the test's context has ended it
		_ = log.Close()
		if t.Failed() {
			t.Logf("docker-stig-authz:\n%s", read(t, w.log))
		}
	})
	await(t, "the plugin listens", func() bool { _, err := os.Stat(b.pluginSocket()); return err == nil })
	if err := b.RestartEngine(t.Context(), []byte(`{"authorization-plugins": ["docker-stig-authz"]}`)); err != nil {
		t.Fatal(err)
	}
	return w
}

// amend replaces sections of the policy file.
func (b *bed) amend(t *testing.T, sections map[string]any) {
	t.Helper()
	var policy map[string]any
	fromJSON(t, read(t, b.PolicyFile()), &policy)
	for key, section := range sections {
		policy[key] = section
	}
	raw, err := json.Marshal(policy)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.PolicyFile(), raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// works runs a docker command that has to be let through.
func (b *bed) works(t *testing.T, args ...string) output {
	t.Helper()
	out := b.docker(t, args...)
	if out.code != 0 {
		t.Errorf("docker %s: exit code %d: %s", strings.Join(args, " "), out.code, out.stderr)
	}
	return out
}

// testAllow lets an unsigned image through an enforcing plugin, for as long as
// it is allowed and no longer.
func testAllow(t *testing.T, engine testbed.Engine) {
	t.Helper()
	b := newBed(t, engine)
	b.env = []string{"SUDO_USER=alice"}
	b.must(t)(b.Sign(t.Context(), "prod/app:1"))
	unsigned := b.must(t)(b.UnsignedImage(t.Context(), "prod/app:unsigned"))
	far := b.must(t)(b.UnsignedImage(t.Context(), "prod/app:far"))
	if err := b.Pin("enforced", "prod/app"); err != nil {
		t.Fatal(err)
	}
	plugin := b.enforceWatched(t)
	name := b.image("prod/app@" + unsigned.Digest)
	allow := func(image string) []string {
		return []string{"authz", "allow", image, "--for", "2h", "--reason", "outage 4711", "--yes"}
	}
	b.refused(t, "unsigned", "run", "--network", "none", name)

	t.Run("a tag is answered with the digest", func(t *testing.T) {
		out := b.stig(t, 1, allow(unsigned.Ref)...)
		contains(t, out.stderr, "is a tag", "docker stig authz allow "+name+" --for 2h --reason 'outage 4711'")
		b.stig(t, 1, allow(b.image("prod/app:nowhere"))...)
	})
	t.Run("nobody is there to ask", func(t *testing.T) {
		out := b.stig(t, 1, allow(name)[:len(allow(name))-1]...)
		contains(t, out.stdout, "Break-glass", "outage 4711", "alice", " UTC", "no signature")
		b.refused(t, "unsigned", "run", "--network", "none", name)
	})
	t.Run("allowed", func(t *testing.T) {
		contains(t, b.stig(t, 0, allow(name)...).stdout, "docker run "+name+"\n")
		if out := b.works(t, "run", "--network", "none", name); !strings.Contains(out.stdout, "prod/app:unsigned") {
			t.Errorf("it printed %q", out.stdout)
		}
		b.works(t, "create", "--name", "kept", "--network", "none", name)
		b.works(t, "start", "kept")
		b.untouched(t, func() {
			b.refused(t, "unsigned", "run", "--network", "none", unsigned.Ref)
			b.refused(t, "unsigned", "run", "--network", "none", b.image("prod/app@"+far.Digest))
		})
		b.untouched(t, func() {
			out := b.docker(t, "run", "--network", "none", "--privileged", name)
			contains(t, out.stderr, "denied by plugin docker-stig-authz", "privileged")
		})
		contains(t, read(t, plugin.log), "BREAK-GLASS", "outage 4711", "alice")
		log := []string{"authz", "log", "--since", "10m"}
		if _, err := os.Stat(plugin.records); err == nil {
			log = append(log, "--file", plugin.records) // there is no journal
		}
		contains(t, b.stig(t, 0, log...).stdout, "break-glass", "allowed by alice: outage 4711")
		contains(t, b.stig(t, 0, "authz", "allow", "--list").stdout, name, "alice", "in 119 minutes", "outage 4711")
		var list []struct {
			Digest string
			Holds  bool
		}
		fromJSON(t, b.stig(t, 0, "authz", "allow", "--list", "--format", "json").stdout, &list)
		if len(list) != 1 || list[0].Digest != unsigned.Digest || !list[0].Holds {
			t.Errorf("listed are %+v", list)
		}
	})
	t.Run("ended", func(t *testing.T) {
		contains(t, b.stig(t, 0, "authz", "allow", "--end", name).stdout, "alice", "outage 4711")
		b.untouched(t, func() {
			b.refused(t, "unsigned", "run", "--network", "none", name)
			b.refused(t, "unsigned", "start", "kept")
		})
		b.stig(t, 1, "authz", "allow", "--end", name)
		contains(t, b.stig(t, 0, "authz", "allow", "--list").stdout, "Nothing is allowed")
		if approvals, _ := filepath.Glob(filepath.Join(b.variable("STIG_STATE"), "approvals", "*.json")); len(approvals) > 0 {
			t.Errorf("approved are %v", approvals)
		}
	})
	t.Run("ends by itself", func(t *testing.T) {
		b.stig(t, 0, "authz", "allow", name, "--for", "8s", "--reason", "short", "--author", "bob", "--yes")
		b.works(t, "start", "kept")
		await(t, "the allowance ends", func() bool { return b.docker(t, "start", "kept").code != 0 })
		b.untouched(t, func() {
			b.refused(t, "unsigned", "start", "kept")
			b.refused(t, "unsigned", "run", "--network", "none", name)
		})
	})
	t.Run("what the engine does not hold is pulled", func(t *testing.T) {
		b.works(t, "image", "rm", "--force", far.Ref)
		name := b.image("prod/app@" + far.Digest)
		contains(t, b.stig(t, 0, allow(name)...).stdout, "docker run "+name+"\n")
		b.works(t, "run", "--network", "none", name)
	})
	t.Run("held under no digest of its repository", func(t *testing.T) {
		b.works(t, "tag", unsigned.ID, b.image("local/app:1"))
		out := b.stig(t, 1, allow(b.image("local/app:1"))...)
		_, said, _ := strings.Cut(out.stderr, "docker stig authz allow ")
		local, _, _ := strings.Cut(said, " ")
		contains(t, local, b.image("local/app@"+unsigned.ID))
		_, run, _ := strings.Cut(b.stig(t, 0, allow(local)...).stdout, "docker run ")
		run, _, _ = strings.Cut(run, "\n")
		b.works(t, "run", "--network", "none", run)
		b.stig(t, 0, "authz", "allow", "--end", local)
		b.refused(t, "", "run", "--network", "none", run)
	})
	t.Run("revoked beats it", func(t *testing.T) {
		b.stig(t, 0, allow(name)...)
		b.works(t, "run", "--network", "none", name)
		b.amend(t, map[string]any{"revoked": map[string]any{"digests": []string{unsigned.Digest}}})
		if err := plugin.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		await(t, "the policy is read", func() bool { return strings.Count(read(t, plugin.log), "policy in force") > 1 })
		b.untouched(t, func() {
			b.refused(t, "revoked", "run", "--network", "none", name)
			b.refused(t, "revoked", "start", "kept")
		})
		contains(t, b.stig(t, 2, allow(name)...).stderr, "no allowance opens what is revoked")
	})
}

// A sweep is what docker stig authz sweep tells a program.
type sweep struct {
	Judged, Allowed, NotRunning int
	Refused, Unanswered         []struct {
		Name, Image, Since, Restart, Reason string
		Stopped                             bool
	}
}

func (b *bed) sweepJSON(t *testing.T, code int, args ...string) sweep {
	t.Helper()
	var s sweep
	fromJSON(t, b.stig(t, code, append([]string{"authz", "sweep", "--format", "json"}, args...)...).stdout, &s)
	return s
}

func (b *bed) state(t *testing.T, name string) string {
	t.Helper()
	return strings.TrimSpace(b.works(t, "inspect", "--format", "{{.State.Status}}", name).stdout)
}

// testSweep finds what runs although it would be refused, and stops that alone.
func testSweep(t *testing.T, engine testbed.Engine) {
	t.Helper()
	b := newBed(t, engine)
	signed := b.must(t)(b.Sign(t.Context(), "prod/app:1"))
	unsigned := b.must(t)(b.UnsignedImage(t.Context(), "prod/app:unsigned"))
	other := b.must(t)(b.Sign(t.Context(), "dev/app:1"))
	if err := b.Pin("enforced", "prod/app"); err != nil {
		t.Fatal(err)
	}
	idle := func(name, image string, options ...string) []string {
		args := append([]string{"run", "--detach", "--name", name, "--network", "none", "--stop-signal", "KILL"}, options...)
		return append(args, image, "/bin/sleep", "1000")
	}
	b.works(t, idle("old", unsigned.Ref, "--restart", "always")...)
	b.works(t, idle("flaky", unsigned.Ref, "--restart", "on-failure")...)
	b.works(t, idle("stays", unsigned.Ref, "--restart", "unless-stopped")...)
	b.works(t, "create", "--name", "idle", "--network", "none", unsigned.Ref)
	b.enforceWatched(t) // restarts the engine, which starts old again
	b.works(t, idle("good", signed.Ref)...)

	t.Run("older than the plugin", func(t *testing.T) {
		out := b.stig(t, 2, "authz", "sweep")
		contains(t, out.stdout, "old (", unsigned.Ref, "unsigned", "ago)", "always: once stopped", "docker rm old",
			"on-failure: once stopped",
			"Judged 5 containers: 3 run that would be refused", "1 does not run and would be refused at start (--all")
		for _, name := range []string{"good (", "idle ("} {
			if strings.Contains(out.stdout, name) {
				t.Errorf("%s is named:\n%s", name, out.stdout)
			}
		}
		contains(t, b.stig(t, 2, "authz", "sweep", "--all").stdout, "old (", "idle (")
		found := b.sweepJSON(t, 2)
		if found.Judged != 5 || found.NotRunning != 1 || len(found.Unanswered) != 0 || len(found.Refused) != 3 {
			t.Errorf("found %+v", found)
		}
		for _, one := range found.Refused {
			if want := map[string]string{"old": "always", "flaky": "on-failure", "stays": "unless-stopped"}[one.Name]; one.Restart != want || one.Since == "" || one.Reason != "unsigned" {
				t.Errorf("found %+v", one)
			}
		}
	})
	t.Run("stopped", func(t *testing.T) {
		b.untouched(t, func() {
			contains(t, b.stig(t, 1, "authz", "sweep", "--stop").stderr, "nobody is there to ask")
		})
		contains(t, b.stig(t, 0, "authz", "sweep", "--stop", "--yes").stdout, "Stopped old (", "docker rm old")
		if old, good := b.state(t, "old"), b.state(t, "good"); old != "exited" || good != "running" {
			t.Errorf("old is %s, good is %s", old, good)
		}
		b.untouched(t, func() { b.refused(t, "unsigned", "start", "old") })
	})
	t.Run("started again by the engine itself", func(t *testing.T) {
		if err := b.RestartEngine(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{"old": "running", "flaky": "running", "stays": "exited"} {
			if got := b.state(t, name); got != want {
				t.Errorf("%s is %s, want %s", name, got, want)
			}
		}
		b.untouched(t, func() { b.refused(t, "unsigned", "update", "--restart=on-failure", "old") })
		if out := b.docker(t, "update", "--restart=no", "old"); out.code != 0 {
			t.Errorf("it cannot be kept from starting again: %s", out.stderr)
		}
		b.stig(t, 0, "authz", "sweep", "--stop", "--yes")
		b.works(t, "rm", "old", "flaky", "stays")
		b.works(t, "start", "good")
		b.stig(t, 0, "authz", "sweep")
	})
	t.Run("allowed by break-glass", func(t *testing.T) {
		name := b.image("prod/app@" + unsigned.Digest)
		b.stig(t, 0, "authz", "allow", name, "--for", "1h", "--reason", "outage", "--yes")
		b.works(t, idle("glass", name)...)
		if found := b.sweepJSON(t, 0); found.Allowed != 1 || len(found.Refused) != 0 {
			t.Errorf("found %+v", found)
		}
		b.stig(t, 0, "authz", "allow", "--end", name)
		found := b.sweepJSON(t, 0, "--stop", "--yes")
		if len(found.Refused) != 1 || found.Refused[0].Name != "glass" || !found.Refused[0].Stopped || b.state(t, "glass") != "exited" {
			t.Errorf("found %+v", found)
		}
	})
	t.Run("signature withdrawn", func(t *testing.T) {
		b.works(t, "trust", "revoke", "--yes", signed.Ref)
		b.stig(t, 0, "authz", "sweep") // it was approved when it was made
		b.amend(t, map[string]any{"requests": map[string]any{"start": "current"}})
		contains(t, b.stig(t, 2, "authz", "sweep").stdout, "good (", "unsigned")
		b.stig(t, 0, "authz", "sweep", "--stop", "--yes")
		if good := b.state(t, "good"); good != "exited" {
			t.Errorf("good is %s", good)
		}
	})
	t.Run("permissive", func(t *testing.T) {
		b.amend(t, map[string]any{"requests": map[string]any{}})
		text := strings.Replace(read(t, b.PolicyFile()), `"enforced"`, `"permissive"`, 1)
		if err := os.WriteFile(b.PolicyFile(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		contains(t, b.stig(t, 0, "authz", "sweep").stderr, "the policy is permissive")
	})
	t.Run("unanswered", func(t *testing.T) {
		name := b.image("dev/app@" + other.Digest)
		if err := b.Pin("enforced", "prod/app"); err != nil {
			t.Fatal(err)
		}
		b.stig(t, 0, "authz", "allow", name, "--for", "1h", "--reason", "to have one that nobody asked Notary about", "--yes")
		b.works(t, idle("unknown", name)...)
		b.stig(t, 0, "authz", "allow", "--end", name)
		if err := b.Pin("enforced", "prod/app", "dev/app"); err != nil {
			t.Fatal(err)
		}
		if err := b.StopNotary(t.Context()); err != nil {
			t.Fatal(err)
		}
		found := b.sweepJSON(t, 3, "--stop", "--yes")
		if len(found.Refused) != 0 || len(found.Unanswered) != 1 || found.Unanswered[0].Name != "unknown" || found.Unanswered[0].Reason != "unreachable" {
			t.Errorf("found %+v", found)
		}
		if state := b.state(t, "unknown"); state != "running" {
			t.Errorf("what could not be judged is %s", state)
		}
		contains(t, b.stig(t, 3, "authz", "sweep").stdout, "Could not be judged", "unknown (")
	})
}
