package doubles

import (
	"testing"

	"github.com/pelletier/go-toml/v2"
)

func TestFaultsHaveNames(t *testing.T) {
	t.Parallel()
	for _, fault := range knownFaults {
		if got, err := ParseFault(string(fault)); err != nil || got != fault {
			t.Errorf("ParseFault(%q) is %q, %v", fault, got, err)
		}
	}
	for fault := range actions {
		if _, err := ParseFault(string(fault)); err != nil {
			t.Errorf("fault %q cannot be named", fault)
		}
	}
	if _, err := ParseFault("nonsense"); err == nil {
		t.Error("nonsense is a fault")
	}
}

func TestDefaultConfig(t *testing.T) {
	t.Parallel()
	for _, want := range []bool{false, true} {
		var config struct {
			Trust struct {
				Require bool `toml:"require_content_trust"`
			} `toml:"trust_configuration"`
			Auth struct {
				LDAP struct {
					Password string `toml:"reader_password"`
				} `toml:"ldap"`
			} `toml:"auth"`
		}
		if err := toml.Unmarshal(DefaultConfig(want), &config); err != nil {
			t.Fatal(err)
		}
		if config.Trust.Require != want || config.Auth.LDAP.Password != CanarySecret {
			t.Errorf("DefaultConfig(%v) is %+v", want, config)
		}
	}
}

func TestCloseTwice(t *testing.T) {
	t.Parallel()
	double, err := NewDTR(t.Context(), DTROptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := double.Close(); err != nil {
		t.Errorf("closing: %v", err)
	}
	if err := double.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}
