package access_test

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust/access"
)

// What a server may not bring about by naming another one, or by saying much.

// TestClientCertificateStaysAtHome: a host that is led to by another, which
// chooses what is asked of it, does not see whom it would let do that.
func TestClientCertificateStaysAtHome(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var seen []string
	var internal, lead *site
	internal = newSite(t, newHost("internal"), func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, fmt.Sprintf("%s with %d certificates", r.URL.Path, len(r.TLS.PeerCertificates)))
		if r.URL.Path == "/out" {
			http.Redirect(w, r, lead.url+"/redirect?to=/back", http.StatusFound)
			return
		}
		fmt.Fprint(w, "content")
	}, func(c *tls.Config) { c.ClientAuth = tls.RequestClientCert })
	lead = newSite(t, newHost("dtr"), func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/redirect" {
			http.Redirect(w, r, internal.url+r.URL.Query().Get("to"), http.StatusFound)
			return
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+internal.url+`/token"`)
		w.WriteHeader(http.StatusUnauthorized)
	})
	dir := certs(t, lead, internal)
	write(t, newAuthority(t).issue(t, "client"), filepath.Join(dir, internal.host, "client.cert"), filepath.Join(dir, internal.host, "client.key"))
	c := access.New(access.Options{CertDirs: []string{dir}, Credentials: only(lead.host, alice)})
	base, own := registry(t, c, internal.host+"/app")
	_, led := registry(t, c, lead.host+"/app")
	mustGet(t, own, base+"/own")
	mustGet(t, led, lead.url+"/redirect?to=/redirected")
	_, _ = get(t, led, lead.url+"/guarded") // asks for a token, which is none
	mustGet(t, own, base+"/out")
	mustGet(t, own, base+"/own")
	mu.Lock()
	defer mu.Unlock()
	want := []string{
		"/own with 1 certificates", "/redirected with 0 certificates", "/token with 0 certificates",
		"/out with 1 certificates", "/back with 0 certificates", "/own with 1 certificates",
	}
	if !slices.Equal(seen, want) {
		t.Errorf("got  %q\nwant %q", seen, want)
	}
}

// TestNoLoginAfterAWayOut: a host that was left, and comes up again because
// another leads there, is shown no login either.
func TestNoLoginAfterAWayOut(t *testing.T) {
	t.Parallel()
	var dtr, other *site
	dtr = newSite(t, newHost("dtr"), func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != basicOf:
			withBasic(w, r)
		case r.URL.Path == "/out":
			http.Redirect(w, r, other.url, http.StatusFound)
		case r.URL.Path == "/within":
			http.Redirect(w, r, "/own", http.StatusFound)
		default:
			fmt.Fprint(w, "content")
		}
	})
	other = newSite(t, newHost("other"), func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, dtr.url+"/back", http.StatusFound)
	})
	c := access.New(access.Options{CertDirs: []string{certs(t, dtr, other)}, Credentials: only(dtr.host, alice)})
	base, client := registry(t, c, dtr.host+"/app")
	mustGet(t, client, base+"/within")
	dtr.requests()
	if _, err := get(t, client, base+"/out"); err == nil || !strings.Contains(err.Error(), "status 401") {
		t.Errorf("got %v", err)
	}
	if shown := dtr.requests(); !slices.Equal(shown, []string{basicOf, ""}) {
		t.Errorf("shown were %q", shown)
	}
}

