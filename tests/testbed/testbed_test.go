package testbed

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/go-plugins-helpers/authorization"
	"github.com/google/go-cmp/cmp"

	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// TestTestbed goes through what a testbed can do on the real thing.
func TestTestbed(t *testing.T) {
	t.Parallel()
	roundTrip(t, Start(t, Docker))
}

// TestMoby does the same on the engine with the containerd image store.
func TestMoby(t *testing.T) {
	t.Parallel()
	tb := Start(t, Moby)
	info, err := tb.Docker(t.Context(), "info", "--format", "{{json .DriverStatus}}")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(info, "io.containerd.snapshotter.v1") {
		t.Errorf("the engine's image store is not containerd's: %s", info)
	}
	roundTrip(t, tb)
}

// A trial is a testbed in the hands of tests, which follow on one another.
type trial struct{ *Testbed }

func roundTrip(t *testing.T, tb *Testbed) {
	t.Helper()
	trial := trial{tb}
	t.Run("environment", trial.environment)
	t.Run("sign", trial.sign)
	t.Run("signer", trial.signer)
	t.Run("several signers", trial.signers)
	t.Run("unsigned", trial.unsigned)
	t.Run("moved tag", trial.moveTag)
	t.Run("policy", trial.pin)
	t.Run("notary away", trial.notaryAway)
	t.Run("restart", trial.restart)
	t.Run("plugin", trial.plugin)
	t.Run("in use", trial.inUse)
	t.Run("down", trial.down)
}

// environment holds the file that a person sources against Env.
func (tb trial) environment(t *testing.T) {
	cmd := command(t.Context(), "/bin/sh", "-c", `. "$1" && env`, "sh", tb.path("env"))
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "DOCKER_CONTEXT=elsewhere", "DOCKER_CONTENT_TRUST=1"}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "DOCKER_") || strings.HasPrefix(line, "STIG_") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	want := slices.Sorted(slices.Values(tb.Env()))
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("sourcing env gives other variables than Env (-want +got):\n%s", diff)
	}
	var status strings.Builder
	if healthy, err := tb.WriteStatus(&status); err != nil || !healthy {
		t.Errorf("not all runs (%v):\n%s", err, status.String())
	}
}

// A trustData is what `docker trust inspect` says of one name.
type trustData struct {
	SignedTags []struct {
		SignedTag, Digest string
		Signers           []string
	}
	AdministrativeKeys []struct {
		Name string
		Keys []struct{ ID string }
	}
}

func (tb trial) inspect(t *testing.T, ref string) trustData {
	t.Helper()
	out, err := tb.Docker(t.Context(), "trust", "inspect", ref)
	if err != nil {
		t.Fatal(err)
	}
	var answer []trustData
	if err := json.Unmarshal([]byte(out), &answer); err != nil || len(answer) != 1 {
		t.Fatalf("docker trust inspect %s: %v in %s", ref, err, out)
	}
	return answer[0]
}

func (tb trial) sign(t *testing.T) {
	image, err := tb.Sign(t.Context(), "app:1")
	if err != nil {
		t.Fatal(err)
	}
	got := tb.inspect(t, image.Ref)
	if len(got.SignedTags) != 1 || "sha256:"+got.SignedTags[0].Digest != image.Digest {
		t.Fatalf("signed %s, and docker trust inspect shows %+v", image.Digest, got.SignedTags)
	}
	if diff := cmp.Diff([]string{DefaultSigner}, got.SignedTags[0].Signers); diff != "" {
		t.Errorf("signers (-want +got):\n%s", diff)
	}

	certID, err := tb.RootCertID("app")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range got.AdministrativeKeys {
		if key.Name == "Root" && key.Keys[0].ID != certID {
			t.Errorf("RootCertID is %s, docker trust inspect says %s", certID, key.Keys[0].ID)
		}
	}
	keyID, err := tb.RootKeyID(tb.Registry() + "/app")
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(filepath.Join(tb.path("config"), "trust", "private", keyID+".key"))
	if err != nil || !strings.Contains(string(key), "role: root") {
		t.Errorf("RootKeyID is %s, which is no root key of docker trust: %v", keyID, err)
	}
}

func (tb trial) signers(t *testing.T) {
	image, err := tb.Sign(t.Context(), "team/app:1", "qa", "security")
	if err != nil {
		t.Fatal(err)
	}
	got := tb.inspect(t, image.Ref)
	if len(got.SignedTags) != 1 {
		t.Fatalf("docker trust inspect shows %+v", got)
	}
	slices.Sort(got.SignedTags[0].Signers)
	if diff := cmp.Diff([]string{"qa", "security"}, got.SignedTags[0].Signers); diff != "" {
		t.Errorf("signers (-want +got):\n%s", diff)
	}
}

