package daemon

import (
	"errors"
	"slices"
	"strings"
)

// maxWords of a command line, after its variables: dockerd's has a few dozen.
const maxWords = 4096

// A Unit is what a systemd unit and its drop-ins say of one service or socket.
// See systemd.syntax(7) and systemd.service(5).
type Unit struct {
	ExecStart        []string // command lines, as they are written
	ListenStream     []string // of a socket
	Sockets          []string
	EnvironmentFiles []string // one that begins with "-" may be missing
	environment      map[string]string
}

// ParseUnit reads a unit: its own file first, then its drop-ins in the order
// in which they apply. An empty assignment takes back what came before.
func ParseUnit(files ...[]byte) Unit {
	u := Unit{environment: map[string]string{}}
	for _, raw := range files {
		section := ""
		for line := range joinedLines(raw) {
			if name, ok := strings.CutPrefix(line, "["); ok {
				section = strings.TrimSuffix(name, "]")
				continue
			}
			key, value, ok := strings.Cut(line, "=")
			if ok && (section == "Service" || section == "Socket") {
				u.assign(strings.TrimSpace(key), strings.TrimSpace(value))
			}
		}
	}
	return u
}

func (u *Unit) assign(key, value string) {
	lists := map[string]*[]string{
		"ExecStart": &u.ExecStart, "ListenStream": &u.ListenStream,
		"Sockets": &u.Sockets, "EnvironmentFile": &u.EnvironmentFiles,
	}
	if list, ok := lists[key]; ok {
		if value == "" {
			*list = nil
			return
		}
		*list = append(*list, value)
		return
	}
	if key != "Environment" {
		return
	}
	if value == "" {
		clear(u.environment)
	}
	for _, word := range words(value) {
		if name, text, ok := strings.Cut(word.text, "="); ok {
			u.environment[name] = text
		}
	}
}

// Command gives the arguments of the unit's last ExecStart, the program first.
// Its variables come from Environment= and from the environment files, which
// win. It is nil if the unit starts nothing.
func (u Unit) Command(environmentFiles ...[]byte) ([]string, error) {
	if len(u.ExecStart) == 0 {
		return nil, nil
	}
	variables := map[string]string{}
	for name, value := range u.environment {
		variables[name] = value
	}
	for _, raw := range environmentFiles {
		for name, value := range ParseEnvironment(raw) {
			variables[name] = value
		}
	}
	line := u.ExecStart[len(u.ExecStart)-1]
	program := strings.TrimLeft(line, "@-:+!|")
	verbatim := strings.Contains(line[:len(line)-len(program)], ":") // variables are not replaced
	var args []string
	for _, word := range words(program) {
		if verbatim || word.quoted && !strings.Contains(word.text, "$") {
			args = append(args, word.text)
			continue
		}
		args = append(args, expand(word, variables)...)
		if len(args) > maxWords {
			return nil, errors.New("its command line has too many words")
		}
	}
	if strings.Contains(line[:len(line)-len(program)], "@") && len(args) > 1 {
		args = slices.Delete(args, 1, 2) // the name that the program is told
	}
	return args, nil
}

// expand replaces variables: $NAME as a word of its own becomes as many words
// as it has, ${NAME} stays within its word.
func expand(w word, variables map[string]string) []string {
	if name, ok := strings.CutPrefix(w.text, "$"); ok && !w.quoted && isName(name) {
		return Words(variables[name])
	}
	var out strings.Builder
	for rest := w.text; ; {
		before, behind, found := strings.Cut(rest, "$")
		out.WriteString(before)
		if !found {
			return []string{out.String()}
		}
		name, after, closed := strings.Cut(strings.TrimPrefix(behind, "{"), "}")
		switch {
		case strings.HasPrefix(behind, "{") && closed && isName(name):
			out.WriteString(variables[name])
			rest = after
		case strings.HasPrefix(behind, "$"):
			out.WriteByte('$')
			rest = behind[1:]
		default:
			out.WriteByte('$')
			rest = behind
		}
		if out.Len() > maxWords*64 {
			return []string{out.String()}
		}
	}
}

func isName(text string) bool {
	return text != "" && strings.IndexFunc(text, func(r rune) bool {
		return r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	}) < 0
}

// ParseEnvironment reads a file of NAME=VALUE lines, as EnvironmentFile= and a
// shell that sources it do: "export " before a name is skipped.
func ParseEnvironment(raw []byte) map[string]string {
	variables := map[string]string{}
	for line := range joinedLines(raw) {
		name, value, ok := strings.Cut(strings.TrimPrefix(line, "export "), "=")
		if ok && isName(strings.TrimSpace(name)) {
			variables[strings.TrimSpace(name)] = unquoted(strings.TrimSpace(value))
		}
	}
	return variables
}

// unquoted takes the quotes off a value that is wholly in them.
func unquoted(value string) string {
	if len(value) > 1 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0] {
		inner := value[1 : len(value)-1]
		if value[0] == '"' {
			inner = strings.NewReplacer(`\"`, `"`, `\\`, `\`, `\$`, `$`).Replace(inner)
		}
		return inner
	}
	return value
}
