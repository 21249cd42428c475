package access_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust/access"
)

// leaks tells which secret a text holds, in any form it is sent in.
func leaks(text string) string {
	for _, secret := range []string{password, identity, token, "alice:" + password} {
		for _, form := range []string{
			secret, url.QueryEscape(secret), decimal(secret), fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret),
			base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret)),
		} {
			if strings.Contains(text, form) {
				return form
			}
		}
	}
	return ""
}

// decimal is how fmt prints bytes.
func decimal(text string) string {
	return strings.Trim(fmt.Sprintf("%d", []byte(text)), "[]")
}

// told wants an error of the words given that holds no secret, however it and
// what it wraps are printed.
func told(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v\nwant it to say %q", err, want)
	}
	for ; err != nil; err = errors.Unwrap(err) {
		if found := leaks(fmt.Sprintf("%v %+v %#v", err, err, err)); found != "" {
			t.Errorf("the error holds the secret %q: %v", found, err)
		}
	}
}

// echo answers with all that it was sent, as a careless server might.
func echo(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		shown := r.Header.Get("Authorization")
		plain, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(shown, "Basic "))
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer error="invalid_token",error_description="%s %s"`, shown, plain))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		fmt.Fprintf(w, `{"errors":[{"code":"UNAUTHORIZED","message":%q}],"issued_at":%q,"token":[%q]}`, shown, plain, r.Form)
	}
}

func says(code int, contentType, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		}
		w.WriteHeader(code)
		fmt.Fprint(w, text)
	}
}

func endless(w http.ResponseWriter, r *http.Request) {
	for r.Context().Err() == nil {
		if _, err := io.WriteString(w, strings.Repeat(" ", 1<<16)); err != nil {
			return
		}
	}
}

func silent(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func brokenOff(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "100")
	fmt.Fprint(w, `{"token":`)
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

func TestTokenServerFailures(t *testing.T) {
	t.Parallel()
	byToken := access.Login{IdentityToken: identity}
	for name, test := range map[string]struct {
		handle http.HandlerFunc
		login  access.Login
		want   string
		is     error
	}{
		"wrong password":          {echo(401), alice, "refuses the login for", access.ErrLoginRefused},
		"wrong identity token":    {echo(400), byToken, "refuses the login for", access.ErrLoginRefused},
		"identity token withheld": {echo(401), byToken, "refuses the login for", access.ErrLoginRefused},
		"not allowed":             {echo(403), alice, "gives the login for", access.ErrLoginRefused},
		"nobody":                  {echo(401), access.Login{}, "there is none here", access.ErrNoLogin},
		"echoes with 200":         {echo(200), alice, "broken JSON instead of a token", nil},
		"down":                    {echo(503), alice, "it answers 503 Service Unavailable", nil},
		"too many requests":       {echo(429), byToken, "it answers 429 Too Many Requests", nil},
		"web page":                {says(200, "text/html", "<html>"), alice, "a web page instead of a token", nil},
		"web page in disguise":    {says(200, "application/json", " <!doctype html>"), alice, "a web page instead of a token", nil},
		"no token":                {says(200, "", `{"expires_in": 60}`), alice, "holds no token", nil},
		"no token, posted":        {says(200, "", `{"expires_in": 60}`), byToken, "holds no token", nil},
		"not JSON":                {says(200, "", `token`), alice, "broken JSON", nil},
		"token for a header":      {says(200, "", `{"token": "a\r\nX-Evil: b"}`), alice, "cannot stand in a header", nil},
		"huge token":              {says(200, "", `{"token": "`+strings.Repeat("a", 1<<15)+`"}`), alice, "cannot stand in a header", nil},
		"endless":                 {endless, alice, "more than the 1024 KiB", nil},
		"broken off":              {brokenOff, alice, "broke off in the middle", nil},
		"silent":                  {silent, alice, "in the time that was left", nil},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://elsewhere.example.com/", http.StatusTemporaryRedirect)
		}, byToken, "it redirects to https://elsewhere.example.com", nil},
		"redirect to plain HTTP": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://"+r.Host+"/", http.StatusTemporaryRedirect)
		}, alice, "it redirects to http://", nil},
		"redirect to nowhere": {says(304, "", ""), alice, "it answers 304", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limit := 20 * time.Second
			if name == "silent" {
				limit = time.Second
			}
			auth := newSite(t, newHost("auth"), test.handle)
			dtr := newSite(t, newHost("dtr"), guarded(func() string { return "" }, auth.url+"/token"))
			c := access.New(access.Options{Credentials: only(dtr.host, test.login), CertDirs: []string{certs(t, dtr, auth)}, Timeout: limit})
			base, client := registry(t, c, dtr.host+"/app")
			_, err := get(t, client, base+"/v2/")
			told(t, err, test.want)
			told(t, err, "token server "+auth.url)
			if test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("want it to be %v: %v", test.is, err)
			}
			if timeout := net.Error(nil); name == "silent" && (!errors.As(err, &timeout) || !timeout.Timeout()) {
				t.Errorf("want a timeout: %v", err)
			}
		})
	}
}

func TestChallengesThatAreRefused(t *testing.T) {
	t.Parallel()
	listener := newSite(t, newHost("listener"), echo(200))
	for name, test := range map[string]struct{ challenge, want string }{
		"none":                       {"", "in no way that is known here"},
		"another scheme":             {`Negotiate`, "in no way that is known here"},
		"no realm":                   {`Bearer service="x"`, "its challenge has no realm"},
		"empty realm":                {`Bearer realm="",service="x"`, "its challenge has no realm"},
		"relative realm":             {`Bearer realm="/token"`, "something that is not an address"},
		"plain HTTP":                 {`Bearer realm="http://HOST/token"`, "which is not https"},
		"another host over HTTP":     {`Bearer realm="http://` + listener.host + `/token"`, "which is not https"},
		"loopback over HTTP":         {`Bearer realm="http://127.0.0.1:1/token"`, "which is not https"},
		"a login in the address":     {`Bearer realm="https://x:y@` + listener.host + `/token"`, "something that is not an address"},
		"another kind of address":    {`Bearer realm="file:///etc/passwd"`, "something that is not an address"},
		"an address without a host":  {`Bearer realm="https:///token"`, "something that is not an address"},
		"a path instead of a host":   {`Bearer realm="https://../token"`, "token server https://.."},
		"broken address":             {`Bearer realm="https://[::1/token"`, "something that is not an address"},
		"a host that nobody has":     {`Bearer realm="https://nobody.example.com/token"`, "it answers 502 Bad Gateway"},
		"a host where nobody is in":  {`Bearer realm="https://127.0.0.1:1/token"`, "nobody listens there"},
		"a host by another's CA":     {`Bearer realm="` + listener.url + `/token"`, "unknown authority; put its CA into"},
		"the password's own address": {`Basic realm="` + password + `"`, "refuses the login for"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host := newHost("dtr")
			dtr := newSite(t, host, func(w http.ResponseWriter, _ *http.Request) {
				if test.challenge != "" {
					w.Header().Set("WWW-Authenticate", strings.ReplaceAll(test.challenge, "HOST", host))
				}
				w.WriteHeader(http.StatusUnauthorized)
			})
			c := access.New(access.Options{Credentials: only(host, alice), CertDirs: []string{certs(t, dtr)}})
			base, client := registry(t, c, host+"/app")
			_, err := get(t, client, base+"/v2/")
			told(t, err, test.want)
		})
	}
	if shown := listener.requests(); len(shown) > 0 {
		t.Errorf("a login went where it must not: %d requests", len(shown))
	}
}

func TestStill401AfterTheLogin(t *testing.T) {
	t.Parallel()
	tokens := &tokenServer{anonymous: true}
	auth := newSite(t, newHost("auth"), tokens.ServeHTTP)
	dtr := newSite(t, newHost("dtr"), func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+auth.url+`/token"`)
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, r.Header)
	})
	creds := only(dtr.host, alice)
	c := access.New(access.Options{Credentials: creds, CertDirs: []string{certs(t, dtr, auth)}})
	base, client := registry(t, c, dtr.host+"/app")
	_, err := get(t, client, base+"/v2/")
	told(t, err, "it still answers 401")
	if !errors.Is(err, access.ErrLoginRefused) || len(dtr.requests()) != 2 {
		t.Errorf("want ErrLoginRefused after two requests: %v", err)
	}
	creds.set(dtr.host, access.Login{})
	_, err = get(t, client, base+"/v2/")
	told(t, err, "there is none here for "+dtr.host)
	if !errors.Is(err, access.ErrNoLogin) {
		t.Errorf("want ErrNoLogin: %v", err)
	}
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	for name, handle := range map[string]http.HandlerFunc{
		"no answer": silent,
		"a byte and no more": func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, "c")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
		"redirects, slowly": func(w http.ResponseWriter, r *http.Request) {
			timer := time.NewTimer(120 * time.Millisecond) // four of them are more than the limit
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-r.Context().Done():
			}
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dtr := newSite(t, newHost("dtr"), handle)
			client := trustServer(t, access.New(access.Options{Timeout: 300 * time.Millisecond}), dtr.url, dtr.ca, dtr.host+"/app")
			_, err := get(t, client, dtr.url+"/v2/")
			told(t, err, "trust server "+dtr.url+": no answer within 300ms; see notary.timeout in the policy")
			if timeout := net.Error(nil); !errors.As(err, &timeout) || !timeout.Timeout() {
				t.Errorf("want a timeout: %v", err)
			}
		})
	}
}

