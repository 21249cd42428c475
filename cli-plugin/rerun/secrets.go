package rerun

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// telling is what a key is called whose value is nobody else's business.
const telling = `(?:passw(?:or)?d|passphrase|pwd|token|secret|api[-_.]?key|access[-_.]?key|private[-_.]?key|credentials?|basicauth|auth[-_.]?(?:key|header)|connection[-_.]?string|dsn)`

// word is a value as a shell reads it, quoted or not.
const word = `(?:"[^"]*"?|'[^']*'?|[^\s,;&"']+)`

var (
	secretKey = regexp.MustCompile(`(?i)` + telling + `|^--?[a-z-]*pass$`)
	// secretPair is password=… in a longer text, such as mount options.
	secretPair = regexp.MustCompile(`(?i)([a-z0-9_.-]*(?:` + telling + `[a-z0-9_.-]*|pass)["']?[=:]\s*)` + word)
	// secretWord is an option in a shell's line whose next word is a secret.
	secretWord = regexp.MustCompile(`(?i)((?:^|\s)--?[a-z0-9_.-]*(?:` + telling + `|pass|masterauth)[a-z0-9_.-]*\s+)` + word)
	// secretScheme is what stands behind the scheme of an Authorization header.
	secretScheme = regexp.MustCompile(`(?i)\b((?:bearer|basic|digest)\s+)[a-z0-9._~+/=-]{6,}`)
	// secretUser is the password of curl -u user:password.
	secretUser = regexp.MustCompile(`((?:^|\s)(?:-u|--user|--proxy-user)[\s=]?["']?[^\s:"']+:)[^\s"']+`)
	// secretLetter is the password behind the one letter that some clients have
	// for it.
	secretLetter = regexp.MustCompile(`(\b(?:(?:mysql|mariadb)[a-z-]*\b.*?\s-p|(?:redis-cli|valkey-cli)\b.*?\s-a\s*|sshpass\b.*?\s-p\s*))` + word)
	// secretURL is the password of https://user:password@host.
	secretURL = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://[^/\s:@]*:)[^/\s@]+@`)
	// secretShape is a value that is one whatever it is called: a private key, a
	// signed token, a password as crypt(3) stores it, and tokens that name
	// themselves.
	secretShape = regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.|\$(?:apr1|2[aby]|1|5|6|y)\$|\b(?:AKIA|ghp_|gho_|github_pat_|glpat-|xox[abprs]-|SWMTKN-|dckr_pat_)[A-Za-z0-9_-]+`)
)

// hidden stands where a secret was.
const hidden = "<NOT SHOWN>"

// withoutSecrets gives a text without the secrets that it seems to hold.
func withoutSecrets(text string) string {
	if secretShape.MatchString(text) {
		return hidden
	}
	text = secretURL.ReplaceAllString(text, "${1}"+hidden+"@")
	for _, shape := range []*regexp.Regexp{secretScheme, secretUser, secretLetter, secretWord, secretPair} {
		text = shape.ReplaceAllString(text, "${1}"+hidden)
	}
	return text
}

// hide gives the value of a key without secrets, and notes where one was.
func (w *writer) hide(where, key, value string) string {
	shown := withoutSecrets(value)
	if value != "" && secretKey.MatchString(key) {
		shown = hidden
	}
	if shown != value {
		w.note(where + " looks like a secret and is not shown: put it in the place of " + hidden)
	}
	return shown
}

// hideWords is hide for a command: a word such as --password hides the next,
// and some clients have a letter of their own for it.
func (w *writer) hideWords(words []string) []string {
	shown := make([]string, len(words))
	for i, word := range words {
		option, context := "", ""
		if i > 0 {
			context = path.Base(words[0]) + " "
		}
		if i > 0 && len(words[i-1]) > 1 && words[i-1][0] == '-' && !secretPair.MatchString(words[i-1]) {
			option = words[i-1]
			context += option + " "
		}
		shown[i] = w.hide("a word of the command", option, word)
		if behind, same := strings.CutPrefix(withoutSecrets(context+word), context); same && shown[i] == word && behind != word {
			shown[i] = w.hide("a word of the command", "secret", word)
		}
	}
	return shown
}

func sortedKeys[K ~string, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
