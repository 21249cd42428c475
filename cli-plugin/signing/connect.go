package signing

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/docker-stig/docker-stig/shared/trust/access"
	"github.com/theupdateframework/notary/storage"
	"github.com/theupdateframework/notary/tuf/data"
)

// maxAnswer bounds what a trust server answers; the metadata of 100,000 tags
// has 20 MiB.
const maxAnswer = 32 << 20 // bytes

// A refusal is what a trust server answers instead of doing what it was asked.
type refusal struct {
	server string
	code   int    // of HTTP
	reason string // of Notary's API, such as VERSION
	gun    string
}

// Error says what to do about it. The server's own words stay out.
func (r refusal) Error() string {
	switch {
	case r.reason == oldVersion:
		return fmt.Sprintf("trust server %s, repository %s: %v", r.server, r.gun, errConflict)
	case r.code == http.StatusForbidden:
		return fmt.Sprintf("trust server %s does not let this login sign %s (403)", r.server, r.gun)
	case r.code >= 300 && r.code < 400:
		return fmt.Sprintf("trust server %s redirects (%d): name the server itself with --server", r.server, r.code)
	case r.reason != "":
		return fmt.Sprintf("trust server %s refuses what was signed for %s (%s); see the server's log", r.server, r.gun, r.reason)
	default:
		return fmt.Sprintf("trust server %s answers %d %s; see the server's log", r.server, r.code, http.StatusText(r.code))
	}
}

// oldVersion is what Notary's API calls metadata that came too late.
const oldVersion = "VERSION"

// Is tells that a version that came too late is a conflict.
func (r refusal) Is(target error) bool { return target == errConflict && r.reason == oldVersion }

// remote is the metadata of a repository on its server.
func (s *Signer) remote(ctx context.Context, server Server, gun string) (storage.RemoteStore, error) {
	if err := server.check(); err != nil {
		return nil, err
	}
	base, err := s.clients.Publisher(server.URL, server.CA, gun)
	if err != nil {
		return nil, err
	}
	exchange := &exchange{ctx: ctx, server: server, gun: gun, base: base}
	return storage.NewNotaryServerStore(strings.TrimSuffix(server.URL, "/"), data.GUN(gun), exchange)
}

// An exchange is the transport for one repository, within a context: notary's
// client knows none.
type exchange struct {
	ctx    context.Context //nolint:containedctx // notary's client has no other way to be given up
	server Server
	gun    string
	base   http.RoundTripper
}

// RoundTrip sends one request and reads the whole answer. It follows no
// redirect: what is signed goes to the server that was named.
func (x *exchange) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := x.base.RoundTrip(req.Clone(x.ctx))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxAnswer {
		return nil, &access.Error{Server: "trust server " + x.server.URL, Problem: fmt.Sprintf("it sends more than %d MiB", maxAnswer>>20)}
	}
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNotFound {
		return nil, refusal{server: x.server.URL, code: resp.StatusCode, reason: reasonOf(raw), gun: x.gun}
	}
	resp.Body = io.NopCloser(bytes.NewReader(raw))
	return resp, nil
}

// reasonOf reads the one code of an answer in the form of the registry's API.
func reasonOf(raw []byte) string {
	var answer struct {
		Errors []struct{ Code string }
	}
	if json.Unmarshal(raw, &answer) != nil || len(answer.Errors) != 1 {
		return ""
	}
	code := answer.Errors[0].Code
	if strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") != "" || len(code) > 40 {
		return ""
	}
	return code
}

// readBounded reads a file of certificates or a key.
func readBounded(path string) ([]byte, error) { return readUpTo(path, maxFile) }

// readUpTo reads a file of at most so many bytes.
func readUpTo(path string, most int) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, int64(most)+1))
	if err == nil && len(raw) > most {
		err = fmt.Errorf("%s is larger than %d MiB", path, most>>20)
	}
	return raw, err
}

// maxFile bounds files of certificates and keys.
const maxFile = 4 << 20 // bytes; the system's bundle of all public authorities is 220 KiB
