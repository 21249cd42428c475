package access

import (
	"fmt"
	"io"
	"log/slog"
)

// A Login is what a host knows somebody by. An identity token takes the place
// of the password where a token server gave one. The zero Login is nobody.
//
// It does not print itself: a login in a log is a leak. Package fmt does not ask
// it, though, where it stands in an unexported field; seal it there.
type Login struct{ Username, Password, IdentityToken string }

// Credentials know the logins for hosts, named as in an image's name:
// "docker.io", "dtr.example.com:4443". Who has none there is the zero Login.
type Credentials interface {
	Login(host string) (Login, error)
}

// String tells whether there is a login, and no more.
func (l Login) String() string {
	if l == (Login{}) {
		return "access.Login{}"
	}
	return "access.Login{hidden}"
}

// GoString is String, for %#v.
func (l Login) GoString() string { return l.String() }

// Format is String for every verb; some would look at the fields.
func (l Login) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, l.String()) }

// LogValue is String, for slog.
func (l Login) LogValue() slog.Value { return slog.StringValue(l.String()) }

// MarshalText is String, for JSON and what else writes values.
func (l Login) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// loginCommand says how to log in, where the credentials know it.
func loginCommand(from Credentials, host string) string {
	if told, ok := from.(interface{ command(host string) string }); ok {
		return "run: " + told.command(host)
	}
	return "give this host a login for " + host
}

// sealed holds a value that fmt does not look into, in whatever field and by
// whatever verb: it follows maps, and pointers more often than it says.
type sealed[T any] func() T

func seal[T any](value T) sealed[T] { return func() T { return value } }

// Format is the type's name: what a logger would find inside is others' logins,
// or changes while it looks.
func (c *Clients) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "access.Clients") }

// Format is the type's name, as for Clients.
func (f *File) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "access.File") }

func (d *dockerConfig) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "access.DockerConfig") }

func (g *gate) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "access.gate") }
