package ucp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/docker-stig/docker-stig/cli-plugin/host/mgmt"
	"github.com/docker-stig/docker-stig/cli-plugin/host/ucp"
	"github.com/docker-stig/docker-stig/tests/doubles"
)

// start runs a double of UCP and a client that knows it.
func start(t *testing.T, change func(*mgmt.Options)) (*doubles.UCP, *ucp.Client) {
	t.Helper()
	double, err := doubles.NewUCP(t.Context(), doubles.UCPOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = double.Close() })
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, double.CA(), 0o600); err != nil {
		t.Fatal(err)
	}
	admin := doubles.DefaultAccounts()[0]
	options := mgmt.Options{URL: double.URL(), CAFile: ca, Username: admin.Username, Password: admin.Password}
	if change != nil {
		change(&options)
	}
	client, err := ucp.New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return double, client
}

// wantNoSecret holds an error to silence about passwords, tokens and what the
// configuration hides.
func wantNoSecret(t *testing.T, double *doubles.UCP, err error) {
	t.Helper()
	for _, secret := range append(double.Secrets(), doubles.CanarySecret) {
		for e := err; e != nil; e = errors.Unwrap(e) {
			if text := fmt.Sprintf("%v %+v %#v", e, e, e); strings.Contains(text, secret) {
				t.Errorf("error repeats a secret: %s", text)
			}
		}
	}
}

func TestExportAndUpload(t *testing.T) {
	t.Parallel()
	double, client := start(t, nil)
	if err := client.Login(t.Context()); err != nil {
		t.Fatal(err)
	}
	doc, err := client.ConfigTOML(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(doubles.DefaultConfig(false)), string(doc)); diff != "" {
		t.Fatalf("export differs (-want +got):\n%s", diff)
	}
	edited, err := ucp.Set(doc, trust([]string{"engineering/security"})...)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.PutConfigTOML(t.Context(), edited); err != nil {
		t.Fatal(err)
	}
	again, err := client.ConfigTOML(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	config, err := ucp.ParseConfig(again)
	if err != nil {
		t.Fatal(err)
	}
	want := ucp.Config{
		RequireContentTrust: true, HasRequireContentTrust: true, RequireSignatureFrom: []string{"engineering/security"},
		AuthBackend: "ldap", AuditLevel: "request",
	}
	if diff := cmp.Diff(want, config); diff != "" {
		t.Errorf("configuration differs (-want +got):\n%s", diff)
	}
	if double.Logins() != 1 {
		t.Errorf("%d logins, want 1", double.Logins())
	}
}

func TestExpiredTokenIsRenewed(t *testing.T) {
	t.Parallel()
	double, client := start(t, nil)
	for round := 1; round <= 3; round++ {
		if _, err := client.ConfigTOML(t.Context()); err != nil {
			t.Fatal(err)
		}
		if double.Logins() != round {
			t.Errorf("%d logins after round %d", double.Logins(), round)
		}
		double.ExpireTokens()
	}
	if err := client.PutConfigTOML(t.Context(), doubles.DefaultConfig(true)); err != nil {
		t.Fatal(err)
	}
	if double.Puts() != 1 {
		t.Errorf("%d uploads took effect, want 1", double.Puts())
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	const short = 300 * time.Millisecond
	tests := map[string]struct {
		fault   doubles.Fault
		timeout time.Duration
		want    mgmt.Kind
		says    string
	}{
		"401":                 {doubles.Unauthorized, 0, mgmt.Unauthorized, "--ucp-password-file"},
		"403":                 {doubles.Forbidden, 0, mgmt.Forbidden, "administrator of UCP"},
		"404":                 {doubles.NotFound, 0, mgmt.NotFound, "--ucp-url"},
		"500":                 {doubles.ServerError, 0, mgmt.BadStatus, "log of UCP"},
		"500 with an echo":    {doubles.Echo, 0, mgmt.BadStatus, "log of UCP"},
		"HTML":                {doubles.HTML, 0, mgmt.HTML, "login page"},
		"cut off":             {doubles.CutOff, 0, mgmt.Truncated, "ask again"},
		"silence":             {doubles.Silence, short, mgmt.Silent, "no complete answer within 300ms"},
		"silence in the body": {doubles.SilentBody, short, mgmt.Silent, "no complete answer within 300ms"},
		"endless":             {doubles.Endless, 0, mgmt.TooLarge, "longer than"},
		"redirect":            {doubles.Redirect, 0, mgmt.Redirected, `"elsewhere.example.com"`},
		"wrong CA":            {doubles.WrongCA, 0, mgmt.Untrusted, `"CN=a CA that nobody gave you"`},
		"wrong host":          {doubles.WrongHost, 0, mgmt.WrongHost, `"CN=docker-stig doubles CA"`},
		"expired certificate": {doubles.ExpiredCertificate, 0, mgmt.OutOfDate, "valid from"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			double, client := start(t, func(o *mgmt.Options) { o.Timeout = test.timeout })
			double.SetFault(test.fault)
			_, err := client.ConfigTOML(t.Context())
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("export: error is %v, want kind %q and %q in it", err, test.want, test.says)
			}
			wantNoSecret(t, double, err)
			err = client.PutConfigTOML(t.Context(), doubles.DefaultConfig(true))
			if !errors.Is(err, test.want) {
				t.Errorf("upload: error is %v, want kind %q", err, test.want)
			}
			wantNoSecret(t, double, err)
			if double.Puts() != 0 && test.want != mgmt.Truncated {
				t.Errorf("a failed upload took effect")
			}
		})
	}
}

