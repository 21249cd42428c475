package signing

import (
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMain(m *testing.M) {
	scryptCost = 1 << 10 // what it protects here is gone in a moment
	os.Exit(m.Run())
}

func certificatePEM(server *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}

func TestPassphrases(t *testing.T) {
	t.Parallel()
	answers := func(given ...string) func(string) (string, error) {
		return func(string) (string, error) {
			if len(given) == 0 {
				return "", errors.New("asked too often")
			}
			one := given[0]
			given = given[1:]
			return one, nil
		}
	}
	none := map[string]string{}
	for name, c := range map[string]struct {
		env     map[string]string
		ask     func(string) (string, error)
		role    string
		isNew   bool
		attempt int
		want    string
		wrong   string
	}{
		"root's variable":       {env: map[string]string{rootVariable: "r", repositoryVariable: "p"}, role: "root", want: "r"},
		"a signer's variable":   {env: map[string]string{rootVariable: "r", repositoryVariable: "p"}, role: "qa", want: "p"},
		"targets' variable":     {env: map[string]string{repositoryVariable: "p"}, role: "targets", want: "p"},
		"wrong variable":        {env: map[string]string{repositoryVariable: "p"}, role: "qa", attempt: 1, wrong: repositoryVariable + " is wrong"},
		"nobody":                {env: none, role: "root", wrong: "set " + rootVariable},
		"asked":                 {env: none, ask: answers("typed"), role: "qa", want: "typed"},
		"asked too often":       {env: none, ask: answers("typed"), role: "qa", attempt: maxAttempts, wrong: "were wrong"},
		"new":                   {env: none, ask: answers("long enough", "long enough"), role: "qa", isNew: true, want: "long enough"},
		"new, and too short":    {env: none, ask: answers("short", "short"), role: "qa", isNew: true, wrong: "too short"},
		"new, and two of them":  {env: none, ask: answers("long enough", "long enouhg"), role: "qa", isNew: true, wrong: "differ"},
		"root's is not another": {env: map[string]string{repositoryVariable: "p"}, role: "root", wrong: rootVariable},
	} {
		p := &Passphrases{Env: func(name string) string { return c.env[name] }, Ask: c.ask}
		got, giveUp, err := p.get("0123456789", c.role, c.isNew, c.attempt)
		if got != c.want || giveUp != (c.wrong != "") {
			t.Errorf("%s: %q, %v", name, got, giveUp)
		}
		if c.wrong != "" && (err == nil || !strings.Contains(p.why().Error(), c.wrong)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p := &Passphrases{Env: func(string) string { return "" }, Ask: answers("once")}
	for range 2 { // the second key of the role is not asked about
		if got, _, err := p.get("0123456789", "qa", false, 0); got != "once" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
}

func TestGenerateKey(t *testing.T) {
	t.Parallel()
	s := newSigner(t, nil)
	dir := t.TempDir()
	key, path, err := s.GenerateKey("qa", dir)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	public, err := ParsePublicKey(raw, time.Now())
	if err != nil || public.ID() != key.ID {
		t.Errorf("the public half is not the key's: %v", err)
	}
	private := filepath.Join(s.keys.dir, key.ID+".key")
	info, err := os.Stat(private)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if raw, _ := os.ReadFile(private); !strings.Contains(string(raw), "ENCRYPTED PRIVATE KEY") || !strings.Contains(string(raw), "role: qa") {
		t.Errorf("%s", raw)
	}
	if _, _, err := s.GenerateKey("qa", dir); err == nil {
		t.Error("the public key was overwritten")
	}
	if _, _, err := s.GenerateKey("other", filepath.Join(dir, "none")); err == nil || len(s.Keys()) != 1 {
		t.Errorf("a key without its public half is kept: %v, %v", err, s.Keys())
	}
}

func TestKeysOfAnOpenFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "private"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "private"), 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Dir: dir, Passphrases: &Passphrases{}}); err == nil || !strings.Contains(err.Error(), "chmod go-w") {
		t.Error(err)
	}
}

