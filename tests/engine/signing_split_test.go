package engine

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/tests/testbed"
)

// A vault is a machine with keys and without a network.
type vault struct {
	*signingBed
	config string // its DOCKER_CONFIG
	env    []string
}

func newVault(t *testing.T, b *signingBed) *vault {
	t.Helper()
	v := &vault{b, t.TempDir(), nil}
	private := filepath.Join(b.variable("DOCKER_CONFIG"), "trust", "private")
	if err := os.MkdirAll(filepath.Join(v.config, "trust"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(private, filepath.Join(v.config, "trust", "private")); err != nil {
		t.Fatal(err)
	}
	return v
}

// stig runs docker stig where only the loopback of an empty network is, and
// that is down.
func (v *vault) stig(t *testing.T, code int, args ...string) output {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	words := append([]string{"--net", filepath.Join(programs, "docker-stig"), "stig"}, args...)
	cmd := exec.CommandContext(ctx, "unshare", words...)
	cmd.Env = append(append(os.Environ(), v.Env()...), "DOCKER_CONFIG="+v.config)
	cmd.Env = append(cmd.Env, v.env...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	out := output{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
	if out.code != code {
		t.Errorf("docker stig %s in the vault: exit code %d, want %d\n%s%s", strings.Join(args, " "), out.code, code, out.stdout, out.stderr)
	}
	return out
}

// stranger is a machine with a signer's keys alone, and without a policy: it
// has seen no root.
func (v *vault) stranger(t *testing.T) *vault {
	t.Helper()
	other := &vault{v.signingBed, t.TempDir(), []string{"STIG_POLICY="}}
	private := filepath.Join(other.config, "trust", "private")
	if err := os.MkdirAll(private, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, key := range files(t, filepath.Join(v.config, "trust", "private")) {
		if strings.Contains(key, "role: qa\n") {
			writeSecret(t, filepath.Join(private, name), []byte(key))
		}
	}
	return other
}

// spoil changes one digit in what was signed for a role.
func spoil(t *testing.T, path, role string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(raw), `"`+role+`": "ey`)
	text, _, _ := strings.Cut(after, `"`)
	signed, err := base64.StdEncoding.DecodeString("ey" + text)
	if !found || err != nil {
		t.Fatalf("there is no %s in %s: %v", role, path, err)
	}
	at := bytes.Index(signed, []byte(`"expires":"2`)) + len(`"expires":"2`)
	signed[at] ^= 1
	writeSecret(t, path, []byte(strings.Replace(string(raw), "ey"+text, base64.StdEncoding.EncodeToString(signed), 1)))
}

// TestSignHerePublishThere signs on a machine without a network.
func TestSignHerePublishThere(t *testing.T) {
	b := newSigningBed(t, testbed.Docker)
	v := newVault(t, b)
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	images := b.pushed(t, "prod/app:1", "prod/web:1")

	out := b.stig(t, 0, "trust", "sign", "--prepare", file("work.json"), images[0].Ref, images[1].Ref)
	if !strings.Contains(out.stdout, images[0].Digest) {
		t.Errorf("want the list\n%s", out.stdout)
	}
	if info, err := os.Stat(file("work.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	b.stig(t, 1, "trust", "sign", "--from", file("work.json"), "--out", file("none.json"), "--yes", "--signer", "qa") // no keys
	if out := v.stig(t, 1, "trust", "sign", "--from", file("work.json"), "--out", file("signed.json"), "--signer", "qa"); !strings.Contains(out.stdout, b.image("prod/app")+" has no signatures, and begins") || !strings.Contains(out.stderr, "nobody is there to ask") {
		t.Errorf("want the list and a question\n%s%s", out.stdout, out.stderr)
	}
	v.stig(t, 0, "trust", "sign", "--from", file("work.json"), "--out", file("signed.json"), "--yes", "--signer", "qa")
	v.stig(t, 1, "trust", "sign", "--from", file("work.json"), "--out", file("signed.json"), "--yes", "--signer", "qa") // overwrites nothing
	b.stig(t, 2, "trust", "verify", images[0].Ref)
	out = b.stig(t, 0, "trust", "publish", "--yes", file("signed.json"))
	if !strings.Contains(out.stderr, "[2/2] ") || strings.Count(out.stdout, "\nsigned: ") != 2 {
		t.Errorf("want two tags in two repositories\n%s%s", out.stdout, out.stderr)
	}
	b.pin(t, out, "prod/app", "prod/web")
	b.stig(t, 0, "trust", "verify", images[0].Ref, images[1].Ref)
	if got := b.inspected(t, "prod/app")["1"]; got != images[0].Digest+" qa" {
		t.Errorf("docker trust inspect: %s", got)
	}
	if out := b.stig(t, 0, "trust", "publish", "--yes", file("signed.json")); strings.Count(out.stdout, "signed before: ") != 2 {
		t.Errorf("once more\n%s", out.stdout)
	}
	next := b.pushed(t, "prod/app:2", "prod/app:3")

	t.Run("one more tag", func(t *testing.T) {
		b.stig(t, 0, "trust", "sign", "--prepare", file("work2.json"), next[0].Ref)
		out := v.stig(t, 0, "trust", "sign", "--from", file("work2.json"), "--out", file("signed2.json"), "--yes")
		if !strings.Contains(out.stdout, "which the policy pins") {
			t.Error(out.stdout)
		}
		b.stig(t, 0, "trust", "publish", "--yes", file("signed2.json"))
		b.stig(t, 0, "trust", "verify", next[0].Ref)
	})
	t.Run("root that is not known", func(t *testing.T) {
		key := rootKeyLine.FindStringSubmatch(out.stdout)[1]
		stranger := v.stranger(t)
		more := b.pushed(t, "prod/app:4")[0]
		b.stig(t, 0, "trust", "sign", "--prepare", file("work5.json"), more.Ref)
		sign := func(code int, to string, args ...string) output {
			return stranger.stig(t, code, append([]string{"trust", "sign", "--from", file("work5.json"), "--out", file(to), "--yes"}, args...)...)
		}
		if out := sign(1, "signed5.json"); !strings.Contains(out.stdout, key+", NOT KNOWN HERE") || !strings.Contains(out.stderr, "--yes does not vouch for it") {
			t.Errorf("want the root key and a refusal\n%s%s", out.stdout, out.stderr)
		}
		sign(1, "signed5.json", "--accept-root", strings.Repeat("0", 64))
		sign(0, "signed5.json", "--accept-root", key)
		if out := sign(0, "again.json"); !strings.Contains(out.stdout, "as it was seen here before") {
			t.Error(out.stdout)
		}
		spoil(t, file("signed5.json"), "targets/qa")
		if out := b.stig(t, 1, "trust", "publish", "--yes", file("signed5.json")); !strings.Contains(out.stdout, "its targets/qa does not verify") {
			t.Errorf("want it refused before the server does\n%s%s", out.stdout, out.stderr)
		}
		b.stig(t, 2, "trust", "verify", more.Ref)
		b.stig(t, 0, "trust", "publish", "--yes", file("again.json"))
		b.stig(t, 0, "trust", "verify", more.Ref)
	})
	t.Run("changed in between", func(t *testing.T) {
		b.stig(t, 0, "trust", "sign", "--prepare", file("work3.json"), next[1].Ref, images[1].Ref)
		v.stig(t, 0, "trust", "sign", "--from", file("work3.json"), "--out", file("signed3.json"), "--yes")
		b.must(t)(b.Sign(t.Context(), "prod/theirs:1", "qa")) // another repository is none of it
		theirs := b.pushed(t, "prod/app:theirs")[0]
		b.stig(t, 0, "trust", "sign", "--prepare", file("work4.json"), theirs.Ref)
		v.stig(t, 0, "trust", "sign", "--from", file("work4.json"), "--out", file("signed4.json"), "--yes")
		b.stig(t, 0, "trust", "publish", "--yes", file("signed4.json"))
		out := b.stig(t, 1, "trust", "publish", "--yes", file("signed3.json"))
		if !strings.Contains(out.stdout, "prepare and sign anew") || !strings.Contains(out.stdout, "signed before: "+images[1].Ref) {
			t.Errorf("want one refused, and one unchanged\n%s%s", out.stdout, out.stderr)
		}
		b.stig(t, 2, "trust", "verify", next[1].Ref)
		b.stig(t, 0, "trust", "verify", theirs.Ref)
	})
	t.Run("what was prepared is old", func(t *testing.T) {
		out := v.stig(t, 1, "trust", "sign", "--from", file("work2.json"), "--out", file("old.json"), "--yes")
		if !strings.Contains(out.stderr, "prepare anew") {
			t.Error(out.stderr)
		}
	})
	t.Run("another server", func(t *testing.T) {
		out := b.stig(t, 1, "trust", "publish", "--yes", "--server", "https://localhost:1", file("signed2.json"))
		if !strings.Contains(out.stdout, "was prepared from "+b.NotaryURL()) {
			t.Error(out.stdout)
		}
	})
}