func TestHandshakeThatDoesNotEnd(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0") // accepts by its backlog, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	client := trustServer(t, access.New(access.Options{Timeout: 100 * time.Millisecond}), "https://"+listener.Addr().String(), "", "example.com/app")
	_, err = get(t, client, "https://"+listener.Addr().String()+"/v2/")
	told(t, err, "no answer within 100ms")
}

func TestWhoeverGivesUpIsNotKept(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{}, 1)
	dtr := newSite(t, newHost("dtr"), func(w http.ResponseWriter, r *http.Request) { arrived <- struct{}{}; silent(w, r) })
	client := trustServer(t, access.New(access.Options{}), dtr.url, dtr.ca, dtr.host+"/app")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { <-arrived; cancel() }()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, dtr.url+"/v2/", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Do(req)
	told(t, err, "it was given up before it answered")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("want it cancelled: %v", err)
	}
}

func TestHelperThatHangs(t *testing.T) {
	t.Parallel()
	dtr := newSite(t, newHost("dtr"), withBasic)
	creds := only(dtr.host, alice)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	creds.before = func() { cancel(); <-hang } // the person at the terminal gives up
	client := trustServer(t, access.New(access.Options{Credentials: creds}), dtr.url, dtr.ca, dtr.host+"/app")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, dtr.url+"/v2/", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Do(req)
	told(t, err, "does a credential helper wait for somebody?")
}

