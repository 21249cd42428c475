package notary_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/notary"
	"github.com/docker/go/canonical/json"
	"github.com/theupdateframework/notary/tuf/data"
)

// TestFormsThatBreakReaders: a null where a role belongs, nesting without end,
// thousands of signatures. None ends the process or takes longer than a round.
func TestFormsThatBreakReaders(t *testing.T) {
	t.Parallel()
	const header = `{"signed":{"_type":"Targets","version":9,"expires":"2040-01-01T00:00:00Z","targets":{},"delegations":{"keys":{},"roles":`
	for name, raw := range map[string]string{
		"null role":        header + `[null]}},"signatures":[]}`,
		"null roles":       header + `null}},"signatures":[]}`,
		"deep":             header + strings.Repeat("[", 1<<20) + strings.Repeat("]", 1<<20) + `}},"signatures":[]}`,
		"other members":    `{"signed":{},"signatures":[],"signed ":{}}`,
		"not UTF-8":        "{\"signed\":{\"\xff\":1},\"signatures\":[]}",
		"data behind":      `{"signed":{},"signatures":[]}{}`,
		"signed is number": `{"signed":5,"signatures":[]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.ServeRaw("targets/alice", []byte(raw))
			b.scope.Signers = []string{"alice"}
			if _, err := b.verify(t, gun+":v1"); err == nil {
				t.Error("accepted")
			}
			b.scope.Signers = nil
			if _, err := b.verify(t, gun+":v1"); err != nil {
				t.Errorf("a delegation that nothing rests on was in the way: %v", err)
			}
		})
	}
}

// TestManySignatures: whoever answers for the server, without any key, may
// neither keep a processor busy nor keep the cached copy from serving.
func TestManySignatures(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, err := b.verify(t, gun+":v1")
	must(t, err)
	root := b.TUF.Root.Signed
	id := b.RootKey().ID()
	role := *root.Roles["root"]
	role.KeyIDs = strings.Split(strings.TrimSuffix(strings.Repeat(id+" ", 6000), " "), " ")
	root.Roles = map[data.RoleName]*data.RootRole{"root": &role, "targets": root.Roles["targets"], "snapshot": root.Roles["snapshot"], "timestamp": root.Roles["timestamp"]}
	unsigned, err := (&data.SignedRoot{Signed: root}).ToSigned()
	must(t, err)
	for range 2500 {
		unsigned.Signatures = append(unsigned.Signatures, data.Signature{KeyID: id, Method: "ecdsa", Signature: bytes.Repeat([]byte{1}, 64)})
	}
	raw, err := json.Marshal(unsigned)
	must(t, err)
	b.server.Fault(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "root.json") {
			_, _ = w.Write(raw)
			return
		}
		_, _ = w.Write([]byte(`{"signed":{},"signatures":[]}`))
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ref, err := reference.ParseNormalizedNamed(gun + ":v1")
	must(t, err)
	_, err = notary.New(b.opts).Verify(ctx, trust.Question{Ref: ref}, b.scope)
	if ctx.Err() != nil {
		t.Fatalf("it took more than 10 s: %v", err)
	}
}

// TestSpoiledCacheDoesNotCrash: what lies on disk is outside input, too.
func TestSpoiledCacheDoesNotCrash(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, err := b.verify(t, gun+":v1")
	must(t, err)
	files, err := filepath.Glob(filepath.Join(b.opts.CacheDir, "*.json"))
	must(t, err)
	deep := base64.StdEncoding.EncodeToString([]byte(`{"signed":` + strings.Repeat("[", 1<<20)))
	must(t, os.WriteFile(files[0], []byte(fmt.Sprintf(`{"gun":%q,"roots":[%q],"roles":{"targets":%q}}`, gun, deep, deep)), 0o600))
	if signed, err := b.verify(t, gun+":v1"); err != nil || signed.Source != trust.Server {
		t.Errorf("got %+v, %v", signed, err)
	}
}

// FuzzParse: whatever bytes come, reading them ends, and what is accepted says
// the same to a reader of maps and to one of structs.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"signed":{"_type":"Targets","version":1},"signatures":[]}`))
	f.Add([]byte(`{"signed":{"a":1,"a":2},"signatures":[]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := notary.CheckForm(raw); err != nil {
			return
		}
		var first, second map[string]any
		if json.Unmarshal(raw, &first) != nil {
			return
		}
		again, err := json.Marshal(first)
		if err != nil || json.Unmarshal(again, &second) != nil || len(first) != len(second) {
			t.Errorf("accepted, and lost on the way: %q", raw)
		}
	})
}
