package trust

import (
	"cmp"
	"errors"
)

// advice says what a person does next about each reason. An Error's own text
// only says what is the matter.
var advice = map[Reason]string{
	Unreachable:    "try again; if it stays so, see whether the trust server and the engine answer",
	Unsigned:       "have its publisher sign it (docker stig trust sign), or use what is signed",
	NoScope:        "use an image from a repository the policy covers, or pin the root key of this one (docker stig trust pin)",
	UnknownSigner:  "have it signed by those the policy names; if the key is theirs after all, compare its ID with them by another way and add it to the policy",
	BadSignature:   "do not use it before its publisher has explained this",
	BelowThreshold: "have the missing signers sign it",
	Expired:        "have its signers sign again, or its trust server renew the timestamp",
	Rollback:       "tell those who run the trust server: it holds older data than it did",
	DigestMismatch: "use the digest that is signed, NAME@sha256:…, or have what the tag holds now signed",
	Revoked:        "use another image: this one was withdrawn",
}

// Advice says what to do about an error of a Verifier. Any other error left
// the question unanswered. It is "" for none.
func Advice(err error) string {
	if refused := new(Error); errors.As(err, &refused) && refused.Reason != "" {
		return cmp.Or(refused.Next, advice[refused.Reason])
	}
	if err != nil {
		return advice[Unreachable]
	}
	return ""
}

// Explain is an error's text with its advice.
func Explain(err error) string {
	if next := Advice(err); next != "" {
		return err.Error() + ": " + next
	}
	return err.Error()
}
