package audit

import (
	"path"
	"slices"
	"strings"
)

// Rules are those that were loaded, or that one file would load.
type Rules struct {
	Watches []Watch
	// Off is a rule that keeps the kernel from recording system calls at
	// all, "" if there is none: watches record nothing then.
	Off string
	// Excluded are types of records that are thrown away.
	Excluded []string
	// Unread are lines that are not understood here.
	Unread []string
}

// A Watch records who reads, writes, executes a file or changes its
// attributes.
type Watch struct {
	Path  string
	kind  kind
	Perms string   // of "rwxa"
	Keys  []string // by which ausearch finds its records
	// Limits leave out accesses that guides leave out on purpose: those of
	// daemons (auid), and of one of the machine's two kinds of programs (arch).
	Limits []string
	// Conditions leave out others. A watch with any cannot be relied on.
	Conditions []string
	never      bool // it keeps what it matches from being recorded
	Line       string
}

// A kind is what the path of a watch stands for.
type kind int

const (
	either kind = iota // -w: a file, or a folder with all that lies below
	file               // -F path=
	folder             // -F dir=
)

// ParseRules reads rules as auditctl prints and takes them.
func ParseRules(raw []byte) Rules {
	var r Rules
	for line := range strings.Lines(string(raw)) {
		r.add(strings.TrimSpace(line))
	}
	return r
}

// settings are options that bear on no rule.
var settings = []string{"-b", "-f", "-e", "-r", "-c", "-i", "-q", "-s", "--backlog_wait_time", "--loginuid-immutable", "--reset-lost", "--reset_backlog_wait_time_actual", "--signal"}

func (r *Rules) add(line string) {
	words := strings.Fields(line)
	if len(words) == 0 || strings.HasPrefix(line, "#") || line == "No rules" {
		return
	}
	switch option := words[0]; {
	case option == "-D" && len(words) == 1:
		*r = Rules{}
	case option == "-w" && len(words) > 1:
		r.watch(line, words)
	case option == "-W" && len(words) > 1:
		gone := path.Clean(words[1])
		r.Watches = slices.DeleteFunc(r.Watches, func(w Watch) bool { return w.kind == either && w.Path == gone })
	case option == "-a" || option == "-A":
		r.rule(line, words)
	case slices.Contains(settings, option):
	default:
		r.Unread = append(r.Unread, line)
	}
}

// watch reads -w PATH [-p PERMS] [-k KEY].
func (r *Rules) watch(line string, words []string) {
	w := Watch{Path: path.Clean(words[1]), Perms: "rwxa", Line: line}
	for i := 2; i < len(words); i += 2 {
		switch {
		case i+1 == len(words):
			r.Unread = append(r.Unread, line)
			return
		case words[i] == "-p":
			w.Perms = words[i+1]
		case words[i] == "-k":
			w.Keys = append(w.Keys, words[i+1])
		default:
			r.Unread = append(r.Unread, line)
			return
		}
	}
	r.Watches = append(r.Watches, w)
}

// A syscallRule is -a LIST,ACTION with all that follows it.
type syscallRule struct {
	list     string // "exit", "task", "exclude", ...
	never    bool
	calls    []string
	fields   []string // FIELD OP VALUE in one word
	keys     []string
	prepends bool
}

// readSyscallRule reads one; ok is false if it is not understood.
func readSyscallRule(words []string) (s syscallRule, ok bool) {
	for i := 0; i+1 < len(words); i += 2 {
		value := words[i+1]
		switch words[i] {
		case "-a", "-A":
			s.prepends = words[i] == "-A"
			for _, part := range strings.Split(value, ",") {
				switch part {
				case "always", "possible":
				case "never":
					s.never = true
				default:
					s.list = part
				}
			}
		case "-S":
			s.calls = append(s.calls, strings.Split(value, ",")...)
		case "-F", "-C":
			s.fields = append(s.fields, value)
		case "-k":
			s.keys = append(s.keys, value)
		default:
			return s, false
		}
	}
	return s, len(words)%2 == 0 && s.list != ""
}

// rule reads -a LIST,ACTION ...: one on a path or a folder is a watch.
func (r *Rules) rule(line string, words []string) {
	s, ok := readSyscallRule(words)
	if !ok {
		r.Unread = append(r.Unread, line)
		return
	}
	w := Watch{Perms: "rwxa", Keys: s.keys, never: s.never, Line: line}
	for _, field := range s.fields {
		w.field(field)
	}
	w.limitCalls(s.calls)
	switch {
	case s.list == "exclude" || s.list == "user":
		if s.list == "exclude" {
			r.exclude(s.fields)
		}
	case s.never && w.Path == "" && len(w.Conditions) == 0 && (s.list == "task" || s.list == "exit" && len(w.Limits) == 0 && w.Perms == "rwxa"):
		r.Off = line
	case s.list != "exit" && s.list != "entry" || w.Path == "":
		// Other rules record system calls wherever they touch, or filter
		// file systems; no watch rests on them.
	case s.prepends:
		r.Watches = append([]Watch{w}, r.Watches...)
	default:
		r.Watches = append(r.Watches, w)
	}
}

// exclude throws a type of records away, unless the rule wants more of them.
func (r *Rules) exclude(fields []string) {
	if len(fields) != 1 {
		return
	}
	if record, ok := strings.CutPrefix(fields[0], "msgtype="); ok {
		r.Excluded = append(r.Excluded, record)
	}
}

// field takes one -F.
func (w *Watch) field(text string) {
	name, value, _ := strings.Cut(text, "=")
	switch {
	case name == "path":
		w.Path, w.kind = path.Clean(value), file
	case name == "dir":
		w.Path, w.kind = path.Clean(value), folder
	case name == "perm":
		w.Perms = value
	case name == "key":
		w.Keys = append(w.Keys, value)
	case name == "arch", text == "auid>=1000", text == "auid!=unset", text == "auid!=-1", text == "auid!=4294967295":
		w.Limits = append(w.Limits, text)
	default:
		w.Conditions = append(w.Conditions, text)
	}
}

// limitCalls takes the system calls of a rule. Those that execute a program
// say what the permission x does.
func (w *Watch) limitCalls(calls []string) {
	if len(calls) == 0 || slices.Contains(calls, "all") {
		return
	}
	for _, call := range calls {
		if call != "execve" && call != "execveat" {
			w.Conditions = append(w.Conditions, "-S "+strings.Join(calls, ","))
			return
		}
	}
	if strings.Contains(w.Perms, "x") {
		w.Perms = "x"
		return
	}
	w.Perms = ""
}
