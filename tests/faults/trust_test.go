package faults

import (
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/authz-plugin/authz"
)

// moods are the ways in which a trust server can fail those who ask, and
// whether an image that is known goes on.
var moods = []struct {
	name  string
	mood  mood
	known bool // goes on
}{
	{"silent", silent, true},
	{"a byte a second", slow, true},
	{"hanging up", hangingUp, true},
	{"answering 500", failing, true},
	{"answering garbage", garbage, true},
	{"answering what it said before", older, false}, // it is signed: a rollback, and a no
}

// trustServer has the trust server fail in every way. A container of a known
// image that was approved starts in any case, one of an unknown image never
// comes to be, and nobody who asks neither waits.
func trustServer(t *testing.T, b *bed) {
	t.Helper()
	b.notary.become(recording)
	approved, got, err := b.client.create(t.Context(), b.name("approved"), b.signed.Ref, "sleep", "1000")
	if err != nil || approved == "" {
		t.Fatalf("creating: %+v, %v", got, err)
	}
	b.settle(t)
	b.notary.become(honest)
	newer, err := b.Sign(t.Context(), "prod/app:newer") // so that what was recorded is old
	if err != nil {
		t.Fatal(err)
	}
	b.witness.signed[newer.Ref], b.witness.signed[newer.ID] = true, true
	await(t, "the plugin to hear of what was signed", func() bool {
		id, _, err := b.client.create(t.Context(), b.name("newer"), newer.Ref)
		return err == nil && id != ""
	})
	for _, m := range moods {
		t.Run(m.name, func(t *testing.T) {
			defer b.notary.become(honest)
			b.notary.become(m.mood)
			b.settle(t)
			b.under(t, approved, m.known)
		})
	}
	t.Run("away", func(t *testing.T) {
		b.pointAt(t, "https://localhost:1") // nobody listens there
		defer b.pointAt(t, b.notary.url)
		b.under(t, approved, true)
	})
	await(t, "the plugin to believe its trust server again", func() bool {
		id, _, err := b.client.create(t.Context(), b.name("again"), b.signed.Ref)
		return err == nil && id != ""
	})
}

// settle waits until the trust server was asked since, and what the plugin
// knew before is too old for it.
func (b *bed) settle(t *testing.T) {
	t.Helper()
	asked := b.notary.questions()
	await(t, "the plugin to ask its trust server", func() bool { return b.notary.questions() > asked })
	time.Sleep(2 * refresh) // the plugin's own measure of how old an answer may be
}

func (b *bed) pointAt(t *testing.T, url string) {
	t.Helper()
	policy := b.policy(t, nil)
	notary, _ := policy["notary"].(object)
	notary["servers"] = object{b.Registry(): []string{url}}
	b.plugin.reload(t, b.encode(t, object{"notary": notary}))
}

// under asks for everything while the trust server fails.
func (b *bed) under(t *testing.T, approved string, known bool) {
	t.Helper()
	stop := b.harmless(t, approved)
	defer stop()
	b.unknown(t)
	id, got, err := b.client.create(t.Context(), b.name("known"), b.signed.Ref)
	if err != nil || (id != "") != known || got.took > deadline {
		t.Errorf("a known image was made a container: %v, want %v: %+v, %v", id != "", known, got, err)
	}
	for _, verb := range []string{"start", "stop?t=0"} {
		got, err := b.client.ask(t.Context(), http.MethodPost, "/containers/"+approved+"/"+verb, nil)
		if err != nil || got.code != http.StatusNoContent || got.took > authz.DecisionTimeout {
			t.Errorf("%s of an approved container: %+v, %v", verb, got, err)
		}
	}
}

// unknown asks for an image of a repository that was never asked about, by
// several at once.
func (b *bed) unknown(t *testing.T) {
	t.Helper()
	ref := b.Registry() + "/prod/" + b.name("unknown") + ":1"
	if _, err := b.Docker(t.Context(), "tag", b.unsigned.Ref, ref); err != nil {
		t.Fatal(err)
	}
	answers := make([]answer, 4)
	errs := make([]error, len(answers))
	var group sync.WaitGroup
	for i := range answers {
		name := b.name("unknown")
		group.Go(func() { _, answers[i], errs[i] = b.client.create(t.Context(), name, ref) })
	}
	group.Wait()
	for i, got := range answers {
		if errs[i] != nil || !got.denied() || got.took > deadline {
			t.Errorf("an unknown image: %+v, %v", got, errs[i])
		}
	}
	t.Logf("denied after %v: %.300s", answers[0].took.Round(time.Millisecond), answers[0].body)
}

// quick is how long three in four harmless requests may take. If they waited
// for a trust server, all would take the second that the policy gives it; the
// few that meet the engine starting or stopping a container wait for that.
const quick = 250 * time.Millisecond

// harmless asks for what needs no judgement, again and again until it is
// stopped, and wants it done at once.
func (b *bed) harmless(t *testing.T, running string) (stop func()) {
	t.Helper()
	c := newClient(b)
	quit, done := make(chan struct{}), make(chan struct{})
	var took []time.Duration
	go func() {
		defer close(done)
		for {
			took = append(took, b.round(t, c, running)...)
			select {
			case <-quit:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() {
		t.Helper()
		close(quit)
		<-done
		c.CloseIdleConnections()
		slices.Sort(took)
		t.Logf("%d harmless requests, median %v, slowest %v", len(took), took[len(took)/2], took[len(took)-1])
		if most, slowest := took[len(took)*3/4], took[len(took)-1]; most > quick || slowest > authz.DecisionTimeout {
			t.Errorf("three in four harmless requests took %v or less, the slowest %v", most, slowest)
		}
	}
}

// round is one harmless request of each kind.
func (b *bed) round(t *testing.T, c client, name string) []time.Duration {
	t.Helper()
	var took []time.Duration
	for _, ask := range []struct {
		method, path string
		want         []int
	}{
		{http.MethodGet, "/containers/json?all=1", []int{http.StatusOK}},
		{http.MethodGet, "/containers/" + name + "/logs?stdout=1", []int{http.StatusOK}},
		{http.MethodPost, "/containers/" + b.old + "/stop?t=0", []int{http.StatusNotModified}},
		{http.MethodDelete, "/containers/there-is-none", []int{http.StatusNotFound}},
	} {
		got, err := c.ask(t.Context(), ask.method, ask.path, nil)
		if err != nil || !slices.Contains(ask.want, got.code) {
			t.Errorf("%s %s: %+v, %v", ask.method, ask.path, got, err)
		}
		took = append(took, got.took)
	}
	return took
}
