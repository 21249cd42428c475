// Package authz answers the engine's authorization questions.
//
// It speaks Docker's plugin protocol (Plugin.Activate, AuthZPlugin.AuthZReq
// and AuthZPlugin.AuthZRes, as docker/go-plugins-helpers defines them), puts
// the questions that package engineapi finds in a request to a trust.Verifier,
// and turns the answers into decisions with a text for the person at the
// command line. The helpers' own handler was turned down: it goes on with an
// empty request after one that did not decode, and knows neither deadlines nor
// limits.
//
// Whatever goes wrong is a denial: the zero Decision denies.
package authz

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/docker-stig/docker-stig/authz-plugin/audit"
	"github.com/docker-stig/docker-stig/authz-plugin/engineapi"
	"github.com/docker-stig/docker-stig/shared/admission"
	"github.com/docker-stig/docker-stig/shared/stig"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// DecisionTimeout is how long a decision may take. The engine sets no limit.
// It is longer than a trust server's own 2 s, so that a mirror gets its turn.
const DecisionTimeout = 5 * time.Second

// A Decision answers one request to the engine. The zero Decision denies.
type Decision struct {
	Allow bool
	Rule  stig.ID // the requirement a denial upholds
	Msg   string  // for the person at the docker command line

	late bool // what judges has not come back, and holds the connection
}

// Settings are what a policy amounts to. They are replaced as a whole.
type Settings struct {
	Mode     policy.Mode
	Requests policy.Requests
	Judge    *admission.Judge      // of images and containers
	Protect  *admission.Protection // of the host

	// Fault says why there is no policy to go by. Then everything is denied
	// that would have to be judged, whatever Mode says.
	Fault error
}

// A Handler answers the engine. It is safe for concurrent use and holds no
// lock while it decides.
type Handler struct {
	settings atomic.Pointer[Settings]
	records  *audit.Log
	log      *slog.Logger
	timeout  time.Duration
	mux      *http.ServeMux
	gate     *gate
	asked    *semaphore.Weighted // bytes of large questions that are held at once
	answered *semaphore.Weighted // and of those about answers, which must not wait for them
}

// NewHandler makes a Handler. Decisions are written to records, faults to log.
func NewHandler(s Settings, records *audit.Log, log *slog.Logger) *Handler {
	h := &Handler{records: records, log: log, timeout: DecisionTimeout, mux: http.NewServeMux(), gate: newGate(time.Now), asked: semaphore.NewWeighted(maxRoom), answered: semaphore.NewWeighted(maxRoom)}
	h.Use(s)
	h.mux.HandleFunc(activatePath, h.activate)
	h.mux.HandleFunc(requestPath, h.AuthZReq)
	h.mux.HandleFunc(responsePath, h.AuthZRes)
	return h
}

// Use replaces the settings. Decisions under way end by the old ones.
func (h *Handler) Use(s Settings) { h.settings.Store(&s) }

// ServeHTTP serves the plugin protocol.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// activate tells the engine what the plugin is. It needs no engine: the
// engine asks it while it starts.
func (h *Handler) activate(w http.ResponseWriter, _ *http.Request) {
	h.gate.reset()
	if s := h.settings.Load(); s.Judge != nil {
		s.Judge.Engine.Forget()
	}
	w.Header().Set("Content-Type", contentType)
	_, _ = w.Write([]byte(manifest))
}

// AuthZReq serves /AuthZPlugin.AuthZReq, before the engine acts. Whatever
// goes wrong is a denial.
func (h *Handler) AuthZReq(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r, intake{maxRequest, h.asked, h.timeout}, h.request)
}

// AuthZRes serves /AuthZPlugin.AuthZRes, before the engine answers. Only what
// a create has made is judged there.
func (h *Handler) AuthZRes(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r, intake{maxResponse, h.answered, removeTimeout}, h.response)
}

func (h *Handler) serve(w http.ResponseWriter, r *http.Request, in intake, decide func(context.Context, *Settings, Request, func(Decision))) {
	defer func() {
		if fault := recover(); fault != nil {
			h.explain("serving", fault)
			respond(w, deny("an internal error, which the log of docker-stig-authz explains"))
		}
	}()
	leave, err := in.enter(r)
	if err != nil {
		respond(w, deny("%v", err))
		return
	}
	defer leave()
	req, err := decodeRequest(w, r, in.limit)
	if err != nil {
		h.log.Warn("unreadable request", "error", err)
		respond(w, deny("unreadable request: %v", err))
		return
	}
	decide(r.Context(), h.settings.Load(), req, func(d Decision) { respond(w, d) })
}

// explain logs a panic.
func (h *Handler) explain(step string, fault any) {
	h.log.Error("a question failed", "step", step, "panic", fmt.Sprint(fault), "stack", string(debug.Stack()))
}

const (
	// maxRoom bounds the large questions that are held at once, of each kind:
	// decoding one takes a few times its size.
	maxRoom = 64 << 20 // bytes
	// small questions need no room: a flood of large ones must not keep
	// docker ps or stop waiting. Ordinary questions are some KiB.
	small = 64 << 10 // bytes
)

// An intake bounds the questions of one kind. A question about an answer waits
// long for its room: unread, a container that has to go would stay.
type intake struct {
	limit int64 // bytes of one question
	room  *semaphore.Weighted
	wait  time.Duration
}

