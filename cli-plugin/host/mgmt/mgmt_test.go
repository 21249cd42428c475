package mgmt

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const (
	testPassword = "pass-canary-81c0"
	testToken    = "token-canary-5d2f"
)

var testService = Service{Name: "UCP", Flag: "ucp"}

// serve is a TLS server and a Conn that trusts it.
func serve(t *testing.T, handler http.HandlerFunc, change func(*Options)) *Conn {
	t.Helper()
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	opts := Options{URL: server.URL, CAFile: ca, Username: "admin", Password: testPassword}
	if change != nil {
		change(&opts)
	}
	conn, err := New(testService, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

func get() Request {
	return Request{Method: http.MethodGet, Path: []string{"x"}, Limit: 1 << 10}.Bearer(testToken)
}

// wantKind also holds every error to what errors may not and must hold.
func wantKind(t *testing.T, err error, kind Kind) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("error is %v, want kind %q", err, kind)
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		for _, secret := range []string{testPassword, testToken} {
			if strings.Contains(fmt.Sprintf("%v %+v", e, e), secret) {
				t.Errorf("error repeats a secret: %v", e)
			}
		}
	}
	var whole *Error
	if !errors.As(err, &whole) {
		t.Fatalf("error is a %T, want *Error", err)
	}
	if whole.Advice == "" || strings.ContainsAny(whole.Advice, "\n") {
		t.Errorf("error does not say what to do next: %v", err)
	}
	if strings.ContainsAny(whole.Advice, "{}") {
		t.Errorf("advice was not filled in: %s", whole.Advice)
	}
}

func TestNewRefusesBadOptions(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("no certificate\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		opts Options
		want string
	}{
		"plain http":       {Options{URL: "http://ucp.example.com"}, "not https"},
		"no scheme":        {Options{URL: "ucp.example.com"}, "not https"},
		"no URL":           {Options{}, "not https"},
		"no host":          {Options{URL: "https://"}, "names no host"},
		"not a URL":        {Options{URL: "https://%zz" + testPassword}, "does not parse"},
		"password in URL":  {Options{URL: "https://admin:" + testPassword + "@ucp.example.com"}, "holds credentials"},
		"path":             {Options{URL: "https://ucp.example.com/login"}, "more than a host"},
		"query":            {Options{URL: "https://ucp.example.com?token=" + testPassword}, "more than a host"},
		"missing CA":       {Options{URL: "https://ucp.example.com", CAFile: filepath.Join(t.TempDir(), "none.pem")}, "no such file"},
		"CA without certs": {Options{URL: "https://ucp.example.com", CAFile: empty}, "holds no certificate"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.opts.Username, test.opts.Password = "admin", testPassword
			_, err := New(testService, test.opts)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "give --ucp-") {
				t.Errorf("error is %v, want one with %q and what to give", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), testPassword) {
				t.Errorf("error repeats a password: %v", err)
			}
		})
	}
	if _, err := New(testService, Options{URL: "https://ucp.example.com"}); err == nil || !strings.Contains(err.Error(), "--ucp-password-file") {
		t.Errorf("without an account the error is %v", err)
	}
}

func TestOptionsPrintWithoutPassword(t *testing.T) {
	t.Parallel()
	opts := Options{URL: "https://a:" + testPassword + "@ucp.example.com", Username: "admin", Password: testPassword}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, opts); strings.Contains(text, testPassword) {
			t.Errorf("%s prints the password: %s", format, text)
		}
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	tests := map[int]Kind{
		http.StatusUnauthorized:        Unauthorized,
		http.StatusForbidden:           Forbidden,
		http.StatusNotFound:            NotFound,
		http.StatusInternalServerError: BadStatus,
		http.StatusTooManyRequests:     BadStatus,
		http.StatusMovedPermanently:    Redirected,
		http.StatusTemporaryRedirect:   Redirected,
	}
	for status, kind := range tests {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			conn := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(status)
				_, _ = io.WriteString(w, r.Header.Get("Authorization")+testPassword)
			}, nil)
			_, err := conn.Do(t.Context(), get())
			wantKind(t, err, kind)
			var whole *Error
			if errors.As(err, &whole) && whole.Status != status {
				t.Errorf("status is %d, want %d", whole.Status, status)
			}
		})
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	var followed atomic.Int32
	elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Add(1) }))
	t.Cleanup(elsewhere.Close)
	for _, target := range []string{elsewhere.URL + "/x?t=" + testToken, "/x/", "//a:" + testPassword + "@" + elsewhere.Listener.Addr().String()} {
		conn := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/x" {
				followed.Add(1)
			}
			w.Header().Set("Location", target)
			w.WriteHeader(http.StatusTemporaryRedirect)
		}, nil)
		_, err := conn.Do(t.Context(), get())
		wantKind(t, err, Redirected)
	}
	if followed.Load() != 0 {
		t.Errorf("%d redirects were followed", followed.Load())
	}
}

