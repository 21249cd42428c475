package doubles

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A Fault is a way for a double to misbehave.
type Fault string

// The faults. Those of a certificate act on new connections, whatever the
// path; those of settings and of lists on the doubles named.
const (
	NoFault            Fault = ""
	Unauthorized       Fault = "401"
	Forbidden          Fault = "403"
	NotFound           Fault = "404"
	ServerError        Fault = "500"
	HTML               Fault = "html"                // a login page, status 200
	Truncated          Fault = "truncated"           // the second half of the body is missing, unannounced
	CutOff             Fault = "cut-off"             // the connection ends in the middle of the body
	Silence            Fault = "silence"             // no answer at all
	SilentBody         Fault = "silent-body"         // a header, then nothing
	Endless            Fault = "endless"             // a body without end
	Redirect           Fault = "redirect"            // to another host
	WrongCA            Fault = "wrong-ca"            // a certificate of another authority
	WrongHost          Fault = "wrong-host"          // a certificate for another host
	ExpiredCertificate Fault = "expired-certificate" // a certificate whose time is over
	SelfSigned         Fault = "self-signed"         // a certificate that signs itself
	Echo               Fault = "echo"                // 500, and the body repeats what it was sent

	PutTakesEffectThen500 Fault = "put-takes-effect-then-500" // UCP and DTR
	PutFails              Fault = "put-fails"                 // UCP and DTR: 500, and the old settings stay
	PutIgnored            Fault = "put-ignored"               // UCP and DTR: success, and the old settings stay
	PutDropsLDAP          Fault = "put-drops-ldap"            // UCP: [auth.ldap] does not survive an upload
	PutDropsComments      Fault = "put-drops-comments"        // UCP: nor do comments

	NoNextPage Fault = "no-next-page" // a list is cut, and no page names the next

	PagingLoop      Fault = "paging-loop"      // a page names itself as the next
	RepeatedPage    Fault = "repeated-page"    // DTR: always the first page, always with a new name for the next
	MissingInNotary Fault = "missing-innotary" // DTR: tags without the field
)

var knownFaults = []Fault{
	NoFault, Unauthorized, Forbidden, NotFound, ServerError, HTML, Truncated, CutOff, Silence, SilentBody, Endless,
	Redirect, WrongCA, WrongHost, ExpiredCertificate, SelfSigned, Echo,
	PutTakesEffectThen500, PutFails, PutIgnored, PutDropsLDAP, PutDropsComments,
	NoNextPage, PagingLoop, RepeatedPage, MissingInNotary,
}

// ParseFault reads the name of a fault.
func ParseFault(name string) (Fault, error) {
	if slices.Contains(knownFaults, Fault(name)) {
		return Fault(name), nil
	}
	names := make([]string, 0, len(knownFaults))
	for _, f := range knownFaults[1:] {
		names = append(names, string(f))
	}
	return NoFault, fmt.Errorf("%q is no fault of a double: give one of %s", name, strings.Join(names, ", "))
}

// SetFault puts a fault on every path but the login, in place of the one
// before; NoFault ends it.
func (s *server) SetFault(f Fault) { s.SetFaultOn("", f) }

// SetFaultOn puts a fault on the paths that begin with prefix. The longest
// prefix counts.
func (s *server) SetFaultOn(prefix string, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[prefix] = f
}

// fault is the one on a path.
func (s *server) fault(path, login string) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	longest, found := -1, NoFault
	for prefix, f := range s.faults {
		if prefix == "" && path == login {
			continue
		}
		if strings.HasPrefix(path, prefix) && len(prefix) > longest {
			longest, found = len(prefix), f
		}
	}
	return found
}

// wrap counts, waits, misbehaves as it is told, and otherwise lets handler
// answer.
func (s *server) wrap(login string, handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.enter()
		defer s.leave()
		w.Header().Set("Server", "docker-stig double of "+s.name)
		if !s.wait(r) {
			return
		}
		fault := s.fault(r.URL.Path, login)
		s.common.Log.Info("double asked", "method", r.Method, "path", r.URL.Path, "fault", string(fault))
		if act, ok := actions[fault]; ok {
			act(s, w, r)
			return
		}
		switch fault { //nolint:exhaustive // the others act above, or in the handler
		case Truncated, CutOff:
			cut := &cutter{ResponseWriter: w}
			handler.ServeHTTP(cut, r)
			cut.end(fault == CutOff)
		default:
			handler.ServeHTTP(w, r)
		}
	})
}

func (s *server) enter() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	s.inFlight++
	s.peak = max(s.peak, s.inFlight)
}

func (s *server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight--
}

// wait lets the latency pass; false if the client did not stay.
func (s *server) wait(r *http.Request) bool {
	if s.common.Latency <= 0 {
		return true
	}
	timer := time.NewTimer(s.common.Latency)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	case <-s.closed:
		return false
	}
}
