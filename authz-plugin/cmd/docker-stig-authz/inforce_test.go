package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/docker-stig/docker-stig/shared/record"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// What is published is what is in force, and never what the file came to say
// after it was read.
func TestPublish(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := &loader{path: filepath.Join(dir, "policy.json"), state: dir, log: slog.New(slog.DiscardHandler)}
	publish := func(inForce, file string) record.InForce {
		t.Helper()
		p, err := policy.Parse("policy", []byte(inForce))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(l.path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		l.publish(&force{Policy: p})
		said, err := record.ReadInForce(dir)
		if err != nil {
			t.Fatal(err)
		}
		return said
	}
	const enforced, permissive = `{"content-trust": {"mode": "enforced"}}`, `{"content-trust": {"mode": "permissive"}}`
	first := publish(enforced, enforced)
	if len(first.SHA256) != 64 || first.Mode != "enforced" || first.Path != l.path || first.PID != os.Getpid() || first.Start == 0 {
		t.Errorf("%+v", first)
	}
	if later := publish(enforced, permissive); later.SHA256 != "" || later.Mode != "enforced" {
		t.Errorf("a file that changed while it was read: %+v", later)
	}

	// Where it cannot be written the daemon serves on, and makes nothing.
	if err := record.Unsay(dir); err != nil {
		t.Fatal(err)
	}
	l.state = filepath.Join(dir, "nowhere")
	l.publish(&force{Policy: new(policy.Policy)})
	if _, err := os.Stat(l.state); !os.IsNotExist(err) {
		t.Errorf("it was made: %v", err)
	}
}
