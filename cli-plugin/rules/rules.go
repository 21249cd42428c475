// Package rules holds what is done about each requirement: a Rule for one or
// more of them, in one file named after its subject; catalog.go is the table
// of contents. A rule knows no signature scheme and no output format.
//
// A check looks and touches nothing. It returns one Finding for each object it
// judged; the worst is the requirement's status. What it could not find out is
// an error, or a NotReviewed finding where only one object is concerned, and
// says what to give. A fix returns the changes it wants and touches nothing
// either; package remedy shows and applies them.
package rules

import (
	"context"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// A Rule satisfies the requirements it names.
type Rule struct {
	IDs []stig.ID
	// Applies gives the reason why the requirement does not concern the
	// host, "" if it does. Nil: it always does.
	Applies func(ctx context.Context, h *host.Host) (whyNot string, err error)
	// Check judges the host.
	Check func(ctx context.Context, h *host.Host) ([]stig.Finding, error)
	// Steps are those of the guide's check, and what carries out each.
	Steps []Step
	// Readings are the places where the guide is read differently, and why.
	Readings []string
	// Fix returns the changes that would make Check pass; none where it
	// passes. Nil: a person has to act, as the requirement's fix text in the
	// benchmark says.
	Fix func(ctx context.Context, h *host.Host) (change.Wanted, error)
	// Containers says that what Fix wants are lines for each container, and
	// changes of those that can be updated: for several such rules
	// FixContainers and UpdateContainers give them at once.
	Containers bool
}

// A Step is one of the guide's check, in our own words. Code names the function
// of this package or, with its package in front, of another that carries it
// out: "judgeTag", "packages.Installed".
type Step struct{ Asks, Code string }

// WhyNot gives the reason why the requirement does not concern the host, "" if
// it does.
func (r Rule) WhyNot(ctx context.Context, h *host.Host) (string, error) {
	if r.Applies == nil {
		return "", nil
	}
	return r.Applies(ctx, h)
}

// Judge runs the rule: its findings, or one that says why it does not apply.
func (r Rule) Judge(ctx context.Context, h *host.Host) ([]stig.Finding, error) {
	whyNot, err := r.WhyNot(ctx, h)
	if err != nil {
		return nil, err
	}
	if whyNot != "" {
		return []stig.Finding{{Status: stig.NotApplicable, Details: whyNot}}, nil
	}
	return r.Check(ctx, h)
}
