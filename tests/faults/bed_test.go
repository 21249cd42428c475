package faults

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/authz-plugin/authz"
	"github.com/docker-stig/docker-stig/tests/testbed"
)

const (
	// slack is what a request may take beside its decision: the engine asks
	// again after 1 s, and 2 s after that, when a question was cut, and the
	// machine has better things to do.
	slack = 8 * time.Second
	// deadline is how long a client may wait for any answer.
	deadline = authz.DecisionTimeout + slack
	// patience is how long a test waits for something that has to come.
	patience = 30 * time.Second
	// refresh is how long the plugin believes what it knows of a repository.
	// It is short, so that a trust server's fault shows within a test.
	refresh = 500 * time.Millisecond
)

// A bed is an engine that asks a plugin, with signed and unsigned images of one
// repository and a container of older days that was never started.
type bed struct {
	*testbed.Testbed
	kind             testbed.Engine
	client           client
	notary           *notary
	plugin           *plugin
	witness          *witness
	signed, unsigned testbed.Image
	moved            testbed.Image // under a tag that was signed for other content
	marker           string        // what the signed image says
	old              string        // ID of the unsigned container
	before           weight        // of the plugin, when few policies had been replaced
	names            int           // given so far
}

// oldName is the name of the container of older days.
const oldName = "of-older-days"

func newBed(t *testing.T, engine testbed.Engine) *bed {
	t.Helper()
	b := &bed{Testbed: testbed.Start(t, engine), kind: engine}
	b.client = newClient(b)
	b.notary = startNotary(t, b)
	ctx := t.Context()
	var errs [4]error
	b.signed, errs[0] = b.Sign(ctx, "prod/app:1")
	b.unsigned, errs[1] = b.UnsignedImage(ctx, "prod/app:unsigned")
	_, errs[2] = b.Sign(ctx, "prod/app:moved")
	b.moved, errs[3] = b.MoveTag(ctx, "prod/app:moved")
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	marker, err := b.Docker(ctx, "run", "--rm", "--network", "none", b.signed.Ref)
	if err != nil {
		t.Fatal(err)
	}
	b.marker = marker
	if b.old, _, err = b.client.create(ctx, oldName, b.unsigned.Ref); err != nil || b.old == "" {
		t.Fatalf("no container of older days: %v", err)
	}
	b.writePolicy(t, nil)
	b.witness = follow(t, b)
	b.plugin = newPlugin(t, b)
	return b
}

// policy is the site's: enforced, one pin for all of prod.
func (b *bed) policy(t *testing.T, change object) object {
	t.Helper()
	root, err := b.RootKeyID("prod/app")
	if err != nil {
		t.Fatal(err)
	}
	sections := object{
		"content-trust": object{
			"mode":          "enforced",
			"trust-pinning": object{"root-keys": object{b.Registry() + "/prod/*": []string{root}}},
		},
		"notary": object{
			"servers": object{b.Registry(): []string{b.notary.url}},
			"ca":      object{b.Registry(): b.CA()},
			"refresh": refresh.String(), "timeout": "1s",
		},
		"requests": object{"start": "recorded"},
		"sweep":    object{"every": "10m", "action": "log"},
		"metrics":  "unix://" + filepath.Join(b.PluginSockets(), "metrics.sock"),
		"engine":   "unix://" + filepath.Join(b.Dir(), "d.sock"),
	}
	for name, section := range change {
		sections[name] = section
	}
	return sections
}

func (b *bed) writePolicy(t *testing.T, change object) {
	t.Helper()
	if err := b.WritePolicy(b.policy(t, change)); err != nil {
		t.Fatal(err)
	}
}

// name makes a name that was not given before.
func (b *bed) name(what string) string {
	b.names++
	return fmt.Sprintf("%s-x%d", what, b.names)
}

// enforce has the engine ask the plugin from now on.
func (b *bed) enforce(t *testing.T) {
	t.Helper()
	if err := b.RestartEngine(t.Context(), []byte(`{"authorization-plugins": ["docker-stig-authz"]}`)); err != nil {
		t.Fatal(err)
	}
}

// nothingUnsigned wants no container to have started that is not of the signed
// content, by what the engine says of its containers and by its events.
func (b *bed) nothingUnsigned(t *testing.T) {
	t.Helper()
	list, err := b.Containers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list {
		if !c.Started.IsZero() && !b.isSigned(c.ImageID) && !b.witness.forgiven[c.ID] {
			t.Errorf("UNSIGNED CONTENT STARTED: %s of %s, %s", c.Name, c.Image, c.State)
		}
	}
	for _, start := range b.witness.strangers() {
		t.Errorf("UNSIGNED CONTENT STARTED: %s of %s, by the engine's events", start.Actor.ID, start.Actor.Attributes["image"])
	}
}

func (b *bed) isSigned(id string) bool { return id == b.signed.ID || b.witness.signed[id] }

// healthy wants the engine to run what is signed, and nothing else, and that
// the plugin decides it.
func (b *bed) healthy(t *testing.T) {
	t.Helper()
	if got, err := b.Docker(t.Context(), "run", "--rm", "--network", "none", b.signed.Ref); err != nil || got != b.marker {
		t.Errorf("the engine does not run what is signed: %q, %v", got, err)
	}
	if out, err := b.Docker(t.Context(), "run", "--rm", "--network", "none", b.unsigned.Ref); err == nil || !strings.Contains(err.Error(), "denied by plugin docker-stig-authz") {
		t.Errorf("the engine does not refuse what is not: %q, %v", out, err)
	}
	if got, err := b.client.ask(t.Context(), http.MethodGet, "/containers/json", nil); err != nil || got.code != http.StatusOK {
		t.Errorf("the engine does not list its containers: %+v, %v", got, err)
	}
}

// await waits until something holds that has to come.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
