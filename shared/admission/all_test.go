package admission

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docker-stig/docker-stig/shared/engine"
)

// stuck is an engine that does not tell of some containers: their locks are
// held, as by a copy of their files that nobody reads.
type stuck struct {
	*engines
	held map[string]bool
}

func (e stuck) Container(ctx context.Context, id string) (engine.Container, error) {
	if !e.held[id] {
		return e.engines.Container(ctx, id)
	}
	<-ctx.Done()
	return engine.Container{}, ctx.Err()
}

// TestStuckContainersHideNoOther: however many containers the engine does not
// tell of, the others are judged, and in time.
func TestStuckContainersHideNoOther(t *testing.T) {
	for _, many := range []int{1, 1000} {
		t.Run(fmt.Sprint(many), func(t *testing.T) {
			s := newSite(t)
			e := stuck{s.engine, map[string]bool{}}
			for i := range many { // they are listed first
				id := fmt.Sprintf("0%063d", i)
				s.engine.add(id, good, listed+":v1")
				e.held[id] = true
			}
			s.engine.add(first, good, listed+":v1")
			s.engine.add(second, "", listed+":v1") // of no image
			j := s.judge(nil)
			j.Engine, j.Approvals = e, nil
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				all, err := j.All(t.Context())
				must(t, err)
				if took := time.Since(start); took > 5*time.Minute {
					t.Errorf("it took %v, and a sweep has 10m", took)
				}
				if len(all) != many+2 {
					t.Fatalf("got %d containers, want %d", len(all), many+2)
				}
				for _, one := range all[:many] {
					if !errors.Is(one.Err, context.DeadlineExceeded) || Conclusive(one.Err) || !one.Container.Running || one.Container.Name == "" {
						t.Fatalf("of one that is stuck: %+v", one)
					}
				}
				if yes, no := all[many], all[many+1]; yes.Err != nil || no.Err == nil || !Conclusive(no.Err) {
					t.Errorf("of the others: %v, %v", yes.Err, no.Err)
				}
			})
		})
	}
}

// TestWhatWasJudgedIsKept: when time is up, what was found out by then counts.
func TestWhatWasJudgedIsKept(t *testing.T) {
	s := newSite(t)
	s.engine.add(first, "", listed+":v1") // of no image
	s.engine.add(second, good, listed+":v1")
	j := s.judge(nil)
	j.Engine, j.Approvals = stuck{s.engine, map[string]bool{second: true}}, nil
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), oneWithin/2)
		defer cancel()
		all, err := j.All(ctx)
		must(t, err)
		if len(all) != 2 || !Conclusive(all[0].Err) || !errors.Is(all[1].Err, context.DeadlineExceeded) {
			t.Errorf("got %+v", all)
		}
	})
}
