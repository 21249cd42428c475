package rules

import (
	"context"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/mgmt"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// clientCertificate wants the certificate of a client bundle to have the
// subject and issuer that the plan names (V-235822, CAT II).
//
// https://docs.docker.com/ee/ucp/user-access/cli/
var clientCertificate = Rule{
	IDs:     []stig.ID{"DKER-EE-002380"},
	Applies: managed(host.UCP, hasClientCertificate),
	Check:   checkClientCertificate,
	Steps: []Step{
		{"read subject and issuer of cert.pem in the client bundle", "mgmt.ReadCertificates"},
		{"both are those of the security plan", "judgeName"},
	},
	Readings: []string{
		"The guide reads one bundle, and does not say whose. It is the one that ucp.client-certificate in site.yaml names.",
		"Names are compared by RFC 4514, attribute by attribute and in order, values to the letter. The order of openssl, which prints a name from its other end, counts as the same.",
		"The file is read where docker stig runs, and UCP is not asked: the names are judged even where no UCP was given.",
	},
	Fix: byPerson(checkClientCertificate, "The account's owner makes a key and has it signed with the plan's subject; in UCP, as that account, My Profile > Client Bundles > New Client Bundle > Add Existing Client Bundle takes the certificate. Then delete the old bundle there, and name the new cert.pem in ucp.client-certificate of site.yaml"),
}

func hasClientCertificate(h *host.Host) bool {
	return hasUCP(h) || h.Site.UCP.ClientCertificate != ""
}

func checkClientCertificate(_ context.Context, h *host.Host) ([]stig.Finding, error) {
	values := h.Site.UCP
	var missing []string
	for _, key := range [][2]string{{"client-certificate", values.ClientCertificate}, {"subject", values.Subject}, {"issuer", values.Issuer}} {
		if key[1] == "" {
			missing = append(missing, "ucp."+key[0])
		}
	}
	if values.ClientCertificate == "" {
		return []stig.Finding{{Details: fmt.Sprintf("which certificate to read, and the names it has to have, is for the site to say: set %s in site.yaml", strings.Join(missing, ", "))}}, nil
	}
	found, err := mgmt.ReadCertificates(values.ClientCertificate)
	if err != nil {
		return nil, fmt.Errorf("reading ucp.client-certificate of site.yaml: %w", err)
	}
	own := found[0]
	return []stig.Finding{
		judgeName(values.ClientCertificate, "subject", values.Subject, own.RawSubject),
		judgeName(values.ClientCertificate, "issuer", values.Issuer, own.RawIssuer),
	}, nil
}

// judgeName compares a name of the certificate with the plan's.
func judgeName(file, which, plan string, raw []byte) stig.Finding {
	f := stig.Finding{Object: which + " of " + file}
	got, err := nameOf(raw)
	if err != nil {
		f.Details = err.Error()
		return f
	}
	f.Evidence = []stig.Fact{{Source: file, Asked: which, Answer: oneLine(got.String())}}
	if plan == "" {
		f.Details = fmt.Sprintf("it is %q; whether that is the plan's is for the site to say: set ucp.%s in site.yaml", oneLine(got.String()), which)
		return f
	}
	want, err := parseName(plan)
	if err != nil {
		f.Details = fmt.Sprintf("ucp.%s in site.yaml cannot be read: %v: write it as in RFC 4514, such as CN=admin,O=Example", which, err)
		return f
	}
	if !want.is(got) {
		f.Status, f.Details = stig.Open, fmt.Sprintf("it is %q, and the plan says %q: have the organization's authority issue the certificate anew, or correct the plan", oneLine(got.String()), oneLine(want.String()))
		return f
	}
	f.Status, f.Details = stig.NotAFinding, fmt.Sprintf("it is %q, the plan's", oneLine(got.String()))
	return f
}

// A distinguished name, in the order of RFC 4514: its parts, each
// with its attributes as TYPE=value, sorted.
type distinguished [][]string

// String is for people: values are not escaped.
func (n distinguished) String() string {
	var parts []string
	for _, part := range n {
		parts = append(parts, strings.Join(part, "+"))
	}
	return strings.Join(parts, ",")
}

// is reports whether two names are the same, from one end or the other.
func (n distinguished) is(other distinguished) bool {
	reversed := slices.Clone(n)
	slices.Reverse(reversed)
	return slices.EqualFunc(n, other, slices.Equal) || slices.EqualFunc(reversed, other, slices.Equal)
}

// attributeKind is how RFC 4512, 1.4 writes an attribute's type: a short name
// or an OID.
var attributeKind = regexp.MustCompile(`^(?:[A-Za-z][A-Za-z0-9-]*|(?:(?i:OID)\.)?[0-9]+(?:\.[0-9]+)*)$`)

// nameOf reads a name as a certificate holds it, first part last.
func nameOf(raw []byte) (distinguished, error) {
	var sequence pkix.RDNSequence
	if rest, err := asn1.Unmarshal(raw, &sequence); err != nil || len(rest) > 0 {
		return nil, errors.New("the certificate has a name that cannot be read")
	}
	var n distinguished
	for _, set := range slices.Backward(sequence) {
		var part []string
		for _, attribute := range set {
			part = append(part, attributeType(attribute.Type.String())+"="+fmt.Sprint(attribute.Value))
		}
		slices.Sort(part)
		n = append(n, part)
	}
	return n, nil
}

// attributeTypes are short names of RFC 4514 and openssl, by OID.
var attributeTypes = map[string]string{
	"2.5.4.3": "CN", "2.5.4.5": "SERIALNUMBER", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.9": "STREET",
	"2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.17": "POSTALCODE", "0.9.2342.19200300.100.1.1": "UID",
	"0.9.2342.19200300.100.1.25": "DC", "1.2.840.113549.1.9.1": "EMAILADDRESS",
}

// attributeType is the one name of an attribute's type, whichever way it is written.
func attributeType(text string) string {
	text = strings.ToUpper(strings.TrimPrefix(strings.ToUpper(text), "OID."))
	if short, ok := attributeTypes[text]; ok {
		return short
	}
	if text == "S" || text == "SP" {
		return "ST"
	}
	if text == "E" || text == "EMAIL" {
		return "EMAILADDRESS"
	}
	return text
}

// parseName reads a name as RFC 4514 writes it. Blanks around a separator are
// allowed, as RFC 2253 did.
func parseName(text string) (distinguished, error) {
	var n distinguished
	part := []string{}
	for rest := text; ; {
		attribute, separator, after, err := parseAttribute(rest)
		if err != nil {
			return nil, err
		}
		part = append(part, attribute)
		if separator != '+' {
			slices.Sort(part)
			n, part = append(n, part), []string{}
		}
		if separator == 0 {
			return n, nil
		}
		rest = after
	}
}

// parseAttribute reads TYPE=value up to a comma or a plus sign, or the end,
// which is 0.
func parseAttribute(text string) (attribute string, separator byte, rest string, err error) {
	kind, text, ok := strings.Cut(text, "=")
	kind = strings.TrimSpace(kind)
	if !ok || !attributeKind.MatchString(kind) {
		return "", 0, "", errors.New("a part has no TYPE=")
	}
	text = strings.TrimLeft(text, " ")
	var value []byte
	kept := 0 // bytes that a blank behind them does not take away
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case ',', '+':
			return attributeType(kind) + "=" + string(value[:kept]), c, text[i+1:], utf8Only(value)
		case '\\':
			decoded, length := unescape(text[i+1:])
			if length == 0 {
				return "", 0, "", errors.New("a backslash has nothing to escape")
			}
			value, i = append(value, decoded), i+length
			kept = len(value)
		default:
			value = append(value, c)
			if c != ' ' {
				kept = len(value)
			}
		}
	}
	return attributeType(kind) + "=" + string(value[:kept]), 0, "", utf8Only(value)
}

// unescape reads what follows a backslash: two hexadecimal digits, or one
// character.
func unescape(text string) (decoded byte, length int) {
	if len(text) >= 2 {
		if raw, err := hex.DecodeString(text[:2]); err == nil {
			return raw[0], 2
		}
	}
	if text == "" {
		return 0, 0
	}
	return text[0], 1
}

func utf8Only(value []byte) error {
	if !utf8.Valid(value) {
		return errors.New("a value is no UTF-8")
	}
	return nil
}