// TestLongChallengeIsNotKept: of what a server says with a 401 the part that is
// used stays in memory, and no more of that than it needs.
func TestLongChallengeIsNotKept(t *testing.T) {
	var guard *site
	guard = newSite(t, newHost("notary"), func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/token":
			fmt.Fprint(w, `{"token":"x"}`)
		case r.Header.Get("Authorization") == "":
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+guard.url+`/token",service="x",padding="`+strings.Repeat("p", 200<<10)+`"`)
			w.WriteHeader(http.StatusUnauthorized)
		default:
			fmt.Fprint(w, "content")
		}
	})
	c := access.New(access.Options{CertDirs: []string{certs(t, guard)}})
	ask := func(from, to int) {
		for i := from; i < to; i++ {
			mustGet(t, trustServer(t, c, guard.url, "", fmt.Sprintf("%s/app%d", guard.host, i)), guard.url+"/v2/")
		}
		guard.requests()
	}
	ask(0, 10) // what is made once
	before := heap()
	ask(10, 110)
	if grown := (heap() - before) / 100; grown > 50<<10 {
		t.Errorf("each repository takes %d KiB", grown>>10)
	}
	runtime.KeepAlive(c)
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// TestServersSayLittleInErrors: what a server calls another one, or itself, is
// a line of the error at most, and has no power over the terminal.
func TestServersSayLittleInErrors(t *testing.T) {
	t.Parallel()
	long, odd := "https://"+strings.Repeat("p", 3000)+".example.com/", "https://%E2%80%AE%C2%9B31m.example.com/"
	endless := strings.Repeat("p", 200<<10)
	people := newAuthority(t)
	manyNames := people.issueMany(t, 5000)
	for name, test := range map[string]struct {
		handle    http.HandlerFunc
		configure func(*tls.Config)
		want      string
	}{
		"realm":                   {challenges(`Bearer realm="` + long + `"`), nil, "ppp..."},
		"realm, odd":              {challenges(`Bearer realm="` + odd + `"`), nil, `\u202e`},
		"realm, plain HTTP":       {challenges(`Bearer realm="http` + long[5:] + `"`), nil, "which is not https"},
		"realm, endless":          {challenges(`Bearer realm="https://` + endless + `"`), nil, "more than the 4 KiB"},
		"service, endless":        {challenges(`Bearer realm="https://auth.example.com",service="` + endless + `"`), nil, "more than the 4 KiB"},
		"redirect":                {leads(long), nil, "ppp..."},
		"redirect, odd":           {leads(odd), nil, `\u202e`},
		"redirect, plain HTTP":    {leads("http" + long[5:]), nil, "which is not https"},
		"redirect, endless":       {leads("https://example.com/" + endless), nil, "not an address"},
		"redirect, to no address": {leads("https://[" + endless), nil, "not an address"},
		"names of a certificate":  {nil, func(c *tls.Config) { c.Certificates = []tls.Certificate{manyNames} }, "for another host"},
		"no HTTP": {answersRaw("HTTP/1.1 " + strings.Repeat("\x9b p", 10<<10) + "\r\n\r\n"), func(c *tls.Config) {
			c.NextProtos = []string{"http/1.1"}
		}, "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var configure []func(*tls.Config)
			if test.configure != nil {
				configure = append(configure, test.configure)
			}
			server := newSite(t, newHost("dtr"), test.handle, configure...)
			dir := certs(t, server)
			copyFile(t, people.file, filepath.Join(dir, server.host, "people.crt"))
			base, client := registry(t, access.New(access.Options{CertDirs: []string{dir}}), server.host+"/app")
			_, err := get(t, client, base+"/v2/")
			told := new(access.Error)
			if !errors.As(err, &told) || !strings.Contains(told.Error(), test.want) {
				t.Fatalf("got %.1000v, want %q", err, test.want)
			}
			text := told.Error()
			if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) || len(text) > 2000 {
				t.Errorf("%d bytes: %.1000q", len(text), text)
			}
		})
	}
}

func challenges(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", text)
		w.WriteHeader(http.StatusUnauthorized)
	}
}

func leads(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusFound)
	}
}

func answersRaw(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, text)
	}
}

// issueMany makes a certificate for as many hosts.
func (a *authority) issueMany(t *testing.T, hosts int) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(sites.Add(1)), NotAfter: time.Now().Add(time.Hour)}
	for i := range hosts {
		template.DNSNames = append(template.DNSNames, fmt.Sprintf("host-%d.example.com", i))
	}
	key := newKey(t)
	raw, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
}