type broken struct{}

func (broken) Login(string) (access.Login, error) {
	return access.Login{}, errors.New("the file is gone")
}

func TestLoginsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	dtr := newSite(t, newHost("dtr"), withBasic)
	client := trustServer(t, access.New(access.Options{Credentials: broken{}}), dtr.url, dtr.ca, dtr.host+"/app")
	_, err := get(t, client, dtr.url+"/v2/")
	told(t, err, "looking up the login for "+dtr.host+": the file is gone")
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	content := says(200, "", "content")
	good, other := newSite(t, newHost("good"), content), newSite(t, newHost("other"), content)
	old := newSite(t, newHost("old"), content, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS11; c.MinVersion = tls.VersionTLS10 })
	misnamed := newSite(t, newHost("name"), content)
	world.Lock()
	world.addresses["alias.example.com:443"] = world.addresses[misnamed.host+":443"]
	world.Unlock()
	empty := filepath.Join(t.TempDir(), "empty.pem")
	writeFile(t, empty, "no PEM here")
	missing := filepath.Join(t.TempDir(), "missing.pem")
	folder := t.TempDir()
	for name, test := range map[string]struct {
		url, ca string
		dirs    []string
		want    string // of the error; "" for none
	}{
		"the policy's CA":                    {good.url, good.ca, nil, ""},
		"the CA of a folder":                 {good.url, "", []string{t.TempDir(), certs(t, good)}, ""},
		"no CA":                              {good.url, "", nil, "unknown authority; name its CA under notary.ca"},
		"another's CA":                       {good.url, other.ca, nil, "the policy names " + other.ca},
		"the policy's CA excludes folders":   {good.url, other.ca, []string{certs(t, good)}, "unknown authority"},
		"a folder is for its host alone":     {good.url, "", []string{certs(t, other)}, "unknown authority"},
		"the CA's file is missing":           {good.url, missing, nil, missing},
		"the CA's file holds no certificate": {good.url, empty, nil, empty + " holds no certificate"},
		"the CA's file is a folder":          {good.url, folder, nil, folder + ": is a directory"},
		"TLS 1.1":                            {old.url, old.ca, nil, "trust server " + old.url},
		"a certificate for another host":     {"https://alias.example.com", misnamed.ca, nil, "its certificate is for another host"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := reach(t, access.Options{CertDirs: test.dirs}, test.url, test.ca)
			if test.want == "" && err != nil {
				t.Fatal(err)
			}
			if test.want != "" {
				told(t, err, test.want)
			}
		})
	}
}