// enter waits for room to read a question.
func (in intake) enter(r *http.Request) (leave func(), err error) {
	size := min(r.ContentLength, in.limit)
	if r.ContentLength < 0 {
		size = in.limit // it is bounded when it is read
	}
	if size <= small {
		return func() {}, nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), in.wait)
	defer cancel()
	if err := in.room.Acquire(ctx, size); err != nil {
		return nil, errors.New("too many large requests at once; try again")
	}
	return func() { in.room.Release(size) }, nil
}

// request decides before the engine acts, and answers.
func (h *Handler) request(ctx context.Context, s *Settings, req Request, answer func(Decision)) {
	if s.Mode == policy.Disabled && s.Fault == nil {
		answer(h.pass())
		return
	}
	target, err := engineapi.Parse(req.RequestMethod, req.RequestURI)
	if err == nil && target.Route.Use == engineapi.Pass && !target.Route.Body {
		answer(h.pass())
		return
	}
	if err == nil && s.Mode != policy.Permissive {
		turn, cancel := context.WithTimeout(ctx, h.timeout)
		err = h.gate.enter(turn, target)
		cancel()
	}
	judge := func(ctx context.Context) verdict {
		if err != nil {
			return refused(err)
		}
		return s.judge(ctx, target, req)
	}
	h.bounded(ctx, judge, func(v verdict, took time.Duration) {
		d := h.conclude(ctx, s, req, audit.Asked, target, v, took)
		if !d.Allow && err == nil {
			h.gate.leave(target)
		}
		answer(d)
	})
}

// response decides before the engine answers, and answers.
func (h *Handler) response(ctx context.Context, s *Settings, req Request, answer func(Decision)) {
	if s.Mode == policy.Disabled && s.Fault == nil {
		answer(h.pass())
		return
	}
	target, err := engineapi.Parse(req.RequestMethod, req.RequestURI)
	if err == nil && (target.Route.Use != engineapi.Create || req.ResponseStatusCode != http.StatusCreated) {
		h.gate.leave(target)
		answer(h.pass())
		return
	}
	judge := func(ctx context.Context) verdict {
		if err != nil {
			return refused(err)
		}
		return s.judgeCreated(ctx, req)
	}
	ended := func(v verdict, took time.Duration) Decision {
		if err != nil {
			return h.conclude(ctx, s, req, audit.Answered, target, v, took)
		}
		defer h.gate.leave(target)
		d := h.conclude(ctx, s, req, audit.Answered, target, v, took)
		if !d.Allow {
			h.remove(ctx, s, target, req)
		}
		return d
	}
	h.bounded(ctx, judge, func(v verdict, took time.Duration) { answer(ended(v, took)) })
}

// Alive reports whether the handler still decides: that no lock is held that
// every decision needs. The probe is not counted.
func (h *Handler) Alive(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.gate.idle()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("decisions are stuck: %w", ctx.Err())
	}
}

func (h *Handler) pass() Decision {
	h.records.Pass()
	return Decision{Allow: true}
}

// conclude records a verdict, and lets it count if the policy is enforced.
func (h *Handler) conclude(ctx context.Context, s *Settings, req Request, phase audit.Phase, target engineapi.Target, v verdict, took time.Duration) Decision {
	if v.pass {
		return h.pass()
	}
	record := v.record
	record.Phase = phase
	record.User = req.User
	record.Method = req.RequestMethod
	record.Route = target.Route.Pattern
	record.Duration = took
	d := v.Decision
	record.Outcome = audit.Denied
	switch {
	case d.Allow:
		record.Outcome = audit.Allowed
	case s.Mode == policy.Permissive && s.Fault == nil:
		record.Outcome = audit.WouldDeny
		d.Allow = true
	}
	record.Requirement = v.Rule
	record.Message = v.Msg
	if v.Allow && phase == audit.Asked && target.Route.Use == engineapi.Create {
		h.records.Note(ctx, record) // what is made is judged and recorded again before anyone hears of it
	} else {
		h.records.Write(ctx, record)
	}
	return d
}

// bounded judges and has the verdict answered; or, when there is no time left,
// that there is none. The deadline holds even for code that does not look at
// it, and a panic is a denial.
//
// It judges where it is called, because to wait for another goroutine twice
// takes longer than to judge. So the clock answers in its place if need be:
// whoever comes second finds the question answered and waits until it is.
func (h *Handler) bounded(ctx context.Context, judge func(context.Context) verdict, answer func(v verdict, took time.Duration)) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	var once sync.Once
	clock := time.AfterFunc(h.timeout, func() {
		defer func() {
			if fault := recover(); fault != nil {
				h.explain("denying in time", fault) // without an answer the engine denies, too
			}
		}()
		once.Do(func() {
			late := faulty("deadline", "no decision within %v; try again, and see whether the trust servers answer", h.timeout)
			late.late = true
			answer(late, time.Since(start))
		})
	})
	defer clock.Stop()
	v := h.sound(ctx, judge)
	once.Do(func() { answer(v, time.Since(start)) })
}

// sound judges, and turns a panic into a denial.
func (h *Handler) sound(ctx context.Context, judge func(context.Context) verdict) (v verdict) {
	defer func() {
		if fault := recover(); fault != nil {
			h.explain("judging", fault)
			v = faulty("internal-error", "an internal error, which the log of docker-stig-authz explains; the image was not judged")
		}
	}()
	return judge(ctx)
}
