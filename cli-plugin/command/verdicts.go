package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust"
)

func writeVerdicts(w io.Writer, f format, verdicts []verdict) error {
	if f == jsonFormat {
		return writeVerdictJSON(w, verdicts)
	}
	return writeVerdictTable(w, verdicts)
}

// writeVerdictTable writes one block an image, for a person.
func writeVerdictTable(w io.Writer, verdicts []verdict) error {
	var b strings.Builder
	for i, v := range verdicts {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintln(&b, v.title())
		for _, row := range v.rows() {
			fmt.Fprintf(&b, "  %-8s %s\n", row[0], row[1])
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// title is the image as docker names it.
func (v verdict) title() string {
	if v.ref == nil {
		return v.name
	}
	return reference.FamiliarString(v.ref)
}

func (v verdict) rows() [][2]string {
	rows := [][2]string{{"Verdict", v.word()}}
	if v.base != nil {
		rows = append(rows, [2]string{"Named", v.base.String()})
	}
	if v.untold() {
		return append(rows, [2]string{"Reason", v.err.Error()}) // with what to do
	}
	if v.err != nil {
		rows = append(rows, [2]string{"Reason", reasonOf(v.err)})
		if next := trust.Advice(v.err); next != "" {
			rows = append(rows, [2]string{"Next", next})
		}
		return append(rows, [2]string{"Engine", v.engine()})
	}
	if v.signed.Digest != "" {
		rows = append(rows, [2]string{"Digest", string(v.signed.Digest)})
	}
	rows = append(rows, [2]string{"Method", methodNames[v.signed.Method]})
	if len(v.signed.Signers) > 0 {
		rows = append(rows, [2]string{"Signers", strings.Join(v.signed.Signers, ", ")}, [2]string{"Keys", strings.Join(v.signed.KeyIDs, ", ")})
	}
	if !v.signed.Expires.IsZero() {
		rows = append(rows, [2]string{"Expires", v.signed.Expires.Format(time.RFC3339)})
	}
	rows = append(rows, [2]string{"Scope", v.signed.Scope}, [2]string{"Source", string(v.signed.Source)}, [2]string{"Engine", v.engine()})
	if v.holdsOther() && v.ref != nil {
		rows = append(rows, [2]string{"Next", fmt.Sprintf("use %s@%s", reference.FamiliarName(v.ref), v.signed.Digest)})
	}
	return rows
}

var methodNames = map[trust.Method]string{
	trust.DCT:        "Docker Content Trust (Notary v1)",
	trust.Cosign:     "cosign",
	trust.DigestList: "digest list of the policy: approved, not signed",
}

func (v verdict) word() string {
	switch {
	case v.holdsOther():
		return "refused: the name is vouched for, but the engine holds other content under it"
	case v.refused():
		return "refused"
	case v.err != nil:
		return "unknown"
	case v.signed.Method == trust.DigestList && v.signed.Digest == "":
		return "unknown: the policy lists digests, and the engine holds nothing to compare"
	case v.signed.Method == trust.DigestList:
		return "approved"
	default:
		return "signed"
	}
}

// reasonOf is an error without the image's name, which stands above it.
func reasonOf(err error) string {
	if err == nil {
		return ""
	}
	refused := new(trust.Error)
	if !errors.As(err, &refused) {
		return err.Error()
	}
	text := string(refused.Reason)
	if refused.Role != "" {
		text += ", role " + refused.Role
	}
	if refused.Err != nil {
		text += ": " + refused.Err.Error()
	}
	return text
}

func (v verdict) engine() string {
	switch {
	case v.asked != nil:
		return "not known: " + v.asked.Error()
	case v.held.IsZero():
		return "holds nothing under this name"
	case v.err != nil || v.signed.Digest == "":
		return "holds image " + string(v.held.ID)
	case v.other == nil:
		return "holds this content"
	case len(v.held.Own()) > 0:
		return fmt.Sprintf("holds other content, manifest %s", v.held.Own()[0])
	default:
		return fmt.Sprintf("holds image %s, which nothing ties to the digest", v.held.ID)
	}
}

// A jsonVerdict has the fields of docker trust inspect, for one tag, and ours
// beside them. Digests under SignedTags are hexadecimal, as there.
type jsonVerdict struct {
	Name       string
	SignedTags []signedTag
	Signers    []signer
	Verdict    string    // signed, approved, refused or unknown
	Reason     string    `json:",omitempty"` // of a refusal: "unsigned", "expired", …
	Role       string    `json:",omitempty"`
	Error      string    `json:",omitempty"`
	Digest     string    `json:",omitempty"` // algorithm:hex
	Keys       []string  `json:",omitempty"` // IDs of the keys whose signatures decided
	Method     string    `json:",omitempty"`
	Scope      string    `json:",omitempty"`
	Source     string    `json:",omitempty"`
	Expires    string    `json:",omitempty"` // RFC 3339, UTC
	Base       *jsonBase `json:",omitempty"` // where a build names the image
	Engine     jsonEngine
}

type signedTag struct {
	SignedTag string
	Digest    string
	Signers   []string
}

type signer struct{ Name string }

type jsonEngine struct {
	ID      string `json:",omitempty"` // of the image it holds under the name
	Matches *bool  `json:",omitempty"` // whether that is the digest; absent: cannot be told
	Error   string `json:",omitempty"`
}

func writeVerdictJSON(w io.Writer, verdicts []verdict) error {
	list := make([]jsonVerdict, 0, len(verdicts))
	for _, v := range verdicts {
		list = append(list, v.json())
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "    ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(list)
}

func (v verdict) json() jsonVerdict {
	word, _, _ := strings.Cut(v.word(), ":")
	out := jsonVerdict{
		Name: v.name, SignedTags: []signedTag{}, Signers: []signer{}, Verdict: word,
		Digest: string(v.signed.Digest), Method: string(v.signed.Method), Scope: v.signed.Scope, Source: string(v.signed.Source),
		Keys: v.signed.KeyIDs, Base: v.base.json(), Engine: v.jsonEngine(),
	}
	if v.err != nil {
		out.Error = v.err.Error()
		if refused := new(trust.Error); errors.As(v.err, &refused) {
			out.Reason, out.Role = string(refused.Reason), refused.Role
		}
		return out
	}
	if v.holdsOther() {
		out.Reason, out.Error = string(trust.DigestMismatch), v.engine()
	}
	if !v.signed.Expires.IsZero() {
		out.Expires = v.signed.Expires.Format(time.RFC3339)
	}
	if v.signed.Method.Signs() {
		tag := ""
		if tagged, ok := v.ref.(reference.Tagged); ok {
			tag = tagged.Tag()
		}
		out.SignedTags = append(out.SignedTags, signedTag{tag, v.signed.Digest.Encoded(), v.signed.Signers})
		for _, name := range v.signed.Signers {
			out.Signers = append(out.Signers, signer{name})
		}
	}
	return out
}

func (v verdict) jsonEngine() jsonEngine {
	out := jsonEngine{ID: string(v.held.ID)}
	if v.asked != nil {
		out.Error = v.asked.Error()
	}
	if !v.held.IsZero() && v.err == nil && v.signed.Digest != "" {
		matches := v.other == nil
		out.Matches = &matches
	}
	return out
}
