package guard

import (
	"log/slog"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// mostConnections bounds what a flood can take: about 20 KiB each, the
	// kernel's part included.
	mostConnections = 8192
	// eachTakes is a connection's descriptors: the client's, the engine's, and
	// two of a pipe for each direction whose receiver lags.
	eachTakes = 6
	// otherDescriptors are for listeners, the journal, systemd and spare pipes.
	otherDescriptors = 256
	// kept is the part of the places, one in so many, that only root may take,
	// so that whoever floods the socket does not lock the administrator out.
	kept = 8
)

// places counts connections.
type places struct {
	most, forOthers int
	log             *slog.Logger

	mu     sync.Mutex
	taken  int
	turned int // away since there were enough places
}

// newPlaces makes as many places as the descriptors allow.
func newPlaces(descriptors uint64, log *slog.Logger) *places {
	most := mostConnections
	if descriptors < otherDescriptors+eachTakes*mostConnections {
		most = max(1, (int(descriptors)-otherDescriptors)/eachTakes)
	}
	return &places{most: most, forOthers: most - most/kept, log: log}
}

// descriptors is how many this process may have; the Go runtime has raised the
// soft limit to the hard one.
func descriptors() uint64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 1024 // the usual default
	}
	return limit.Cur
}

// take reports whether there is a place. Of a flood one line is logged.
func (p *places) take(uid int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	most := p.forOthers
	if uid == 0 {
		most = p.most
	}
	if p.taken < most {
		p.taken++
		return true
	}
	if p.turned == 0 {
		p.log.Error("too many connections: more are closed at once; see who holds them (ss -xp)", "connections", p.taken, "uid", uid)
	}
	p.turned++
	return false
}

func (p *places) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	if p.turned > 0 && p.taken <= p.forOthers/2 {
		p.log.Warn("there is room for connections again", "turned_away", p.turned)
		p.turned = 0
	}
}
