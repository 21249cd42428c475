package engine

import (
	"slices"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/docker-stig/docker-stig/shared/engine/enginetest"
)

// TestKnownImageIsInspectedOnce where the image ID does not name the content:
// what was said of it goes on to hold, what is new is found after a no, and
// another policy asks anew.
func TestKnownImageIsInspectedOnce(t *testing.T) {
	t.Parallel()
	const inspect = "GET /images/" + imageID + "/json"
	old, pulled := "localhost:5000/app@"+digest.FromString("old").String(), "localhost:5000/app@"+digest.FromString("new").String()
	engine := enginetest.Graphdriver().Start(t)
	engine.Images = []enginetest.Image{{ID: imageID, RepoDigests: []string{old}}}
	c := NewClient(engine.URL(), time.Now)
	t.Cleanup(func() { _ = c.Close() })
	inspected := func() int {
		asked := engine.Asked()
		return len(asked) - len(slices.DeleteFunc(asked, func(what string) bool { return what == inspect }))
	}
	made := Container{ID: containerID, ImageID: imageID, ImageName: "localhost:5000/app:v1"}
	for round := range 2 {
		images, err := Made(t.Context(), c, made)
		if err != nil {
			t.Fatal(err)
		}
		if got := images[0].Questions[0].Content.RepoDigests; !slices.Equal(got, []string{old}) || inspected() != 1 {
			t.Errorf("round %d: digests %v, inspected %d times", round, got, inspected())
		}
		if hasMore := images[0].More != nil; hasMore != (round > 0) {
			t.Errorf("round %d: there is more to ask: %v", round, hasMore)
		}
	}
	images, err := Contained(t.Context(), c, made)
	if err != nil {
		t.Fatal(err)
	}
	engine.Images[0].RepoDigests = []string{old, pulled}
	more, err := images[0].More(t.Context())
	if err != nil || !slices.Contains(more[0].Content.RepoDigests, pulled) || inspected() != 2 {
		t.Errorf("after a no: %v, %v, inspected %d times", more, err, inspected())
	}
	c.ForgetImages()
	if _, err := Contained(t.Context(), c, made); err != nil || inspected() != 3 {
		t.Errorf("after another policy: %v, inspected %d times", err, inspected())
	}
}
