package authz

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/distribution/reference"

	"github.com/docker-stig/docker-stig/shared/engine"
	"github.com/docker-stig/docker-stig/shared/record"
	"github.com/docker-stig/docker-stig/shared/stig"
	"github.com/docker-stig/docker-stig/shared/trust"
)

// requirement is what every denial upholds, as a person finds it: the STIG ID
// and the Vuln ID.
const requirement = string(stig.TrustEnforced) + " (V-235847)"

// maxMessage bounds a denial's text.
const maxMessage = 1500 // bytes; a terminal's screen

// deny refuses a request with a sentence for the person who made it.
func deny(format string, args ...any) Decision {
	return Decision{Rule: stig.TrustEnforced, Msg: message(fmt.Sprintf(format, args...), "Requirement: "+requirement)}
}

// denyImage refuses an image: which, which content, why, what to do.
func denyImage(image engine.Image, err error) Decision {
	why := fmt.Sprintf("%s cannot be judged: %v", image.Name, err)
	if refusal := new(trust.Error); errors.As(err, &refusal) {
		why = refusalText(image, refusal)
	}
	if image.ID != "" && !strings.Contains(why, image.ID.Encoded()) {
		why += " (the engine's image is " + image.ID.String() + ")"
	}
	return Decision{Rule: stig.TrustEnforced, Msg: message(
		why,
		capital(trust.Advice(err)),
		"Requirement: "+requirement,
		"To see more: docker stig trust verify "+image.Name,
	)}
}

// refusalText names the image as the person did, not as the verifier was
// asked: content is asked about under any of its repositories.
func refusalText(image engine.Image, refusal *trust.Error) string {
	text := image.Name
	if refusal.Ref != nil && !strings.HasPrefix(image.Name, reference.FamiliarName(refusal.Ref)) && !strings.HasPrefix(image.Name, refusal.Ref.Name()) {
		text += ", known here as " + reference.FamiliarName(refusal.Ref) + ","
	}
	text += fmt.Sprintf(" is not vouched for (%s)", cmp.Or(refusal.Reason, trust.Unreachable))
	if refusal.Role != "" {
		text += ": role " + refusal.Role
	}
	if refusal.Err != nil {
		text += ": " + refusal.Err.Error()
	}
	return text
}

func capital(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	if size == 0 {
		return ""
	}
	return string(unicode.ToUpper(first)) + text[size:]
}

// message joins sentences into one line that is safe to print on a terminal.
func message(sentences ...string) string {
	text := "docker-stig:"
	for _, sentence := range sentences {
		if sentence != "" {
			text += " " + strings.TrimRight(sentence, ". \n") + "."
		}
	}
	text = strings.Map(record.Printable, text) // names come from outside
	if len(text) <= maxMessage {
		return text
	}
	cut := maxMessage
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}
