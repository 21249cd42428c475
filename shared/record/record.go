// Package record is the vocabulary of the authorization plugin's audit: the
// fields of one decision, how they are called where they are written, and how
// they are read back. The plugin writes records, `docker stig authz log` reads
// them, and neither knows more of the other than this and an InForce: which
// policy the plugin goes by, for `docker stig authz status`.
//
// A record has the fields of Record and no others. Bodies, environments,
// headers and query strings reach the plugin and have no field here.
//
// It decides nothing about where records are kept. In a file a record is one
// JSON object a line, as log/slog writes it; in the journal each field is one
// of the journal's own, DOCKER_STIG_IMAGE for image.
package record

import (
	"time"

	"github.com/docker-stig/docker-stig/shared/stig"
)

// Where records are.
const (
	// Unit is the plugin's service, by whose name journald itself marks its
	// records: nobody else can write under it.
	Unit = "docker-stig-authz.service"
	// Identifier is what the plugin calls itself in the journal.
	Identifier = "docker-stig-authz"
	// DefaultFile is where records go on a machine without a journal. Older
	// ones are beside it.
	DefaultFile = "/var/log/docker-stig/authz.log"
	// JournalPrefix keeps our fields in the journal apart from systemd's.
	JournalPrefix = "DOCKER_STIG_"
	// Message is the same in all records, and in nothing else that the plugin
	// logs.
	Message = "decision"
)

// An Outcome is what became of a request.
type Outcome string

const (
	// Allowed was judged and let through.
	Allowed Outcome = "allow"
	// Denied was refused.
	Denied Outcome = "deny"
	// WouldDeny would have been refused, were the policy enforced.
	WouldDeny Outcome = "would-deny"
	// Passed asked for nothing that is judged. It is counted, and written down
	// only where the daemon was told to.
	Passed Outcome = "pass"
)

// A Phase is the moment of a decision.
type Phase string

const (
	// Asked is before the engine acts.
	Asked Phase = "request"
	// Answered is after the engine acted and before it answers.
	Answered Phase = "answer"
)

// An Allowance is a break-glass approval that carried a decision.
type Allowance struct {
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	Until  time.Time `json:"until"`
}

// A Record is one decision.
type Record struct {
	Time        time.Time // of writing; known of records that were read
	Outcome     Outcome
	Phase       Phase
	Requirement stig.ID // what a denial upholds
	User        string  // where TLS tells it
	Method      string
	Route       string   // the pattern, not the address
	Image       string   // as it was named
	Others      []string // images named beside the first
	Container   string   // its ID, or its name before it has one
	Digest      string   // the digest vouched for, else the content's
	How         string   // dct, digest-list, …
	Signers     []string
	Setting     string     // of the policy's protect, that refused
	Approval    bool       // a recorded approval carried the decision
	Allowance   *Allowance // break-glass carried it
	Reason      string     // one word
	Message     string     // the denial's text
	Suppressed  uint64     // denials before this one that were only counted
	Duration    time.Duration
}
