package notary

import (
	"context"
	"crypto/sha256"
	"errors"

	"github.com/theupdateframework/notary"
	"github.com/theupdateframework/notary/tuf/data"
)

// maxAhead bounds what is fetched before a checksum and a length are known.
const maxAhead = 256 << 10 // bytes

// errNotAhead says that a file was not fetched ahead.
var errNotAhead = errors.New("not fetched ahead")

// A fetch is a request that was made before anybody asked for its answer.
type fetch struct {
	done chan struct{}
	raw  []byte
	err  error
}

// fetchAhead begins to fetch roles by their plain names, so that a repository
// that was never seen costs one round trip instead of five. What comes counts
// only if it has the checksum that verified metadata names. The first request
// goes alone where it has a connection to open.
func (s *server) fetchAhead(ctx context.Context, connected bool, names ...data.RoleName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead = map[string]*fetch{}
	for _, name := range names {
		s.ahead[string(name)] = &fetch{done: make(chan struct{})}
	}
	first := s.ahead[string(names[0])]
	for name, f := range s.ahead {
		go func() {
			defer close(f.done)
			if f != first && !connected {
				<-first.done
			}
			f.raw, f.err = s.request(ctx, name, maxAhead)
		}()
	}
}

// fetched gives what was fetched ahead under a name, once.
func (s *server) fetched(ctx context.Context, name string) ([]byte, error) {
	s.mu.Lock()
	f := s.ahead[name]
	delete(s.ahead, name)
	s.mu.Unlock()
	if f == nil {
		return nil, errNotAhead
	}
	select {
	case <-f.done:
		return f.raw, f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// unchanged reports whether the server's timestamp has this checksum. The
// answer serves the load that follows if it has not.
func (s *server) unchanged(ctx context.Context, timestamp [sha256.Size]byte) bool {
	f := &fetch{done: make(chan struct{})}
	f.raw, f.err = s.request(ctx, string(data.CanonicalTimestampRole), notary.MaxTimestampSize)
	close(f.done)
	s.ahead = map[string]*fetch{string(data.CanonicalTimestampRole): f}
	return f.err == nil && sha256.Sum256(f.raw) == timestamp
}
