package engine

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/engine/enginetest"
)

// TestStoppingTakesNoTimeOfTheContainers: a container may have set itself a
// time to end that is years, or none at all.
func TestStoppingTakesNoTimeOfTheContainers(t *testing.T) {
	t.Parallel()
	seconds := make(chan string, 1)
	engine := enginetest.Containerd()
	engine.Before = func(r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/stop") {
			seconds <- r.URL.Query().Get("t")
		}
	}
	engine.Start(t)
	c := NewClient(engine.URL(), time.Now)
	t.Cleanup(func() { _ = c.Close() })
	if err := c.StopContainer(t.Context(), containerID); err == nil {
		t.Error("a container that is not there is stopped")
	}
	if got := <-seconds; got != "10" {
		t.Errorf("the engine was told to wait %q seconds", got)
	}
}

// TestForcedReadOnlyByVersion: engines before 25.0 drop the option unread.
func TestForcedReadOnlyByVersion(t *testing.T) {
	t.Parallel()
	for api, want := range map[string]bool{"1.41": false, "1.43": false, "1.44": true, "1.55": true, "1.100": true} {
		engine := enginetest.Graphdriver()
		engine.API = api
		engine.Start(t)
		c := NewClient(engine.URL(), time.Now)
		t.Cleanup(func() { _ = c.Close() })
		facts, err := c.Facts(t.Context())
		if err != nil || facts.ReadOnly != want {
			t.Errorf("API %s: got %v, %v", api, facts.ReadOnly, err)
		}
	}
}
