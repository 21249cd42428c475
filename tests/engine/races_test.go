package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/tests/testbed"
)

// raceTime is how long each race runs. Before they were closed, these ways
// took one second and nine to succeed on two cores.
const raceTime = 12 * time.Second

func TestRacesOnDocker(t *testing.T) { testRaces(t, testbed.Docker) }

func TestRacesOnMoby(t *testing.T) { testRaces(t, testbed.Moby) }

// testRaces lets requests race each other, which one by one are judged well.
// The engine's own events tell whether unsigned content was ever started.
func testRaces(t *testing.T, engine testbed.Engine) {
	t.Helper()
	b := newBed(t, engine)
	signed := b.must(t)(b.Sign(t.Context(), "prod/app:1"))
	b.must(t)(b.Sign(t.Context(), "prod/app:2"))
	unsigned := b.must(t)(b.UnsignedImage(t.Context(), "prod/app:unsigned"))
	if err := b.Pin("enforced", "prod/app"); err != nil {
		t.Fatal(err)
	}
	if out := b.docker(t, "create", "--network", "none", "--name", "old", unsigned.Ref, "sleep", "1000"); out.code != 0 {
		t.Fatal(out.stderr)
	}
	b.enforce(t)
	api := newAPI(t, b)
	api.call("POST", "/images/"+unsigned.Ref+"/tag?repo="+url.QueryEscape(b.image("prod/app"))+"&tag=2", nil)
	moved := map[string]any{"Image": b.image("prod/app:2"), "Cmd": []string{"sleep", "1000"}, "HostConfig": map[string]any{"NetworkMode": "none"}}
	good := map[string]any{"Image": signed.Ref, "Cmd": []string{"sleep", "1000"}, "HostConfig": map[string]any{"NetworkMode": "none"}}

	t.Run("a name that begins another container's ID", func(t *testing.T) {
		first := api.create(t, "first", good)
		name := first[:12]
		api.call("POST", "/containers/"+first+"/start", nil)
		api.race(t, []string{unsigned.Ref, b.image("prod/app:2")}, 6,
			func() { api.call("POST", "/containers/"+name+"/start", nil) },
			func() { api.call("POST", "/containers/create?name="+name, moved) },
			func() { api.call("DELETE", "/containers/"+name+"?link=1", nil) })
		api.call("DELETE", "/containers/"+first+"?force=1", nil)
	})
	t.Run("a name that changes hands", func(t *testing.T) {
		api.race(t, []string{unsigned.Ref, b.image("prod/app:2")}, 6,
			func() { api.call("POST", "/containers/web/start", nil) },
			func() {
				api.call("POST", "/containers/create?name=web", good)
				api.call("POST", "/containers/web/rename?name=away", nil)
				api.call("POST", "/containers/create?name=web", moved)
				api.call("DELETE", "/containers/away?force=1", nil)
				api.call("DELETE", "/containers/web?force=1", nil)
			})
	})
	t.Run("an alias that changes hands", func(t *testing.T) {
		link := func(to string) map[string]any {
			return map[string]any{"Image": signed.Ref, "Cmd": []string{"sleep", "1000"}, "HostConfig": map[string]any{"NetworkMode": "none", "Links": []string{to}}}
		}
		api.create(t, "good", good)
		api.create(t, "pp", link("good:al"))
		api.create(t, "qq", link("old:al"))
		api.race(t, []string{unsigned.Ref}, 6,
			func() { api.call("POST", "/containers/pp/al/start", nil) },
			func() {
				api.call("POST", "/containers/pp/rename?name=rr", nil)
				api.call("POST", "/containers/qq/rename?name=pp", nil)
				api.call("POST", "/containers/pp/rename?name=qq", nil)
				api.call("POST", "/containers/rr/rename?name=pp", nil)
			})
	})
	for _, c := range b.containersOf(t, unsigned.ID) {
		if !c.Started.IsZero() {
			t.Errorf("%s (%s) was started at %v", c.Name, c.Image, c.Started)
		}
	}
}

func (b *bed) containersOf(t *testing.T, imageID string) []testbed.Container {
	t.Helper()
	list, err := b.Containers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var of []testbed.Container
	for _, c := range list {
		if c.ImageID == imageID {
			of = append(of, c)
		}
	}
	return of
}

// An api is the engine's, for somebody with the socket in hand.
type api struct{ client *http.Client }

func newAPI(t *testing.T, b *bed) api {
	t.Helper()
	socket := strings.TrimPrefix(b.variable("DOCKER_HOST"), "unix://")
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	t.Cleanup(client.CloseIdleConnections)
	return api{client}
}

// call gives the status and the body of an answer, 0 where there was none.
func (a api) call(method, path string, body any) (int, string) {
	var content io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return 0, err.Error()
		}
		content = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, "http://engine"+path, content)
	if err != nil {
		return 0, err.Error()
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text)
}

func (a api) create(t *testing.T, name string, body any) string {
	t.Helper()
	code, text := a.call("POST", "/containers/create?name="+name, body)
	var made struct{ ID string }
	fromJSON(t, text, &made)
	if code != http.StatusCreated || len(made.ID) != 64 {
		t.Fatalf("create %s: %d %s", name, code, text)
	}
	return made.ID
}

// race runs the first attempt in several loops beside the others, and fails if
// the engine ever says that it started a container of one of the images.
func (a api) race(t *testing.T, images []string, loops int, first func(), others ...func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), raceTime)
	defer cancel()
	started := a.watch(ctx, images)
	var racers sync.WaitGroup
	run := func(attempt func()) {
		racers.Go(func() {
			for ctx.Err() == nil {
				attempt()
			}
		})
	}
	for range loops {
		run(first)
	}
	for _, other := range others {
		run(other)
	}
	racers.Wait()
	for event := range started {
		t.Errorf("unsigned content was started: %s", event)
	}
}

// watch reports the starts of containers of some images until ctx ends.
func (a api) watch(ctx context.Context, images []string) <-chan string {
	found := make(chan string, 1000)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine/events?filters="+url.QueryEscape(`{"type":["container"],"event":["start"]}`), nil)
	if err != nil {
		panic(err) // the address is ours
	}
	resp, err := a.client.Do(req)
	go func() {
		defer close(found)
		if err != nil {
			found <- "the engine's events cannot be had: " + err.Error()
			return
		}
		defer resp.Body.Close()
		decoder := json.NewDecoder(resp.Body)
		for {
			var event struct {
				Actor struct {
					ID         string
					Attributes map[string]string
				}
			}
			if decoder.Decode(&event) != nil {
				return
			}
			for _, image := range images {
				if event.Actor.Attributes["image"] == image {
					found <- event.Actor.ID + " " + image
				}
			}
		}
	}()
	return found
}