func TestLoginFaults(t *testing.T) {
	t.Parallel()
	tests := map[doubles.Fault]mgmt.Kind{
		doubles.Unauthorized: mgmt.Unauthorized,
		doubles.HTML:         mgmt.HTML,
		doubles.Truncated:    mgmt.Truncated,
		doubles.CutOff:       mgmt.Truncated,
		doubles.Endless:      mgmt.TooLarge,
		doubles.Redirect:     mgmt.Redirected,
		doubles.Echo:         mgmt.BadStatus,
	}
	for fault, want := range tests {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			double, client := start(t, nil)
			double.SetFaultOn("/auth/login", fault)
			err := client.Login(t.Context())
			if !errors.Is(err, want) {
				t.Errorf("error is %v, want kind %q", err, want)
			}
			wantNoSecret(t, double, err)
		})
	}
}

func TestAccounts(t *testing.T) {
	t.Parallel()
	carol := doubles.DefaultAccounts()[1]
	tests := map[string]struct {
		username, password string
		want               mgmt.Kind
	}{
		"wrong password":   {"admin", "wrong-pw-canary", mgmt.Unauthorized},
		"nobody":           {"nobody", "wrong-pw-canary", mgmt.Unauthorized},
		"no administrator": {carol.Username, carol.Password, mgmt.Forbidden},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			double, client := start(t, func(o *mgmt.Options) {
				o.Username, o.Password = test.username, test.password
			})
			_, err := client.ConfigTOML(t.Context())
			if !errors.Is(err, test.want) {
				t.Errorf("error is %v, want kind %q", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), test.password) {
				t.Errorf("error repeats the password: %v", err)
			}
			wantNoSecret(t, double, err)
		})
	}
}

func TestUploadThatTakesEffectAndFails(t *testing.T) {
	t.Parallel()
	double, client := start(t, nil)
	double.SetFault(doubles.PutTakesEffectThen500)
	err := client.PutConfigTOML(t.Context(), doubles.DefaultConfig(true))
	if !errors.Is(err, mgmt.BadStatus) {
		t.Errorf("error is %v, want kind %q", err, mgmt.BadStatus)
	}
	wantNoSecret(t, double, err)
	doc, err := client.ConfigTOML(t.Context())
	if err != nil || !bytes.Equal(doc, doubles.DefaultConfig(true)) {
		t.Errorf("reading back does not tell that the upload took effect: %v", err)
	}
}

func TestUploadThatLosesSomething(t *testing.T) {
	t.Parallel()
	for fault, lost := range map[doubles.Fault]string{
		doubles.PutDropsLDAP: "[auth.ldap]", doubles.PutDropsComments: "# Docker Content Trust",
	} {
		double, client := start(t, nil)
		double.SetFault(fault)
		if err := client.PutConfigTOML(t.Context(), doubles.DefaultConfig(true)); err != nil {
			t.Fatal(err)
		}
		doc, err := client.ConfigTOML(t.Context())
		if err != nil || strings.Contains(string(doc), lost) {
			t.Errorf("%s: reading back does not show the loss of %s: %v", fault, lost, err)
		}
		if _, err := ucp.ParseConfig(doc); err != nil {
			t.Errorf("%s: what is left does not parse: %v", fault, err)
		}
	}
}

func TestBrokenDocumentIsNotUploaded(t *testing.T) {
	t.Parallel()
	double, client := start(t, nil)
	err := client.PutConfigTOML(t.Context(), []byte("secret = "+doubles.CanarySecret))
	if err == nil || double.Requests() != 0 {
		t.Errorf("error is %v after %d requests, want an error and no request", err, double.Requests())
	}
	wantNoSecret(t, double, err)
}

func TestExportEndsWithContext(t *testing.T) {
	t.Parallel()
	double, client := start(t, nil)
	double.SetFault(doubles.Silence)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := client.ConfigTOML(ctx); !errors.Is(err, mgmt.Interrupted) {
		t.Errorf("error is %v, want kind %q", err, mgmt.Interrupted)
	}
}
