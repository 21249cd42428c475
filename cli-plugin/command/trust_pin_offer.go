package command

import (
	"fmt"
	"strings"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust/notary"
)

// offer shows a root that nobody vouches for, and how to find out whether it
// is the publisher's.
func offer(c notary.Candidate, opts pinOptions) string {
	var b strings.Builder
	if len(c.Keys) == 0 {
		fmt.Fprintf(&b, "No server can be asked about %s, so the ID that you were told is all there is.\n", c.GUN)
		return b.String()
	}
	fmt.Fprintf(&b, "%s\n  offered by %s: root version %d, good until %s\n", c.GUN, c.Server, c.Version, dated(c.Expires, time.Now()))
	for _, key := range c.Keys {
		fmt.Fprintf(&b, "\n  Root key\n%s", printedID(key.ID))
		fmt.Fprintf(&b, "\n  Its certificate, valid from %s to %s\n%s", key.NotBefore.Format(time.DateOnly), key.NotAfter.Format(time.DateOnly), printedID(key.CertificateID))
	}
	if opts.id == "" {
		b.WriteString(comparison(opts.cert, c.GUN))
	}
	return b.String()
}

// printedID is an ID in groups for reading aloud, and in one piece for
// copying.
func printedID(id string) string {
	const group, line = 8, 4 // digits, groups
	var b strings.Builder
	fmt.Fprintf(&b, "    %s\n", id)
	for at := 0; at < len(id); at += group {
		switch at / group % line {
		case 0:
			b.WriteString("       ")
		default:
			b.WriteString(" ")
		}
		b.WriteString(id[at:min(at+group, len(id))])
		if at/group%line == line-1 {
			b.WriteByte('\n')
		}
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// comparison says how a person finds out whose key it is.
func comparison(cert bool, gun string) string {
	what, how := "root key", `      grep -l "role: root" ~/.docker/trust/private/*
    The name of the file that it prints, without .key, is the ID.`
	if cert {
		what, how = "root certificate", "      docker trust inspect --pretty "+gun+`
    The ID is under Root Key, in the last lines.`
	}
	return fmt.Sprintf(`
Nobody vouches for this yet. Whoever holds that server, or the way to it, can
offer a key of their own. Ask the publisher for the ID of the %s by a way
that has nothing to do with the server: by telephone under a number that you
had before, in a signed letter, in person. Compare all 64 digits.

    The publisher finds it on the machine that signs with
%s
    So does whoever has pinned it already: docker stig trust inspect %s
`, what, how, gun)
}
