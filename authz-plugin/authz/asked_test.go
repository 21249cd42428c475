package authz

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/docker-stig/docker-stig/shared/admission"
	"github.com/docker-stig/docker-stig/shared/engine/enginetest"
)

// TestFirstRunInspectsNoImage counts what a first docker run costs the engine:
// an image inspect takes many times as long as all else together. Only an
// engine whose image IDs do not name the content is asked for it, once for each
// image.
func TestFirstRunInspectsNoImage(t *testing.T) {
	t.Parallel()
	const inspected = "GET /containers/" + made + "/json"
	for name, test := range map[string]struct {
		engine *enginetest.Engine
		want   []string
	}{
		"containerd image store": {enginetest.Containerd(), []string{inspected, inspected}},
		"graphdriver":            {enginetest.Graphdriver(), []string{inspected, "GET /images/" + good.String() + "/json", inspected}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.engine.Images = []enginetest.Image{{ID: good.String(), RepoTags: []string{app + ":v1"}, RepoDigests: []string{app + "@" + good.String()}}}
			verifier := knowing(t)
			approvals := admission.OpenApprovals(admission.ApprovalOptions{Dir: t.TempDir(), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
			t.Cleanup(func() { _ = approvals.Close(context.WithoutCancel(t.Context())) })
			r := newRig(t, test.engine, func(s *Settings) {
				s.Judge.Verifier, s.Judge.Recorded, s.Judge.Approvals = verifier, true, approvals
			})
			create := post("/containers/create?name=x", `{"Image":"`+app+`:v1","HostConfig":{"NetworkMode":"default"}}`)
			wantVerdict(t, r.ask(t, requestPath, create), true, "")
			test.engine.Add(made, "x", good.String(), app+":v1")
			wantVerdict(t, r.ask(t, responsePath, answerTo(create, 201, `{"Id":"`+made+`"}`)), true, "")
			wantVerdict(t, r.ask(t, requestPath, post("/containers/"+made+"/start", "")), true, "")
			got := slices.DeleteFunc(test.engine.Asked(), func(asked string) bool {
				return strings.HasSuffix(asked, "/_ping") || asked == "GET /info" // once in a while, not for each
			})
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("the engine is asked something else (-want +got):\n%s", diff)
			}
		})
	}
}