func TestBody(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		handler http.HandlerFunc
		want    Kind
	}{
		"HTML by type": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = io.WriteString(w, "{}")
		}, HTML},
		"HTML by look": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, "\ufeff \n<!DOCTYPE html>")
		}, HTML},
		"one byte too long": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat("x", 1<<10+1))
		}, TooLarge},
		"shorter than announced": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"a":`)
		}, Truncated},
		"silence in the middle": {func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, Silent},
		"silence": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, Silent},
		"hangs up": {func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_ = conn.Close()
			}
		}, Unreachable},
		"no HTTP that repeats the request": {func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = fmt.Fprintf(conn, "%s %s\r\n\r\n", r.Header.Get("Authorization"), testPassword)
				_ = conn.Close()
			}
		}, Unreachable},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limit := func(o *Options) {
				if test.want == Silent {
					o.Timeout = 200 * time.Millisecond
				}
			}
			_, err := serve(t, test.handler, limit).Do(t.Context(), get())
			wantKind(t, err, test.want)
		})
	}
}

func TestLimitIsExact(t *testing.T) {
	t.Parallel()
	conn := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", 1<<10))
	}, nil)
	answer, err := conn.Do(t.Context(), get())
	if err != nil || len(answer.Body) != 1<<10 {
		t.Errorf("answer of the longest length: %d bytes, %v", len(answer.Body), err)
	}
}

func TestInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	conn := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}, nil)
	_, err := conn.Do(ctx, get())
	wantKind(t, err, Interrupted)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want context.Canceled in it", err)
	}
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	conn := serve(t, nil, func(o *Options) { o.URL = "https://" + address })
	_, err = conn.Do(t.Context(), get())
	wantKind(t, err, Refused)
}

func TestPlainServer(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	conn := serve(t, nil, func(o *Options) { o.URL = "https://" + server.Listener.Addr().String() })
	_, err := conn.Do(t.Context(), get())
	wantKind(t, err, Handshake)
}

// TestWayErrors has the errors that loopback cannot bring about.
func TestWayErrors(t *testing.T) {
	t.Parallel()
	conn := serve(t, nil, nil)
	tests := map[string]struct {
		err  error
		want Kind
	}{
		"DNS":           {&net.OpError{Op: "dial", Err: &net.DNSError{Name: "ucp.example.com", IsNotFound: true}}, NoSuchHost},
		"proxy":         {&net.OpError{Op: "proxyconnect", Err: errors.New("connection refused")}, Unreachable},
		"proxy setting": {errProxy, Unreachable},
		"secret":        {errors.New("saw " + testPassword + " and " + testToken), Unreachable},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wrapped := &url.Error{Op: "Get", URL: "https://ucp.example.com/x", Err: test.err}
			err := conn.unanswered(t.Context(), t.Context(), question{service: testService}, get(), wrapped)
			wantKind(t, err, test.want)
		})
	}
}

func TestEveryKindHasAdvice(t *testing.T) {
	t.Parallel()
	kinds := []Kind{
		Untrusted, OutOfDate, WrongHost, Handshake, NoSuchHost, Refused, Unreachable, Silent, Interrupted, Unauthorized,
		Forbidden, NotFound, Redirected, BadStatus, HTML, Truncated, TooLarge, Malformed,
	}
	if len(kinds) != len(advice) {
		t.Errorf("%d kinds, %d pieces of advice", len(kinds), len(advice))
	}
	for _, kind := range kinds {
		wantKind(t, question{service: testService}.failed(kind, "", nil), kind)
	}
	const want = "check --ucp-username and the password in --ucp-password-file (or STIG_UCP_USERNAME, STIG_UCP_PASSWORD_FILE)"
	if got := (question{service: testService}).failed(Unauthorized, "", nil).Advice; got != want {
		t.Errorf("advice is %q, want %q", got, want)
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	tests := map[string]Kind{
		``:                                Truncated,
		`{"token":"a`:                     Truncated,
		`{"token":"a"`:                    Truncated,
		`{"token":}`:                      Malformed,
		`{"token":"a"} rest`:              Malformed,
		`{"token":["` + testToken + `"]}`: Malformed,
		`{"token":12345678901234567890}`:  Malformed,
		`"` + testToken + `"`:             Malformed,
		`{"token":"a","token":"b"}`:       Malformed,
		`{"x":[1,{"a":{"b":1,"b":1}}],"token":"a"}`: Malformed,
	}
	for body, want := range tests {
		var into struct {
			Token string `json:"token"`
		}
		err := Answer{Body: []byte(body), asked: question{service: testService}}.JSON(&into)
		wantKind(t, err, want)
	}
	var into struct {
		Token string `json:"token"`
	}
	for _, body := range []string{`{"token":"a"}`, `{"token":"a","x":{"token":"b"},"y":["token","token",{"a":1},{"a":[]}]}`, `{"z":{},"token":"a"} `} {
		if err := (Answer{Body: []byte(body)}).JSON(&into); err != nil || into.Token != "a" {
			t.Errorf("%s: token %q, %v", body, into.Token, err)
		}
	}
}

func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"token":"a"}`))
	f.Add([]byte(`[{"inNotary":null}]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var into struct {
			Token string `json:"token"`
		}
		err := Answer{Body: body, asked: question{service: testService}}.JSON(&into)
		if err != nil && !errors.Is(err, Malformed) && !errors.Is(err, Truncated) {
			t.Errorf("error is %v, want one of this package", err)
		}
	})
}