func (tb trial) unsigned(t *testing.T) {
	image, err := tb.UnsignedImage(t.Context(), "unsigned:1")
	if err != nil {
		t.Fatal(err)
	}
	if image.Digest == "" || image.ID == "" {
		t.Errorf("the image is not in both engine and registry: %+v", image)
	}
	out, err := tb.Docker(t.Context(), "trust", "inspect", image.Ref)
	if err == nil {
		t.Errorf("docker trust inspect finds signatures: %s", out)
	}
	if _, err := tb.RootKeyID("unsigned"); err == nil {
		t.Error("a repository that nobody signed has a root key")
	}
}

func (tb trial) moveTag(t *testing.T) {
	signed, err := tb.Sign(t.Context(), "moving:1")
	if err != nil {
		t.Fatal(err)
	}
	before := tb.marker(t, signed.Ref)
	moved, err := tb.MoveTag(t.Context(), "moving:1")
	if err != nil {
		t.Fatal(err)
	}
	if moved.Ref != signed.Ref || moved.Digest == signed.Digest || moved.ID == signed.ID {
		t.Errorf("moved %+v to %+v", signed, moved)
	}
	if after := tb.marker(t, signed.Ref); after == before {
		t.Errorf("the moved tag still runs %q", after)
	}
	if got := tb.inspect(t, signed.Ref); "sha256:"+got.SignedTags[0].Digest != signed.Digest {
		t.Errorf("signed is now %s, was %s", got.SignedTags[0].Digest, signed.Digest)
	}
	// What was signed is still to be had, by its digest.
	if got := tb.marker(t, tb.Registry()+"/moving@"+signed.Digest); got != before {
		t.Errorf("what was signed runs %q, ran %q", got, before)
	}
	if _, err := tb.MoveTag(t.Context(), "never-made:1"); err == nil {
		t.Error("a tag was moved that never existed")
	}
}

