package command

import (
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/notary"
)

// inspectionSchema grows when a field of a jsonInspection changes its meaning
// or goes away, not when one is added.
const inspectionSchema = 1

// A jsonInspection has the fields of docker trust inspect and ours beside
// them. Digests under SignedTags are hexadecimal and the ID under Root is the
// certificate's, as there.
type jsonInspection struct {
	SchemaVersion      int
	Name               string // as it was asked for
	SignedTags         []signedTag
	Signers            []jsonSigner
	AdministrativeKeys []jsonSigner

	Repository  string // full name
	Verdict     string // accepted, refused or unknown: of the tag, if one was asked for
	Reason      string `json:",omitempty"` // of a refusal: "unsigned", "expired", …
	Role        string `json:",omitempty"`
	Error       string `json:",omitempty"`
	Next        string `json:",omitempty"` // what to do about it
	Scope       string `json:",omitempty"` // pattern of the policy
	Source      string `json:",omitempty"` // server, cache or bundle
	Servers     []string
	RefusedFrom string      `json:",omitempty"` // when starts will be refused
	NextExpiry  *jsonExpiry `json:",omitempty"`
	Roles       []jsonRole
	Tags        []jsonTag
	Warnings    []string
}

type jsonSigner struct {
	Name string
	Keys []jsonID
}

type jsonID struct{ ID string }

type jsonExpiry struct{ Role, Expires string }

type jsonRole struct {
	Name      string
	Signer    string `json:",omitempty"`
	Version   int    `json:",omitempty"` // absent: there is no metadata that verifies
	Expires   string `json:",omitempty"`
	Threshold int    // signatures needed
	Keys      []jsonKey
	Paths     []string `json:",omitempty"` // prefixes of the tags that a delegation may sign
	Tags      int
	Error     string `json:",omitempty"` // why it cannot be used
}

type jsonKey struct {
	ID            string // canonical, as root-keys and signer-keys have it
	CertificateID string `json:",omitempty"` // as cert-ids has it
	Algorithm     string
	Signed        bool // the current metadata
}

type jsonTag struct {
	Name    string
	Verdict string   // signed, refused or unknown
	Digest  string   `json:",omitempty"` // algorithm:hex
	Signers []string `json:",omitempty"`
	Keys    []string `json:",omitempty"` // whose signatures decided
	Expires string   `json:",omitempty"` // the first metadata that this rests on
	Reason  string   `json:",omitempty"`
	Role    string   `json:",omitempty"`
	Error   string   `json:",omitempty"`
}

func writeInspectionJSON(w io.Writer, inspections []inspection, now time.Time) error {
	list := make([]jsonInspection, 0, len(inspections))
	for _, i := range inspections {
		list = append(list, i.json(now))
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "    ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(list)
}

func (i *inspection) json(now time.Time) jsonInspection {
	out := jsonInspection{
		SchemaVersion: inspectionSchema, Name: i.name, Repository: reference.TrimNamed(i.ref).Name(),
		SignedTags: []signedTag{}, Signers: []jsonSigner{}, AdministrativeKeys: []jsonSigner{},
		Verdict: i.verdict(), Next: trust.Advice(i.err), Scope: i.scope, Source: string(i.found.Source), Servers: append([]string{}, i.servers...),
		RefusedFrom: stamp(i.found.Until), Roles: []jsonRole{}, Tags: []jsonTag{}, Warnings: append([]string{}, warnings(i.found, now)...),
	}
	out.Reason, out.Role, out.Error = refusal(i.err)
	if role, at := i.found.NextExpiry(); role != "" {
		out.NextExpiry = &jsonExpiry{role, stamp(at)}
	}
	for _, role := range i.found.Roles {
		out.Roles = append(out.Roles, roleJSON(role))
		out.addKeys(role)
	}
	for _, tag := range i.found.Tags {
		out.Tags = append(out.Tags, tagJSON(tag))
		if tag.Err == nil {
			out.SignedTags = append(out.SignedTags, signedTag{tag.Name, tag.Signed.Digest.Encoded(), tag.Signed.Signers})
		}
	}
	return out
}

// addKeys files a role's keys where docker trust inspect has them.
func (j *jsonInspection) addKeys(role notary.Role) {
	keys := jsonSigner{Name: role.Signer(), Keys: []jsonID{}}
	for _, key := range role.Keys {
		id := key.ID
		if key.CertificateID != "" {
			id = key.CertificateID
		}
		keys.Keys = append(keys.Keys, jsonID{id})
	}
	switch {
	case keys.Name != "":
		j.Signers = append(j.Signers, keys)
	case role.Name == "root":
		keys.Name = "Root"
		j.AdministrativeKeys = append(j.AdministrativeKeys, keys)
	case role.Name == "targets":
		keys.Name = "Repository"
		j.AdministrativeKeys = append(j.AdministrativeKeys, keys)
	}
}

func roleJSON(r notary.Role) jsonRole {
	out := jsonRole{
		Name: r.Name, Signer: r.Signer(), Version: r.Version, Expires: stamp(r.Expires),
		Threshold: r.Threshold, Keys: []jsonKey{}, Paths: r.Paths, Tags: r.Tags,
	}
	if r.Err != nil {
		out.Error = r.Err.Error()
	}
	for _, key := range r.Keys {
		out.Keys = append(out.Keys, jsonKey(key))
	}
	return out
}

func tagJSON(t notary.Tag) jsonTag {
	out := jsonTag{
		Name: t.Name, Verdict: "signed", Digest: string(t.Signed.Digest), Signers: t.Signed.Signers,
		Keys: t.Signed.KeyIDs, Expires: stamp(t.Signed.Expires),
	}
	if t.Err != nil {
		out.Verdict = "refused"
		if trust.Inconclusive(t.Err) {
			out.Verdict = "unknown"
		}
		out.Reason, out.Role, out.Error = refusal(t.Err)
	}
	return out
}

// refusal is an error in the parts that a program branches on.
func refusal(err error) (reason, role, text string) {
	if err == nil {
		return "", "", ""
	}
	if refused := new(trust.Error); errors.As(err, &refused) {
		reason, role = string(refused.Reason), refused.Role
	}
	return reason, role, err.Error()
}

// stamp is a time for a program; "" is never.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
