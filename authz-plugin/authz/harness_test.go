package authz

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"github.com/docker-stig/docker-stig/authz-plugin/audit"
	"github.com/docker-stig/docker-stig/shared/admission"
	"github.com/docker-stig/docker-stig/shared/engine"
	"github.com/docker-stig/docker-stig/shared/engine/enginetest"
	"github.com/docker-stig/docker-stig/shared/logtest"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

const (
	good  = digest.Digest("sha256:1111111111111111111111111111111111111111111111111111111111111111")
	evil  = digest.Digest("sha256:eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee")
	made  = "aaaa000000000000000000000000000000000000000000000000000000000000"
	other = "bbbb000000000000000000000000000000000000000000000000000000000000"
	app   = "localhost:5000/app"
)

// A signers is a fake verifier: the digests it vouches for, by repository and
// tag.
type signers map[string]digest.Digest

func (s signers) Verify(_ context.Context, q trust.Question) (trust.Signed, error) {
	for name, dgst := range s {
		ref, err := reference.ParseNormalizedNamed(name)
		if err != nil || ref.Name() != q.Ref.Name() {
			continue
		}
		digested, byDigest := q.Ref.(reference.Digested)
		tagged, byTag := q.Ref.(reference.Tagged)
		switch {
		case byDigest && digested.Digest() != dgst:
			continue
		case !byDigest && byTag && tagged.Tag() != ref.(reference.Tagged).Tag():
			continue
		case !byDigest && !byTag && q.Content.IsZero():
			continue
		}
		if !q.Content.IsZero() && !q.Content.Is(dgst) {
			return trust.Signed{}, &trust.Error{Reason: trust.DigestMismatch, Ref: q.Ref, Err: errors.New("signed, but for other content")}
		}
		return trust.Signed{Digest: dgst, Method: trust.DCT, Signers: []string{"targets/releases"}}, nil
	}
	return trust.Signed{}, &trust.Error{Reason: trust.Unsigned, Ref: q.Ref, Err: errors.New("no target of that name")}
}

func (s signers) Grant(a trust.Answer, id digest.Digest) policy.Grant {
	return policy.Grant{Ref: a.Question.Ref, Digest: a.Digest, ID: id, Method: a.Method}
}

func (s signers) Upholds(_ context.Context, g policy.Grant) (policy.Grant, error) { return g, nil }

func (s signers) Withdrawn(context.Context, reference.Named, ...digest.Digest) error { return nil }

func (s signers) ByRevokedKey(context.Context, trust.Question) error { return nil }

// A rig is a handler in front of a fake engine.
type rig struct {
	*Handler
	engine  *enginetest.Engine
	records *logtest.Log
}

func defaults() policy.Requests {
	return policy.Requests{Pull: policy.Verify, Build: policy.Deny, Plugins: policy.Deny, SwarmJoin: policy.Deny, Start: policy.Recorded, Copy: policy.Allow}
}

func newRig(tb testing.TB, fake *enginetest.Engine, change ...func(*Settings)) *rig {
	tb.Helper()
	fake.Start(tb)
	client := engine.NewClient(fake.URL(), time.Now)
	tb.Cleanup(func() { _ = client.Close() })
	s := Settings{
		Mode:     policy.Enforced,
		Requests: defaults(),
		Judge:    &admission.Judge{Engine: client, Verifier: signers{app + ":v1": good}, Now: time.Now, Log: slog.New(slog.DiscardHandler)},
		Protect:  admission.NewProtection(policy.Protect{}, client, admission.Host{Now: time.Now}),
	}
	s.Judge.Protect = s.Protect
	for _, f := range change {
		f(&s)
	}
	log := &logtest.Log{}
	logger := log.Logger()
	return &rig{Handler: NewHandler(s, audit.New(logger), logger), engine: fake, records: log}
}

func (r *rig) ask(tb testing.TB, path string, req Request) Response {
	tb.Helper()
	body, err := json.Marshal(req)
	if err != nil {
		tb.Fatal(err)
	}
	return r.askRaw(tb, path, body)
}

func (r *rig) askRaw(tb testing.TB, path string, body []byte) Response {
	tb.Helper()
	recorder := httptest.NewRecorder()
	r.ServeHTTP(recorder, httptest.NewRequestWithContext(tb.Context(), http.MethodPost, path, bytes.NewReader(body)))
	if recorder.Code != http.StatusOK {
		tb.Fatalf("status %d: the engine would take it for a fault", recorder.Code)
	}
	var answer struct {
		Response
		Err string
	}
	if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil {
		tb.Fatalf("answer %q: %v", recorder.Body, err)
	}
	if answer.Err != "" {
		tb.Fatalf("Err is set: %q", answer.Err)
	}
	if !answer.Allow && !strings.HasPrefix(answer.Msg, "docker-stig: ") {
		tb.Fatalf("a denial without a sentence: %q", answer.Msg)
	}
	return answer.Response
}

// post is a request to the engine as it shows it to the plugin.
func post(uri, body string) Request {
	req := Request{RequestMethod: http.MethodPost, RequestURI: uri, RequestHeaders: map[string]string{"Content-Length": "0"}}
	if body != "" {
		req.RequestBody = []byte(body)
		req.RequestHeaders = map[string]string{"Content-Type": "application/json"}
	}
	return req
}

func answerTo(req Request, status int, body string) Request {
	req.ResponseStatusCode = status
	req.ResponseBody = []byte(body)
	return req
}

func wantVerdict(t *testing.T, got Response, allow bool, text string) {
	t.Helper()
	if got.Allow != allow {
		t.Fatalf("allow is %v, want %v: %q", got.Allow, allow, got.Msg)
	}
	if !strings.Contains(got.Msg, text) {
		t.Fatalf("message %q does not say %q", got.Msg, text)
	}
}