// marker runs an image and returns what tells its content from others'.
func (tb trial) marker(t *testing.T, ref string) string {
	t.Helper()
	out, err := tb.Docker(t.Context(), "run", "--rm", "--network", "none", ref)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (tb trial) pin(t *testing.T) {
	if err := tb.Pin("enforced", "app"); err != nil {
		t.Fatal(err)
	}
	id, err := tb.RootKeyID("app")
	if err != nil {
		t.Fatal(err)
	}
	got, err := policy.Load(tb.PolicyFile())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{tb.Registry() + "/app": {id}}
	if diff := cmp.Diff(want, got.ContentTrust.TrustPinning.RootKeys); diff != "" || got.ContentTrust.Mode != policy.Enforced {
		t.Errorf("mode %q, pins (-want +got):\n%s", got.ContentTrust.Mode, diff)
	}
	if diff := cmp.Diff(map[string][]string{tb.Registry(): {tb.NotaryURL()}}, got.Notary.Servers); diff != "" {
		t.Errorf("servers (-want +got):\n%s", diff)
	}
}

func (tb trial) notaryAway(t *testing.T) {
	ctx := t.Context()
	if err := tb.StopNotary(ctx); err != nil {
		t.Fatal(err)
	}
	if err := tb.notaryAnswers(tb.NotaryURL())(ctx); err == nil {
		t.Error("the Notary server answers although it was stopped")
	}
	for range 2 { // starting what runs is fine
		if err := tb.StartNotary(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if got := tb.inspect(t, tb.Registry()+"/app:1"); len(got.SignedTags) != 1 {
		t.Errorf("the Notary server came back without its data: %+v", got)
	}
}

func (tb trial) restart(t *testing.T) {
	ctx := t.Context()
	// A key that the testbed sets by flag as well, and live-restore, so that
	// a container shows that the namespaces stay.
	if err := tb.RestartEngine(ctx, []byte(`{"labels": ["restarted=yes"], "iptables": false, "live-restore": true}`)); err != nil {
		t.Fatal(err)
	}
	labels, err := tb.Docker(ctx, "info", "--format", "{{.Labels}}")
	if err != nil || !strings.Contains(labels, "restarted=yes") {
		t.Errorf("the engine has labels %s after the restart: %v", labels, err)
	}
	if _, err := tb.Docker(ctx, "run", "--detach", "--name", "survivor", "--network", "none", tb.Registry()+"/app:1", "sleep", "1000"); err != nil {
		t.Fatal(err)
	}
	if err := tb.RestartEngine(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if out, err := tb.Docker(ctx, "exec", "survivor", "cat", "/marker"); err != nil || out == "" {
		t.Errorf("a container does not survive the restart under live-restore: %v", err)
	}
	if _, err := tb.Docker(ctx, "create", "--network", "none", tb.Registry()+"/app:1"); err != nil {
		t.Fatal(err)
	}
	states, err := tb.States(ctx)
	if diff := cmp.Diff(map[string]int{"running": 1, "created": 1}, states); diff != "" || err != nil {
		t.Errorf("containers by state: %v (-want +got):\n%s", err, diff)
	}
	// It ignores the signal that would stop it.
	if _, err := tb.Docker(ctx, "rm", "--force", "survivor"); err != nil {
		t.Fatal(err)
	}
	before, err := tb.EnginePID()
	if err != nil {
		t.Fatal(err)
	}
	if err := tb.RestartEngine(ctx, []byte(`{"labels": `)); err == nil {
		t.Error("a broken daemon.json was taken")
	}
	if after, err := tb.EnginePID(); err != nil || after != before {
		t.Errorf("a broken daemon.json stopped the engine: %v", err)
	}
	// What dockerd itself refuses is known only when it has stopped; its own
	// words come with the error, and the next restart mends it.
	err = tb.RestartEngine(ctx, []byte(`{"no-such-option": true}`))
	if err == nil || !strings.Contains(err.Error(), "no-such-option") {
		t.Errorf("dockerd's reason is not in the error: %v", err)
	}
	if err := tb.RestartEngine(ctx, []byte("{}")); err != nil {
		t.Fatal(err)
	}
}

// plugin puts a plugin's socket where PluginSockets says, and proves that
// the engine asks it.
func (tb trial) plugin(t *testing.T) {
	ctx := t.Context()
	handler := authorization.NewHandler(denyCreate{})
	done := make(chan error, 1)
	listener := listenUnix(t, filepath.Join(tb.PluginSockets(), "deny-create.sock"))
	go func() { done <- handler.Serve(listener) }()
	t.Cleanup(func() {
		if err := tb.RestartEngine(context.WithoutCancel(ctx), []byte("{}")); err != nil {
			t.Error(err)
		}
		_ = listener.Close()
		<-done
	})
	if err := tb.RestartEngine(ctx, []byte(`{"authorization-plugins": ["deny-create"]}`)); err != nil {
		t.Fatal(err)
	}
	before, err := tb.Containers(ctx)
	if err != nil {
		t.Fatal(err)
	}
	_, err = tb.Docker(ctx, "run", "--network", "none", tb.Registry()+"/app:1")
	if err == nil || !strings.Contains(err.Error(), "not on my watch") {
		t.Errorf("the engine does not ask its plugin: %v", err)
	}
	after, err := tb.Containers(ctx)
	if err != nil || len(after) != len(before) {
		t.Errorf("%d containers before the refused one, %d after: %v", len(before), len(after), err)
	}
}

type denyCreate struct{}

func (denyCreate) AuthZReq(r authorization.Request) authorization.Response {
	if r.RequestMethod == http.MethodPost && strings.HasSuffix(r.RequestURI, "/containers/create") {
		return authorization.Response{Msg: "not on my watch"}
	}
	return authorization.Response{Allow: true}
}

func (denyCreate) AuthZRes(authorization.Request) authorization.Response {
	return authorization.Response{Allow: true}
}

func (tb trial) inUse(t *testing.T) {
	_, err := Up(t.Context(), Options{Dir: tb.Dir()})
	if err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second testbed in the folder: %v", err)
	}
	if healthy, err := tb.WriteStatus(new(strings.Builder)); err != nil || !healthy {
		t.Errorf("the refused one damaged the first: %v", err)
	}
}

// down ends with a container running, whose process has to go too.
func (tb trial) down(t *testing.T) {
	ctx := t.Context()
	if _, err := tb.Docker(ctx, "run", "--detach", "--network", "none", tb.Registry()+"/app:1", "sleep", "1000"); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	for range 2 { // a second time is no error
		if err := tb.Down(ctx); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("down took %v", time.Since(begin))
	nothingLeft(t, tb.Dir(), tb.id)
	if _, err := Open(tb.Dir()); err == nil {
		t.Error("the testbed can be opened after it was taken down")
	}
}
