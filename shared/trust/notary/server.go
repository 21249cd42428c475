package notary

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust/access"
	"github.com/theupdateframework/notary/tuf"
	"github.com/theupdateframework/notary/tuf/data"
)

// Bounds of an answer whose length no verified metadata has told. A signed
// length replaces them, up to maxMetadata.
const (
	maxRoot     = 256 << 10 // bytes; one with four keys is 3 KiB
	maxMetadata = 16 << 20  // bytes of all roles together; a hundred thousand tags
)

// A server is one Notary server as the source of one repository's metadata.
// What the cache holds under the checksum asked for is not fetched again.
type server struct {
	base   string // https://host[:port]
	gun    data.GUN
	client *http.Client
	kept   copyOf

	mu    sync.Mutex
	ahead map[string]*fetch // under way or done, not asked for yet
	date  time.Time         // the server's clock, when it last answered
}

func (s *server) root(ctx context.Context, version int) ([]byte, error) {
	if version == 0 {
		return s.get(ctx, "root", maxRoot)
	}
	return s.get(ctx, strconv.Itoa(version)+".root", maxRoot)
}

func (s *server) role(ctx context.Context, name data.RoleName, info tuf.ConsistentInfo) ([]byte, error) {
	if kept, ok := s.kept.Roles[name]; ok && name != data.CanonicalTimestampRole && isConsistent(name, info, kept) {
		return kept, nil
	}
	limit := info.Length()
	if limit < 0 || limit > maxMetadata {
		return nil, fmt.Errorf("%s is to be %d bytes long, and %d MiB are the most that are read", name, limit, maxMetadata>>20)
	}
	if name != data.CanonicalTimestampRole {
		if raw, err := s.fetched(ctx, string(name)); err == nil && isConsistent(name, info, raw) {
			return raw, nil
		}
	}
	raw, err := s.get(ctx, info.ConsistentName(), limit)
	if errors.Is(err, errNotFound) && name == data.CanonicalTimestampRole {
		return nil, fmt.Errorf("the trust server has a root but no timestamp of %s: %w", s.gun, err)
	}
	return raw, err
}

// isConsistent reports whether bytes are the ones with the checksum of info,
// and no more than it allows.
func isConsistent(name data.RoleName, info tuf.ConsistentInfo, raw []byte) bool {
	sum := sha256.Sum256(raw)
	return info.ChecksumKnown() && int64(len(raw)) <= info.Length() && info.ConsistentName() == fmt.Sprintf("%s.%x", name, sum)
}

// get gives one metadata file: the one fetched ahead, if there is one.
func (s *server) get(ctx context.Context, name string, limit int64) ([]byte, error) {
	raw, err := s.fetched(ctx, name)
	if errors.Is(err, errNotAhead) || errors.Is(err, errTooLong) {
		return s.request(ctx, name, limit)
	}
	return raw, err
}

// errTooLong says that a file is longer than it may be.
var errTooLong = errors.New("too long")

// request fetches one metadata file. Every way to fail has words of its own.
func (s *server) request(ctx context.Context, name string, limit int64) ([]byte, error) {
	address := s.base + "/v2/" + string(s.gun) + "/_trust/tuf/" + name + ".json"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("trust server %s: %w", s.base, err)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, s.connectError(err)
	}
	defer resp.Body.Close()
	s.readClock(resp.Header)
	if err := s.statusError(resp.StatusCode); err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("trust server %s broke off in the middle of %s", s.base, name)
	case err != nil:
		return nil, s.connectError(err)
	case int64(len(raw)) > limit:
		return nil, fmt.Errorf("trust server %s sends more of %s than the %d bytes it may have: %w", s.base, name, limit, errTooLong)
	}
	return raw, s.formError(raw, resp.Header.Get("Content-Type"))
}

// readClock notes the server's clock, to the second.
func (s *server) readClock(header http.Header) {
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.date = date
	}
}

// skew is how far the server's clock was ahead of ours at its last answer.
func (s *server) skew(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.date.IsZero() {
		return 0
	}
	return s.date.Sub(now)
}

func (s *server) statusError(code int) error {
	switch code {
	case http.StatusOK:
		return nil
	case http.StatusNotFound:
		return errNotFound
	case http.StatusForbidden:
		return fmt.Errorf("trust server %s does not let this login read the signatures of %s (403)", s.base, s.gun)
	default:
		return fmt.Errorf("trust server %s answers %d %s; see the server's log", s.base, code, http.StatusText(code))
	}
}

// formError tells an answer that is not metadata at all from one that breaks
// off; both leave the question open.
func (s *server) formError(raw []byte, contentType string) error {
	if json.Valid(raw) {
		return nil
	}
	trimmed := bytes.TrimSpace(raw)
	if bytes.HasPrefix(trimmed, []byte("<")) || strings.HasPrefix(contentType, "text/html") {
		return fmt.Errorf("trust server %s answers with a web page instead of metadata; is this the address of a Notary server, and no proxy in between?", s.base)
	}
	return fmt.Errorf("trust server %s sends truncated or broken JSON", s.base)
}

// connectError is the words of package access, without the method and the
// address that net/http puts before them.
func (s *server) connectError(err error) error {
	if whole := new(access.Error); errors.As(err, &whole) {
		return whole
	}
	if wrapped := new(url.Error); errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return fmt.Errorf("trust server %s: %w", s.base, err)
}
