package faults

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker-stig/docker-stig/shared/disktest"
	"github.com/docker-stig/docker-stig/tests/testbed"
)

// diskFull fills the disk under the plugin's state and records. Decisions go
// on, and only what needs a disk suffers: a container made meanwhile has no
// approval, so its image is judged anew at each start.
func diskFull(t *testing.T, b *bed) {
	t.Helper()
	dir := disktest.New(t, 1<<10)
	old := filepath.Dir(b.plugin.state)
	b.plugin.stop(t)
	b.plugin.keepIn(dir)
	b.plugin.start(t)
	t.Cleanup(func() { // before the disk goes
		b.plugin.kill(t)
		b.plugin.keepIn(old)
		b.plugin.start(t)
	})

	image, err := b.Sign(t.Context(), "prod/rolling:1")
	if err != nil {
		t.Fatal(err)
	}
	b.witness.signed[image.Ref], b.witness.signed[image.ID] = true, true
	approved := b.made(t, image.Ref)
	await(t, "the approval to be written", func() bool { return b.approval(approved) })

	said := b.plugin.said()
	filler := disktest.Fill(t, dir)
	unapproved := b.made(t, image.Ref)
	for _, id := range []string{approved, unapproved} {
		if got := b.start(t, id); got.code != http.StatusNoContent {
			t.Errorf("a start on a full disk: %+v", got)
		}
	}
	b.healthy(t)
	await(t, "the plugin to say that its disk is full", func() bool {
		b.refused(t) // the file of records may have room for some more
		log := b.plugin.since(t, said)
		return strings.Contains(log, "approvals cannot be written") && strings.Contains(log, "decisions are not being recorded")
	})
	b.rollOn(t)
	if got := b.start(t, approved); got.code != http.StatusNoContent {
		t.Errorf("an approved container whose tag has moved on: %+v", got)
	}
	if got := b.start(t, unapproved); !got.denied() {
		t.Errorf("a container without approval whose tag has moved on: %+v", got)
	}

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	b.made(t, b.signed.Ref)
	await(t, "decisions to be recorded again", func() bool {
		log := b.plugin.since(t, said)
		return strings.Contains(log, "approvals are written again") && strings.Contains(log, "decisions are recorded again")
	})
}

// made makes a container of what is signed.
func (b *bed) made(t *testing.T, ref string) string {
	t.Helper()
	id, got, err := b.client.create(t.Context(), b.name("made"), ref)
	if err != nil || id == "" {
		t.Fatalf("creating a container of %s: %+v, %v", ref, got, err)
	}
	return id
}

// refused has a decision recorded.
func (b *bed) refused(t *testing.T) {
	t.Helper()
	if _, got, err := b.client.create(t.Context(), b.name("refused"), b.unsigned.Ref); err != nil || !got.denied() {
		t.Errorf("creating a container of what is unsigned: %+v, %v", got, err)
	}
}

func (b *bed) approval(id string) bool {
	_, err := os.Stat(filepath.Join(b.plugin.state, "approvals", id+".json"))
	return err == nil
}

func (b *bed) start(t *testing.T, id string) answer {
	t.Helper()
	got, err := b.client.ask(t.Context(), http.MethodPost, "/containers/"+id+"/start", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.code == http.StatusNoContent {
		await(t, "the container's end", func() bool {
			wait, err := b.client.ask(t.Context(), http.MethodPost, "/containers/"+id+"/wait", nil)
			return err == nil && wait.code == http.StatusOK
		})
	}
	return got
}

// rollOn signs other content under the tag, and waits until the plugin knows.
func (b *bed) rollOn(t *testing.T) {
	t.Helper()
	image, err := b.MoveTag(t.Context(), "prod/rolling:1")
	if err != nil {
		t.Fatal(err)
	}
	b.witness.signed[image.ID] = true
	if b.kind == testbed.Docker { // left to itself it would sign the old content once more
		_, err = b.Docker(t.Context(), "trust", "sign", "--local", image.Ref)
	} else {
		_, err = b.Sign(t.Context(), "prod/rolling:1")
	}
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the plugin to hear of what was signed", func() bool {
		id, _, err := b.client.create(t.Context(), b.name("rolled"), image.Ref)
		return err == nil && id != ""
	})
}
