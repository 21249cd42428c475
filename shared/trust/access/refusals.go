package access

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// holdFor is how long a login that was refused is kept back. Directories
	// lock an account after three to ten failures within some ten minutes
	// (NIST SP 800-53, AC-7 leaves both numbers to the site), and a daemon
	// would ask every minute.
	holdFor = 10 * time.Minute

	maxAccounts = 1024 // hosts that were shown a login
	maxRefused  = 1024 // repositories of one of them
)

// An account is a host, and whose login it is shown: that for a domain of
// images.
type account struct{ host, domain string }

// A standing is what a host thinks of the logins it was shown.
type standing struct {
	turn    chan struct{}       // has room for one: who shows a login that has not been taken yet
	good    sealed[Login]       // was taken; nil: none
	refused map[string]*refusal // by repository; "" stands for all
}

// A refusal is a login that was shown and not taken.
type refusal struct {
	peer       peer
	err        error
	what, hint string // "it refuses the login", ": is the password still right?"

	login    sealed[Login]
	revision int // of the credentials; somebody who logs in again means it
	since    time.Time
}

// failed is the error at the time.
func (r *refusal) failed() error { return r.peer.failed(r.err, "%s%s", r.what, r.hint) }

// heldBack is the error from then on.
func (r *refusal) heldBack() error {
	return r.peer.failed(r.err, "%s, since %s, and is not shown this login again before %s%s", r.what,
		r.since.UTC().Format(time.RFC3339), r.since.Add(holdFor).UTC().Format(time.RFC3339), r.hint)
}

// accounts remember which logins were taken and which were refused.
type accounts struct {
	now func() time.Time

	mu   sync.Mutex
	open map[account]*standing
}

// A showing is one login that is about to be shown to one host, for one
// repository. That of nobody is nil, and nothing comes of it.
type showing struct {
	accounts   *accounts
	account    account
	repository string
	login      Login
	revision   int
	standing   *standing
	hasTurn    bool
}

// showing of the gate's login to a host.
func (g *gate) showing(host string, login Login) *showing {
	if login == (Login{}) {
		return nil
	}
	return &showing{
		accounts: &g.clients.accounts, account: account{host, g.entry.domain}, repository: g.entry.repository,
		login: login, revision: revisionOf(g.clients.opts.Credentials),
	}
}

// revisionOf counts how often credentials have changed, where they know it.
func revisionOf(from Credentials) int {
	if changing, ok := from.(interface{ revision() int }); ok {
		return changing.revision()
	}
	return 0
}

// begin asks for leave to show the login. A host that has not taken it before
// is shown it by one request at a time: a hundred at once would be a hundred
// failures of one account. After it, end has to be called.
func (s *showing) begin(ctx context.Context, to peer) error {
	if s == nil {
		return nil
	}
	proven, err := s.look()
	if err != nil || proven {
		return err
	}
	select {
	case s.standing.turn <- struct{}{}:
		s.hasTurn = true
	case <-ctx.Done():
		return to.failed(ctx.Err(), "no answer to the first login in the time that was left; %s", to.slow)
	}
	if proven, err = s.look(); err != nil || proven {
		s.end()
	}
	return err
}

// held is the error of a login that was refused lately.
func (s *showing) held() error {
	if s == nil {
		return nil
	}
	_, err := s.look()
	return err
}

// look finds out what is known of the login.
func (s *showing) look() (proven bool, err error) {
	s.accounts.mu.Lock()
	defer s.accounts.mu.Unlock()
	if s.standing == nil {
		s.standing = s.accounts.of(s.account)
	}
	for _, repository := range []string{"", s.repository} {
		r := s.standing.refused[repository]
		if r != nil && r.login() == s.login && r.revision == s.revision && r.holds(s.accounts.now()) {
			return false, r.heldBack()
		}
	}
	return s.isGood(), nil
}

func (r *refusal) holds(now time.Time) bool { return now.Sub(r.since).Abs() < holdFor }

func (s *showing) isGood() bool { return s.standing.good != nil && s.standing.good() == s.login }

// end lets the next one have its turn.
func (s *showing) end() {
	if s == nil || !s.hasTurn {
		return
	}
	s.hasTurn = false
	<-s.standing.turn
}

// taken notes that the host knows the login.
func (s *showing) taken() {
	if s == nil {
		return
	}
	s.accounts.mu.Lock()
	defer s.accounts.mu.Unlock()
	s.standing.good = seal(s.login)
	delete(s.standing.refused, "")
	delete(s.standing.refused, s.repository)
}

// refuse notes that the host does not want the login: for anything, or for
// this repository.
func (s *showing) refuse(r *refusal, forAll bool) {
	if s == nil {
		return
	}
	s.accounts.mu.Lock()
	defer s.accounts.mu.Unlock()
	now := s.accounts.now()
	if s.standing == nil {
		s.standing = s.accounts.of(s.account)
	}
	r.login, r.revision, r.since = seal(s.login), s.revision, now
	if forAll {
		s.standing.good = nil
		s.standing.refused[""] = r
		return
	}
	s.standing.makeRoom(now)
	s.standing.refused[s.repository] = r
}

// refuseBasic notes a 401 after basic authentication. It does not tell a wrong
// password from a repository that is closed to a right one: the password is
// believed wrong unless the host has taken it, for another repository than
// this. Otherwise whoever asks for a closed repository would close all.
func (s *showing) refuseBasic(r *refusal, opened bool) {
	s.accounts.mu.Lock()
	elsewhere := s.isGood() && !opened
	s.accounts.mu.Unlock()
	s.refuse(r, !elsewhere)
}

// of gives the standing of an account. The caller holds mu.
func (a *accounts) of(key account) *standing {
	if known := a.open[key]; known != nil {
		return known
	}
	if a.open == nil {
		a.open = map[account]*standing{}
	}
	for one := range a.open {
		if len(a.open) < maxAccounts {
			break
		}
		delete(a.open, one)
	}
	made := &standing{turn: make(chan struct{}, 1), refused: map[string]*refusal{}}
	a.open[key] = made
	return made
}

// makeRoom lets go what is over, and any others if that is not enough; never
// what holds for all repositories, whose names come from outside.
func (s *standing) makeRoom(now time.Time) {
	if len(s.refused) < maxRefused {
		return
	}
	for repository, r := range s.refused {
		if repository != "" && !r.holds(now) {
			delete(s.refused, repository)
		}
	}
	for repository := range s.refused {
		if len(s.refused) < maxRefused {
			return
		}
		if repository != "" {
			delete(s.refused, repository)
		}
	}
}

// Format is the type's name, as for Clients.
func (s *showing) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, "access.showing") }