// backedUp is a backup of two keys, and the folder they came from.
func backedUp(t *testing.T) (s *Signer, file string) {
	t.Helper()
	s = newSigner(t, nil)
	for _, name := range []string{"qa", "security"} {
		if _, _, err := s.GenerateKey(name, t.TempDir()); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, "keys.pem")
	if _, err := s.Backup(file, "correct horse"); err != nil {
		t.Fatal(err)
	}
	return s, file
}

func TestBackup(t *testing.T) {
	t.Parallel()
	s, file := backedUp(t)
	other := newSigner(t, nil)
	restored, err := other.Restore(file, "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s.Keys(), restored); diff != "" {
		t.Errorf("-was +restored:\n%s", diff)
	}
	if err := other.keys.unlock(restored[0].ID, "it"); err != nil {
		t.Error(err)
	}
	if again, err := other.Restore(file, "correct horse"); err != nil || len(again) != 0 {
		t.Errorf("%v, %v", again, err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestBackupRefuses(t *testing.T) {
	t.Parallel()
	s, file := backedUp(t)
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	spoiled := func(change func([]byte) []byte) string {
		path := filepath.Join(t.TempDir(), "spoiled.pem")
		if err := os.WriteFile(path, change(slices.Clone(raw)), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	flip := func(raw []byte) []byte {
		block, _ := pem.Decode(raw)
		block.Bytes[len(block.Bytes)/2] ^= 1
		return pem.EncodeToMemory(block)
	}
	short := func(raw []byte) []byte {
		block, _ := pem.Decode(raw)
		block.Bytes = block.Bytes[:saltSize]
		return pem.EncodeToMemory(block)
	}
	other := newSigner(t, nil)
	for name, c := range map[string]struct{ file, passphrase, want string }{
		"wrong passphrase": {file, "correct house", "passphrase is wrong"},
		"flipped bit":      {spoiled(flip), "correct horse", "was changed"},
		"cut short":        {spoiled(short), "correct horse", "breaks off"},
		"no backup":        {spoiled(func([]byte) []byte { return []byte("hello") }), "correct horse", "no backup"},
		"a newer one":      {spoiled(func(raw []byte) []byte { return []byte(strings.Replace(string(raw), "Version: 1", "Version: 2", 1)) }), "correct horse", "newer docker stig"},
		"not there":        {file + ".none", "correct horse", "no such file"},
	} {
		if _, err := other.Restore(c.file, c.passphrase); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(other.Keys()) != 0 {
		t.Errorf("restored all the same: %v", other.Keys())
	}
	if _, err := s.Backup(file, "correct horse"); err == nil || !strings.Contains(err.Error(), "not overwritten") {
		t.Error(err)
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Restore(file, "correct horse"); err == nil || !strings.Contains(err.Error(), "others may read") {
		t.Error(err)
	}
}

func FuzzParseBackup(f *testing.F) {
	f.Add(pem.EncodeToMemory(&pem.Block{Type: backupType, Headers: map[string]string{"Version": backupVersion}, Bytes: make([]byte, 100)}))
	f.Add([]byte("-----BEGIN " + backupType + "-----\n-----END " + backupType + "-----\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if box, err := parseBackup(raw); err == nil && len(box.salt) != saltSize {
			t.Errorf("a salt of %d bytes", len(box.salt))
		}
	})
}

func FuzzParseFiles(f *testing.F) {
	f.Add([]byte(`{"` + strings.Repeat("0a", 32) + `":"-----BEGIN PRIVATE KEY-----\nrole: qa\n\n-----END PRIVATE KEY-----\n"}`))
	f.Add([]byte(`{"../x":""}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		files, err := parseFiles(raw)
		if err != nil {
			return
		}
		for id := range files {
			if !filepath.IsLocal(id) || len(id) != 64 {
				t.Errorf("a key would be written to %q", id)
			}
		}
	})
}

func FuzzParseKeys(f *testing.F) {
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"))
	f.Add([]byte("-----BEGIN EC PRIVATE KEY-----\n-----END EC PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if key, err := ParsePublicKey(raw, time.Unix(0, 0)); err == nil && key.ID() == "" {
			t.Error("a key without an ID")
		}
		if key, err := plainKey(raw); err == nil && key.ID() == "" {
			t.Error("a key without an ID")
		}
	})
}
