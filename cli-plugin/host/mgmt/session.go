package mgmt

import (
	"context"
	"errors"
)

// A Session asks with a token and gets a new one when the old one has
// expired, once for each question. It is safe for concurrent use: of several
// questions that meet an expired token, one signs in again.
//
// A password that was refused is not tried again: directories lock an account
// after a few failures.
type Session struct {
	conn  *Conn
	login func(context.Context) (string, error)

	lock     chan struct{} // of the fields below; a mutex that a context can leave
	token    string
	refused  error // of a login; every later question gets it too
	doubtful bool  // token is new and has not been accepted anywhere yet
}

// NewSession asks over conn with tokens that login gets.
func NewSession(conn *Conn, login func(context.Context) (string, error)) *Session {
	return &Session{conn: conn, login: login, lock: make(chan struct{}, 1)}
}

// Login signs in now, whether or not there is a token already.
func (s *Session) Login(ctx context.Context) error {
	if err := s.acquire(ctx); err != nil {
		return err
	}
	defer s.release()
	return s.signIn(ctx)
}

// Do asks with the session's token.
func (s *Session) Do(ctx context.Context, r Request) (Answer, error) {
	token, fresh, err := s.current(ctx)
	if err != nil {
		return Answer{}, err
	}
	answer, err := s.conn.Do(ctx, r.Bearer(token))
	if !errors.Is(err, Unauthorized) {
		return answer, s.accepted(ctx, token, err)
	}
	if fresh {
		return Answer{}, err
	}
	renewed, renewErr := s.renew(ctx, token)
	if renewErr != nil {
		return Answer{}, renewErr
	}
	if renewed == token {
		return Answer{}, err
	}
	answer, err = s.conn.Do(ctx, r.Bearer(renewed))
	if errors.Is(err, Unauthorized) {
		return answer, err
	}
	return answer, s.accepted(ctx, renewed, err)
}

// current is the token to ask with; fresh if this call signed in for it.
func (s *Session) current(ctx context.Context) (token string, fresh bool, err error) {
	if err := s.acquire(ctx); err != nil {
		return "", false, err
	}
	defer s.release()
	if s.token != "" {
		return s.token, false, nil
	}
	err = s.signIn(ctx)
	return s.token, true, err
}

// renew replaces a token that was not accepted, unless another question has
// done so already. A token that nobody has accepted since it was issued has
// not expired, so another would fare no better: it stays.
func (s *Session) renew(ctx context.Context, old string) (string, error) {
	if err := s.acquire(ctx); err != nil {
		return "", err
	}
	defer s.release()
	if s.token != old || s.doubtful {
		return s.token, nil
	}
	if err := s.signIn(ctx); err != nil {
		return "", err
	}
	s.doubtful = true
	return s.token, nil
}

// accepted remembers that the server took a token, and passes err on.
func (s *Session) accepted(ctx context.Context, token string, err error) error {
	if err != nil {
		return err
	}
	if err := s.acquire(ctx); err != nil {
		return err
	}
	defer s.release()
	if token == s.token {
		s.doubtful = false
	}
	return nil
}

// signIn needs the lock.
func (s *Session) signIn(ctx context.Context) error {
	if s.refused != nil {
		return s.refused
	}
	token, err := s.login(ctx)
	if errors.Is(err, Unauthorized) {
		s.refused = err
	}
	if err != nil {
		s.token = ""
		return err
	}
	s.token = token
	return nil
}

func (s *Session) acquire(ctx context.Context) error {
	select {
	case s.lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		q := question{service: s.conn.service, text: "signing in to " + s.conn.URL(), host: s.conn.Host()}
		return q.failed(Interrupted, "the question was given up", ctx.Err())
	}
}

func (s *Session) release() { <-s.lock }

// Token checks what a server gave as a token.
func (a Answer) Token(token string) (string, error) {
	if token == "" {
		return "", a.Malformed("the answer holds no token")
	}
	for _, c := range []byte(token) {
		if c <= ' ' || c >= 0x7f {
			return "", a.Malformed("the token has characters that no header may carry")
		}
	}
	return token, nil
}
