package doubles

import (
	_ "embed"
	"strings"
)

//go:embed testdata/ucp-config.toml
var exampleConfig string

// DefaultConfig is a configuration with the tables of the UCP guide, with
// comments, LDAP, an audit log and CanarySecret in it. It asks for signed
// images only if contentTrust.
//
// [auth.ldap] is in it so that its loss can be seen, although the guide says
// that UCP leaves it out of an export.
func DefaultConfig(contentTrust bool) []byte {
	want := "require_content_trust = false"
	if contentTrust {
		want = "require_content_trust = true"
	}
	return []byte(strings.NewReplacer("@CANARY@", CanarySecret, "@CONTENT_TRUST@", want).Replace(exampleConfig))
}
