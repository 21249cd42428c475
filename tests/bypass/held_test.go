package bypass

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/admission"
	"github.com/docker-stig/docker-stig/shared/engine"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
	"github.com/docker-stig/docker-stig/tests/testbed"
)

// TestHeldContainer: who asks for a copy of a container's files and does not
// read it keeps the engine from telling of the container. A sweep goes on
// without it, and says that it runs.
func TestHeldContainer(t *testing.T) {
	t.Parallel()
	for _, kind := range []testbed.Engine{testbed.Docker, testbed.Moby} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			b := newBed(t, kind)
			held, unsigned := b.try(attempt{}), b.try(attempt{})
			for a, image := range map[*try]string{held: b.signed.Ref, unsigned: b.unsigned.Ref} {
				id, err := a.create(t.Context(), "stays", container(image, a.script("exec sleep 1000"), nil))
				if err == nil {
					_, err = a.call(t.Context(), http.MethodPost, "/containers/"+id+"/start", nil)
				}
				if err != nil {
					t.Fatal(err)
				}
				a.made["id"] = id
			}
			hold(t, b, held.made["id"])
			p, err := policy.Load(b.PolicyFile())
			if err != nil {
				t.Fatal(err)
			}
			client := engine.NewClient("unix://"+b.socket, time.Now)
			t.Cleanup(func() { _ = client.Close() })
			log := slog.New(slog.DiscardHandler)
			judge := admission.Judge{
				Engine: client, Now: time.Now, Log: log,
				Verifier: policy.NewVerifier(p, policy.Options{Now: time.Now, StateDir: t.TempDir(), Log: log}),
			}
			all, err := judge.All(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			found := map[string]admission.Judged{}
			for _, one := range all {
				found[one.Container.ID] = one
			}
			if one := found[held.made["id"]]; !errors.Is(one.Err, context.DeadlineExceeded) || admission.Conclusive(one.Err) || !one.Container.Running {
				t.Errorf("of the one that is held: %+v", one)
			}
			if one := found[unsigned.made["id"]]; !admission.Conclusive(one.Err) || !one.Container.Running {
				t.Errorf("of the one that nobody signed: %+v", one)
			}
		})
	}
}

// hold asks for a copy of a container's files until the test ends, and waits
// until the engine has begun to send it.
func hold(t *testing.T, b *bed, id string) {
	t.Helper()
	conn, err := b.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := conn.Write(ask{method: http.MethodGet, target: "/containers/" + id + "/archive?path=/bin"}.bytes()); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}
