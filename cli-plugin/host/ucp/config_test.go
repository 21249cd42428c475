package ucp_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docker-stig/docker-stig/cli-plugin/host/ucp"
	"github.com/docker-stig/docker-stig/tests/doubles"
)

func TestParseConfig(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		doc  string
		want ucp.Config
	}{
		"empty":         {"", ucp.Config{}},
		"default":       {string(doubles.DefaultConfig(false)), ucp.Config{HasRequireContentTrust: true, RequireSignatureFrom: []string{}, AuthBackend: "ldap", AuditLevel: "request"}},
		"key absent":    {"[trust_configuration]\n", ucp.Config{}},
		"dotted":        {"trust_configuration.require_content_trust = true", ucp.Config{RequireContentTrust: true, HasRequireContentTrust: true}},
		"inline":        {"trust_configuration = {require_signature_from = ['a', 'b']}", ucp.Config{RequireSignatureFrom: []string{"a", "b"}}},
		"quoted":        {"[\"trust_configuration\"]\n'require_content_trust' = true", ucp.Config{RequireContentTrust: true, HasRequireContentTrust: true}},
		"other case":    {"[trust_configuration]\nRequire_Content_Trust = true", ucp.Config{}},
		"other table":   {"[other]\nrequire_content_trust = true", ucp.Config{}},
		"audit off":     {"[audit_log_configuration]\nlevel = ''", ucp.Config{}},
		"other backend": {"[auth]\nbackend = 'managed'", ucp.Config{AuthBackend: "managed"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ucp.ParseConfig([]byte(test.doc))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseConfigErrors(t *testing.T) {
	t.Parallel()
	const secret = doubles.CanarySecret
	tests := map[string]struct{ doc, want string }{
		"unquoted":         {"[auth]\n  password = " + secret, "line 2, column 14"},
		"unterminated":     {"a = 1\nb = \"" + secret, "line 2"},
		"twice":            {"a = 1\na = \"" + secret + "\"", "line 2, column 1"},
		"HTML":             {"<html>" + secret, "line 1, column 1"},
		"true as a string": {"[trust_configuration]\nrequire_content_trust = \"true\"", "require_content_trust in the UCP configuration is no bool"},
		"number":           {"[trust_configuration]\nrequire_content_trust = 1", "is no bool"},
		"one team":         {"[trust_configuration]\nrequire_signature_from = \"" + secret + "\"", "require_signature_from"},
		"team of numbers":  {"[trust_configuration]\nrequire_signature_from = [1]", "no string"},
		"no table":         {"trust_configuration = \"" + secret + "\"", "is no table"},
		"array of tables":  {"[[trust_configuration]]\nrequire_content_trust = true", "is no table"},
		"backend":          {"[auth]\nbackend = [\"" + secret + "\"]", "auth.backend"},
		"level":            {"[audit_log_configuration]\nlevel = true", "audit_log_configuration.level"},
		"not UTF-8":        {"a = \"\xff" + secret + "\"", "line 1"},
		"too long":         {"# " + strings.Repeat("x", 4<<20), "longer than"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := ucp.ParseConfig([]byte(test.doc))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error is %v, want %q in it", err, test.want)
			}
			for e := err; e != nil; e = errors.Unwrap(e) {
				if strings.Contains(e.Error(), secret) {
					t.Errorf("error repeats a secret: %v", e)
				}
			}
		})
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add(doubles.DefaultConfig(true))
	f.Add([]byte("trust_configuration = {require_signature_from = ['a', 1]}"))
	f.Add([]byte("[[trust_configuration]]"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		config, err := ucp.ParseConfig(doc)
		if err == nil && config.RequireContentTrust && !config.HasRequireContentTrust {
			t.Error("a key that is absent is true")
		}
	})
}
