package faults

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/tests/testbed"
)

// replacements is how often the policy is replaced under load; fewer on the
// second engine, which has no part in it.
var replacements = map[testbed.Engine]int{testbed.Docker: 1000, testbed.Moby: 300}

// policyReplaced replaces the policy by good ones and broken ones in turn. What
// is denied stays denied throughout, and the plugin grows by nothing.
func policyReplaced(t *testing.T, b *bed) {
	t.Helper()
	good, other := b.encode(t, nil), b.encode(t, object{"revoked": object{"digests": []string{"sha256:" + strings.Repeat("0", 64)}}})
	texts := []struct {
		text []byte
		good bool
	}{
		{good, true},
		{good[:len(good)/2], false},
		{other, true},
		{[]byte(`{"content-trust": {"mode": "disabled"}, "content-trust": {}}`), false},
		{good, true},
		{[]byte(`{"content-trust": {"mode": "disabled"}, "no-such-key": 1}`), false},
		{other, true},
		{nil, false},
	}
	defer b.plugin.reload(t, good)
	l := b.begin(t)
	replacements, said, wanted, began := replacements[b.kind], b.plugin.said(), 0, time.Now()
	for i := range replacements {
		next := texts[i%len(texts)]
		b.plugin.reload(t, next.text)
		if next.good {
			wanted++
		}
		if i == replacements/10 {
			b.before = b.weigh(t)
		}
	}
	t.Logf("%d policies in %v", replacements, time.Since(began).Round(time.Millisecond))
	log := b.plugin.since(t, said)
	if got := strings.Count(log, "policy in force"); got != wanted {
		t.Errorf("%d policies came into force, want %d", got, wanted)
	}
	if got := strings.Count(log, "the old one stays in force"); got != replacements-wanted {
		t.Errorf("the log tells of %d broken policies, want %d", got, replacements-wanted)
	}
	b.plugin.reload(t, good)
	l.answered(t, 2*clients)
	l.end(t)
	if now := b.plugin.size(t, "VmRSS"); now > b.before.memory+moreMemory {
		t.Errorf("memory grew from %d to %d MiB", b.before.memory>>20, now>>20)
	}
	b.withoutThePin(t, good)
}

// withoutThePin takes the pin away: the next request is judged without it, and
// a broken policy does not bring it back.
func (b *bed) withoutThePin(t *testing.T, good []byte) {
	t.Helper()
	b.plugin.reload(t, b.encode(t, object{"content-trust": object{"mode": "enforced"}}))
	for _, broken := range []bool{false, true} {
		if broken {
			b.plugin.reload(t, good[:len(good)-5])
		}
		_, got, err := b.client.create(t.Context(), b.name("unpinned"), b.signed.Ref)
		if err != nil || !got.denied() {
			t.Errorf("without a pin, the file broken %v: %+v, %v", broken, got, err)
		}
	}
}

// startedWithoutPolicy starts the plugin on a policy that cannot be read. The
// engine lives, nothing judged passes, and mending is enough.
func startedWithoutPolicy(t *testing.T, b *bed) {
	t.Helper()
	good, err := os.ReadFile(b.PolicyFile())
	if err != nil {
		t.Fatal(err)
	}
	defer b.plugin.reload(t, good)
	b.plugin.stop(t)
	if err := os.WriteFile(b.PolicyFile(), good[:len(good)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	b.plugin.start(t)
	for _, image := range []string{b.signed.Ref, b.unsigned.Ref} {
		if _, got, err := b.client.create(t.Context(), b.name("no-policy"), image); err != nil || !strings.Contains(got.body, "there is no policy to judge by") {
			t.Errorf("%s is not denied for want of a policy: %+v, %v", image, got, err)
		}
	}
	if got, err := b.client.ask(t.Context(), http.MethodGet, "/containers/json", nil); err != nil || got.code != http.StatusOK {
		t.Errorf("harmless: %+v, %v", got, err)
	}
}

func (b *bed) encode(t *testing.T, change object) []byte {
	t.Helper()
	raw, err := json.MarshalIndent(b.policy(t, change), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
