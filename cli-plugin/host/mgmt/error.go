package mgmt

import (
	"fmt"
	"strings"
)

// A Kind is why a question went unanswered. It is a target for errors.Is.
type Kind string

// The kinds. None is an answer: a requirement that needed one is Not_Reviewed.
const (
	Untrusted    Kind = "certificate not trusted"
	OutOfDate    Kind = "certificate out of date"
	WrongHost    Kind = "certificate of another host"
	Handshake    Kind = "no TLS agreed"
	NoSuchHost   Kind = "host name not found"
	Refused      Kind = "connection refused"
	Unreachable  Kind = "connection failed"
	Silent       Kind = "no answer in time"
	Interrupted  Kind = "interrupted"
	Unauthorized Kind = "credentials not accepted"
	Forbidden    Kind = "not allowed"
	NotFound     Kind = "not found"
	Redirected   Kind = "redirected"
	BadStatus    Kind = "unexpected status"
	HTML         Kind = "web page instead of data"
	Truncated    Kind = "cut off"
	TooLarge     Kind = "too large"
	Malformed    Kind = "not understood"
)

// Error makes a Kind a target for errors.Is.
func (k Kind) Error() string { return string(k) }

// An Error says what was asked, why there is no answer and what to do next.
// It never holds a password, a token or a part of an answer's body.
type Error struct {
	Service Service
	Asked   string // "GET https://ucp.example.com/api/ucp/config-toml"
	Kind    Kind
	Status  int    // HTTP status, if the server gave one
	What    string // in words: "the connection was refused"
	Advice  string // what to do next
	Err     error  // the cause, if a library gave one
}

// Error is one line: the question, the kind, what happened, what to do.
func (e *Error) Error() string {
	return fmt.Sprintf("%s: %s: %s: %s", e.Asked, e.Kind, e.What, e.Advice)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is the error's Kind.
func (e *Error) Is(target error) bool {
	kind, ok := target.(Kind)
	return ok && kind == e.Kind
}

// advice is what a person does next.
var advice = map[Kind]string{
	Untrusted:    "give the PEM certificate of the authority that signed it with --{flag}-ca FILE (or {env}_CA), after comparing its fingerprint with the one {name}'s administrator gives",
	OutOfDate:    "renew the certificate of {name}, or correct this machine's clock",
	WrongHost:    "give --{flag}-url the name that the certificate has",
	Handshake:    "check that --{flag}-url is the HTTPS port of {name} and that it speaks TLS 1.2 or newer",
	NoSuchHost:   "correct the host in --{flag}-url (or {env}_URL), or this machine's DNS",
	Refused:      "start {name}, or correct host and port in --{flag}-url (or {env}_URL)",
	Unreachable:  "check that {name} is up and that firewall and proxy (HTTPS_PROXY, NO_PROXY) let {host} through",
	Silent:       "check that {name} is well and that firewall and proxy (HTTPS_PROXY, NO_PROXY) let {host} through, then ask again",
	Interrupted:  "ask again",
	Unauthorized: "check --{flag}-username and the password in --{flag}-password-file (or {env}_USERNAME, {env}_PASSWORD_FILE)",
	Forbidden:    "sign in as an administrator of {name} with --{flag}-username",
	NotFound:     "check that --{flag}-url is {name} and that its version has this API",
	Redirected:   "give the address of {name} itself with --{flag}-url; credentials do not follow a redirect",
	BadStatus:    "look at the log of {name}, then ask again",
	HTML:         "give the address of {name} itself with --{flag}-url, not that of a login page, a proxy or another server",
	Truncated:    "ask again; if it stays so, look at the log of {name} and at what stands between (proxy, load balancer)",
	TooLarge:     "check that --{flag}-url is {name}; a server that answers without end is not",
	Malformed:    "check that --{flag}-url is {name} and that its version has this API",
}

// failed is the error for a question.
func (q question) failed(kind Kind, what string, cause error) *Error {
	replace := strings.NewReplacer("{name}", q.service.Name, "{host}", q.host, "{flag}", q.service.Flag,
		"{env}", "STIG_"+strings.ToUpper(q.service.Flag))
	return &Error{
		Service: q.service, Asked: q.text, Kind: kind, What: what,
		Advice: replace.Replace(advice[kind]), Err: cause,
	}
}