func reach(t *testing.T, opts access.Options, base, ca string) error {
	t.Helper()
	client, err := access.New(opts).TrustServer(base, ca, "dtr.example.com/app")
	if err != nil {
		return err
	}
	_, err = get(t, client, base+"/v2/")
	return err
}

func TestClientCertificates(t *testing.T) {
	t.Parallel()
	people := newAuthority(t)
	site := newSite(t, newHost("dtr"), says(200, "", "content"), func(c *tls.Config) {
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, nil
		c.VerifyConnection = func(state tls.ConnectionState) error {
			return state.PeerCertificates[0].CheckSignatureFrom(people.certificate)
		}
		c.ClientAuth = tls.RequireAnyClientCert
	})
	pair := people.issue(t, "person")
	for name, test := range map[string]struct {
		lay  func(folder string)
		want string
	}{
		"there":           {func(f string) { write(t, pair, f+"/client.cert", f+"/client.key") }, ""},
		"not there":       {func(string) {}, "does it want a client certificate"},
		"without its key": {func(f string) { copyFile(t, site.ca, f+"/client.cert") }, "/client.cert lacks its key: put it into"},
		"key alone":       {func(f string) { copyFile(t, site.ca, f+"/client.key") }, "/client.key lacks its client certificate"},
		"another's key": {func(f string) {
			write(t, pair, f+"/client.cert", f+"/other.key")
			write(t, people.issue(t, "other"), f+"/other.cert", f+"/client.key")
			write(t, people.issue(t, "other"), f+"/other.cert", f+"/other.key")
		}, "/client.cert with key "},
	} {
		t.Run(name, func(t *testing.T) {
			dir := certs(t, site)
			test.lay(filepath.Join(dir, site.host))
			err := reach(t, access.Options{CertDirs: []string{dir}}, site.url, "")
			if test.want == "" && err != nil {
				t.Fatal(err)
			}
			if test.want != "" {
				told(t, err, test.want)
			}
		})
	}
}

func TestChangedCertificatesAreReadAgain(t *testing.T) {
	t.Parallel()
	dtr := newSite(t, newHost("dtr"), says(200, "", "content"))
	dir := certs(t, dtr)
	file := filepath.Join(dir, dtr.host, "ca.crt")
	writeFile(t, file, "no PEM yet")
	c := access.New(access.Options{CertDirs: []string{dir}})
	_, err := c.TrustServer(dtr.url, "", dtr.host+"/app")
	told(t, err, file+" holds no certificate")
	copyFile(t, dtr.ca, file)
	mustGet(t, trustServer(t, c, dtr.url, "", dtr.host+"/app"), dtr.url+"/v2/")
}

func TestTrustServerArguments(t *testing.T) {
	t.Parallel()
	c := access.New(access.Options{})
	for name, test := range map[string]struct{ base, gun, want string }{
		"plain HTTP":       {"http://notary.example.com", "example.com/app", "https://HOST[:PORT]"},
		"login in address": {"https://alice:" + password + "@notary.example.com", "example.com/app", "https://HOST[:PORT]"},
		"no address":       {"https://[", "example.com/app", "https://HOST[:PORT]"},
		"short name":       {"https://notary.example.com", "alpine", "not a repository's full name"},
		"with a tag":       {"https://notary.example.com", "example.com/app:v1", "not a repository's full name"},
	} {
		_, err := c.TrustServer(test.base, "", test.gun)
		t.Run(name, func(t *testing.T) { told(t, err, test.want) })
	}
}
