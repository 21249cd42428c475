package rerun

import (
	"maps"
	"regexp"
	"slices"
)

// telling is what a key is called whose value is nobody else's business.
const telling = `(?:passw(?:or)?d|passphrase|pwd|token|secret|api[-_.]?key|access[-_.]?key|private[-_.]?key|credentials?|basicauth|auth[-_.]?(?:key|header)|connection[-_.]?string|dsn)`

var (
	secretKey = regexp.MustCompile(`(?i)` + telling)
	// secretPair is password=… in a longer text, such as mount options.
	secretPair = regexp.MustCompile(`(?i)([a-z0-9_.-]*` + telling + `[a-z0-9_.-]*["']?[=:]\s*)[^\s,;&]+`)
	// secretURL is the password of https://user:password@host.
	secretURL = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://[^/\s:@]*:)[^/\s@]+@`)
	// secretShape is a value that is one whatever it is called: a private key, a
	// signed token, a password as crypt(3) stores it, and tokens that name
	// themselves.
	secretShape = regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.|\$(?:apr1|2[aby]|1|5|6|y)\$|\b(?:AKIA|ghp_|gho_|github_pat_|glpat-|xox[abprs]-|SWMTKN-|dckr_pat_)[A-Za-z0-9_-]+`)
)

// hidden stands where a secret was.
const hidden = "<NOT SHOWN>"

// Hide gives a text without the secrets that it seems to hold.
func Hide(text string) string {
	if secretShape.MatchString(text) {
		return hidden
	}
	text = secretURL.ReplaceAllString(text, "${1}"+hidden+"@")
	return secretPair.ReplaceAllString(text, "${1}"+hidden)
}

// hide gives the value of a key without secrets, and notes where one was.
func (w *writer) hide(where, key, value string) string {
	shown := Hide(value)
	if value != "" && secretKey.MatchString(key) {
		shown = hidden
	}
	if shown != value {
		w.note(where + " looks like a secret and is not shown: put it in the place of " + hidden)
	}
	return shown
}

// hideWords is hide for a command: a word such as --password hides the next.
func (w *writer) hideWords(words []string) []string {
	shown := make([]string, len(words))
	for i, word := range words {
		before := ""
		if i > 0 && len(words[i-1]) > 1 && words[i-1][0] == '-' && !secretPair.MatchString(words[i-1]) {
			before = words[i-1]
		}
		shown[i] = w.hide("a word of the command", before, word)
	}
	return shown
}

func sortedKeys[K ~string, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
