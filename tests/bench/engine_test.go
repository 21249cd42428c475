package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/tests/testbed"
)

const (
	ourName   = "docker-stig-authz"
	theirName = "allow-all"
)

// A bed is a real engine and both plugins, of which it asks one at a time.
type bed struct {
	*testbed.Testbed
	engine *asker
	ours   *plugin
	create []byte // the body of a request
}

func newBed(b *testing.B, engine testbed.Engine) *bed {
	b.Helper()
	bed := &bed{Testbed: testbed.Start(b, engine)}
	image, err := bed.Sign(b.Context(), "prod/app:1")
	if err != nil {
		b.Fatal(err)
	}
	root, err := bed.RootKeyID("prod/app")
	if err != nil {
		b.Fatal(err)
	}
	if err := bed.WritePolicy(object{
		"content-trust": object{"mode": "enforced", "trust-pinning": object{"root-keys": object{bed.Registry() + "/prod/*": []string{root}}}},
		"requests":      object{"start": "recorded"},
	}); err != nil {
		b.Fatal(err)
	}
	bed.engine = newAsker(b, filepath.Join(bed.Dir(), "d.sock"))
	bed.create = createBody(b, image.Ref)
	bed.ours = ours(b, bed.PolicyFile(), filepath.Join(bed.PluginSockets(), ourName+".sock"))
	theirs(b, filepath.Join(bed.PluginSockets(), theirName+".sock"))
	return bed
}

// use makes the engine ask one plugin from now on.
func (bed *bed) use(b *testing.B, name string) {
	b.Helper()
	before := bed.reloads(b)
	writeJSON(b, bed.DaemonJSON(), object{"authorization-plugins": []string{name}})
	pid, err := bed.EnginePID()
	if err != nil {
		b.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		b.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); bed.reloads(b) == before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			b.Fatal("the engine does not read its configuration again")
		}
	}
}

// reloads is how often the engine has taken a new configuration: it says so
// when the plugins are in place.
func (bed *bed) reloads(b *testing.B) int {
	b.Helper()
	log, err := os.ReadFile(filepath.Join(bed.Dir(), "log", "engine"))
	if err != nil {
		b.Fatal(err)
	}
	return bytes.Count(log, []byte("Reloaded configuration"))
}

// timed is how long a request took.
func (bed *bed) timed(b *testing.B, method, path string, body []byte) (time.Duration, []byte) {
	b.Helper()
	answer := bed.engine.ask(b, method, path, body)
	return bed.engine.took[len(bed.engine.took)-1], answer
}

// makeOne makes a container and gives its ID.
func (bed *bed) makeOne(b *testing.B) (time.Duration, string) {
	b.Helper()
	took, answer := bed.timed(b, http.MethodPost, "/containers/create", bed.create)
	var made struct {
		ID string `json:"Id"`
	}
	if err := json.Unmarshal(answer, &made); err != nil || made.ID == "" {
		b.Fatalf("answer %s, %v", answer, err)
	}
	return took, made.ID
}

func (bed *bed) timeCreate(b *testing.B) time.Duration {
	b.Helper()
	took, id := bed.makeOne(b)
	bed.engine.ask(b, http.MethodDelete, "/containers/"+id, nil)
	return took
}

func (bed *bed) timeList(b *testing.B) time.Duration {
	b.Helper()
	took, _ := bed.timed(b, http.MethodGet, "/containers/json", nil)
	return took
}

// BenchmarkEngine has a real engine ask one plugin and the other, round by
// round, and reports what ours adds to its answers, and what memory it has.
func BenchmarkEngine(b *testing.B) {
	for _, engine := range []testbed.Engine{testbed.Docker, testbed.Moby} {
		b.Run(string(engine), func(b *testing.B) {
			on := newBed(b, engine)
			b.Run("Create", func(b *testing.B) { on.added(b, 10, (*bed).timeCreate) })
			b.Run("List", func(b *testing.B) { on.added(b, 100, (*bed).timeList) })
			b.Run("Memory", on.memory)
		})
	}
}

// added compares a request with one plugin and with the other. What a machine
// does beside changes from minute to minute, so each round is compared by
// itself: reported is the median of the rounds, each the difference of medians.
func (bed *bed) added(b *testing.B, times int, request func(*bed, *testing.B) time.Duration) {
	b.Helper()
	const rounds = 20
	var added, with []time.Duration
	for b.Loop() {
		for range rounds {
			took := map[string]time.Duration{}
			for _, name := range []string{theirName, ourName} {
				bed.use(b, name)
				request(bed, b) // the first finds connections and memory cold
				var each []time.Duration
				for range times {
					each = append(each, request(bed, b))
				}
				took[name] = median(each)
			}
			added, with = append(added, took[ourName]-took[theirName]), append(with, took[ourName])
		}
	}
	b.ReportMetric(milliseconds(median(added)), "ms-added-p50")
	b.ReportMetric(milliseconds(median(with)), "ms-p50")
}

func median(of []time.Duration) time.Duration {
	slices.Sort(of)
	return of[len(of)/2]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// memory is what the plugin holds when it has answered, and when it has
// approved 1,000 containers.
func (bed *bed) memory(b *testing.B) {
	const approvals = 1000
	bed.use(b, ourName)
	for b.Loop() {
		for range 100 {
			bed.timeList(b)
		}
		served := bed.resident(b)
		var made []string
		for range approvals {
			_, id := bed.makeOne(b)
			made = append(made, id)
		}
		b.ReportMetric(served, "MiB-served")
		b.ReportMetric(bed.resident(b), "MiB-approved")
		for _, id := range made {
			bed.engine.ask(b, http.MethodDelete, "/containers/"+id, nil)
		}
	}
}

// resident is in MiB.
func (bed *bed) resident(b *testing.B) float64 {
	b.Helper()
	bytes, err := bed.ours.resident()
	if err != nil {
		b.Fatal(fmt.Errorf("reading what the plugin holds: %w", err))
	}
	return float64(bytes) / (1 << 20)
}
