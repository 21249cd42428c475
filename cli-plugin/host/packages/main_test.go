package packages

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// scratch holds what the tests make once: keys, a host, packages.
var scratch string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if scratch, err = os.MkdirTemp("", "pkg"); err != nil { // short: gpg-agent's socket lies below it
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		_ = exec.Command("gpgconf", "--homedir", gpgHome(), "--kill", "gpg-agent").Run()
		_ = os.RemoveAll(scratch)
	}()
	return m.Run()
}

// need skips a test whose tools are missing, unless the environment demands
// that it runs.
func need(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err == nil {
			continue
		}
		skip(t, tool+" is missing: apt-get install gpg gpg-agent apt-utils dpkg-dev rpm")
	}
}

// needRoot skips a test whose tools change their root directory.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	skip(t, "rpm --root changes the root directory, which needs root")
}

// skip passes over what this machine cannot do, unless the environment demands
// that everything runs.
func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("STIG_REQUIRE_ENGINE") == "1" {
		t.Fatalf("STIG_REQUIRE_ENGINE=1, but %s", why)
	}
	t.Skip("unsupported here: " + why)
}

// sh runs a program and gives its output.
func sh(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func gpgHome() string { return filepath.Join(scratch, "gpg") }

func gpg(t *testing.T, args ...string) string {
	t.Helper()
	return sh(t, []string{"GNUPGHOME=" + gpgHome()}, "gpg",
		append([]string{"--batch", "--yes", "--quiet", "--no-tty", "--pinentry-mode", "loopback", "--passphrase", ""}, args...)...)
}

// The keys of the tests, by the local part of their user ID.
const (
	vendor   = "vendor@example.com"   // approved where a test wants a proof
	stranger = "stranger@example.com" // nobody's
	brief    = "brief@example.com"    // valid for a year
	revokedK = "revoked@example.com"  // signs, and is revoked in what export gives
	withSub  = "subkey@example.com"   // signs with a subkey
)

var fingerprints = map[string]string{}

var makeKeys sync.Once

// keys makes them with gpg, once.
func keys(t *testing.T) {
	t.Helper()
	need(t, "gpg", "gpg-agent", "gpgconf")
	makeKeys.Do(func() {
		if err := os.Mkdir(gpgHome(), 0o700); err != nil {
			t.Fatal(err)
		}
		for who, life := range map[string]string{vendor: "never", stranger: "never", brief: "1y", revokedK: "never", withSub: "never"} {
			use := "sign"
			if who == withSub {
				use = "cert"
			}
			gpg(t, "--quick-gen-key", who+" <"+who+">", "rsa2048", use, life)
			fingerprints[who] = fieldOf(gpg(t, "--with-colons", "--list-keys", who), "fpr", 9)
		}
		gpg(t, "--quick-add-key", fingerprints[withSub], "rsa2048", "sign", "never")
	})
	if len(fingerprints) != 5 {
		t.Fatal("keys could not be made")
	}
}

func fieldOf(colons, kind string, n int) string {
	for line := range strings.Lines(colons) {
		if fields := strings.Split(strings.TrimSpace(line), ":"); fields[0] == kind && len(fields) > n {
			return fields[n]
		}
	}
	return ""
}

// export writes public keys to a file, armored or not.
func export(t *testing.T, file string, armored bool, who ...string) {
	t.Helper()
	keys(t)
	args := []string{"--output", file, "--export"}
	if armored {
		args = append([]string{"--armor"}, args...)
	}
	must(t, os.MkdirAll(filepath.Dir(file), 0o755))
	gpg(t, append(args, who...)...)
}

// exportRevoked writes the key together with its revocation certificate.
func exportRevoked(t *testing.T, file string) {
	t.Helper()
	keys(t)
	home := t.TempDir()
	must(t, os.Chmod(home, 0o700))
	must(t, os.MkdirAll(filepath.Dir(file), 0o755))
	rev := read(t, filepath.Join(gpgHome(), "openpgp-revocs.d", fingerprints[revokedK]+".rev"))
	cert := filepath.Join(home, "cert")
	write(t, cert, strings.Replace(rev, ":-----BEGIN", "-----BEGIN", 1))
	plain := filepath.Join(home, "plain")
	export(t, plain, false, revokedK)
	env := []string{"GNUPGHOME=" + home}
	sh(t, env, "gpg", "--batch", "--quiet", "--no-autostart", "--import", plain)
	sh(t, env, "gpg", "--batch", "--quiet", "--no-autostart", "--import", cert)
	sh(t, env, "gpg", "--batch", "--quiet", "--no-autostart", "--yes", "--output", file, "--export", revokedK)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	must(t, err)
	return string(data)
}

func write(t *testing.T, file, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(file), 0o755))
	_ = os.Remove(file) // never write through a link of apt's into the repository
	must(t, os.WriteFile(file, []byte(text), 0o644))
}

// edit replaces text in a file, and fails if it is not there.
func edit(t *testing.T, file, old, with string) {
	t.Helper()
	text := read(t, file)
	if !strings.Contains(text, old) {
		t.Fatalf("%s does not hold %q", file, old)
	}
	write(t, file, strings.ReplaceAll(text, old, with))
}

// want holds an answer against what a case expects: no text is a proof;
// "refused: TEXT" a finding; "unknown: TEXT" a question left open.
func want(t *testing.T, expected string, proof Proof, err error) {
	t.Helper()
	for _, f := range proof.Facts {
		t.Logf("fact: %s | %s | %s", f.Source, f.Asked, f.Answer)
	}
	var refused *Refused
	got := ""
	switch {
	case errors.As(err, &refused):
		got = "refused: " + refused.Error()
		for _, f := range refused.Facts {
			t.Logf("fact: %s | %s | %s", f.Source, f.Asked, f.Answer)
		}
		if refused.Advice == "" {
			t.Error("a refusal without advice")
		}
	case err != nil:
		got = "unknown: " + err.Error()
	}
	t.Logf("answer: %s", got)
	kind, text, _ := strings.Cut(expected, ": ")
	gotKind, _, _ := strings.Cut(got, ": ")
	if gotKind != kind || !strings.Contains(got, text) {
		t.Fatalf("got  %s\nwant %s", got, expected)
	}
}

// now lies behind the making of every key and signature.
var now = time.Now().Add(time.Hour)
