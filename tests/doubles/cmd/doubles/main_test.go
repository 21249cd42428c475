package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker-stig/docker-stig/tests/doubles"
)

func TestRun(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "it's here")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var log bytes.Buffer
	err := run(ctx, []string{"--dir", dir, "--content-trust"}, &log, func(env string) {
		defer cancel()
		text, err := os.ReadFile(env)
		if err != nil {
			t.Error(err)
			return
		}
		for _, double := range []string{"UCP", "DTR"} {
			for _, name := range []string{"_URL='https://127.0.0.1:", "_CA='", "_USERNAME='admin'", "_PASSWORD_FILE='"} {
				if want := "export STIG_" + double + name; !strings.Contains(string(text), want) {
					t.Errorf("doubles.env lacks %s:\n%s", want, text)
				}
			}
			ping(t, dir, strings.ToLower(double), string(text))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "double=UCP") || !strings.Contains(log.String(), "double=DTR") {
		t.Errorf("the log does not call the doubles doubles:\n%s", &log)
	}
	if strings.Contains(log.String(), doubles.DefaultAccounts()[0].Password) {
		t.Error("the log repeats a password")
	}
	if _, err := os.Stat(filepath.Join(dir, "doubles.env")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("doubles.env is still there: %v", err)
	}
}

// ping asks a double, trusting the CA that was written for it.
func ping(t *testing.T, dir, double, env string) {
	t.Helper()
	ca, err := os.ReadFile(filepath.Join(dir, double+"-ca.pem"))
	if err != nil {
		t.Error(err)
		return
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	_, rest, _ := strings.Cut(env, "STIG_"+strings.ToUpper(double)+"_URL='")
	url, _, _ := strings.Cut(rest, "'")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/_ping", nil)
	if err != nil {
		t.Error(err)
		return
	}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}}}
	resp, err := client.Do(req)
	if err != nil {
		t.Error(err)
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || !strings.Contains(resp.Header.Get("Server"), "double") {
		t.Errorf("%s: status %s, Server %q", double, resp.Status, resp.Header.Get("Server"))
	}
	info, err := os.Stat(filepath.Join(dir, double+"-password"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("password file: %v, %v", info, err)
	}
}

func TestBadArguments(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"--dir DIR":     {},
		"no fault":      {"--dir", t.TempDir(), "--ucp-fault", "nonsense"},
		"no account":    {"--dir", t.TempDir(), "--account", "nobody"},
		"not defined":   {"--nonsense"},
		"not a directo": {"--dir", "/dev/null/x"},
	} {
		err := run(t.Context(), args, &bytes.Buffer{}, func(string) { t.Errorf("%q: ready", args) })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error is %v, want %q in it", args, err, want)
		}
	}
}
