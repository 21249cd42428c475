package rules

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/dtr"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// A dtrSetting is one of DTR's settings and the value it has to have.
type dtrSetting struct {
	name  string
	of    func(dtr.Settings) *bool
	want  bool
	fault string // what a wrong value does
	where string // in the web console
}

var (
	createOnPush    = dtrSetting{"createRepositoryOnPush", func(s dtr.Settings) *bool { return s.CreateRepositoryOnPush }, false, "a push makes a repository that nobody planned", "System > General"}
	reportAnalytics = dtrSetting{"reportAnalytics", func(s dtr.Settings) *bool { return s.ReportAnalytics }, false, "DTR sends its vendor what is done with it", "System > General"}
	scanningEnabled = dtrSetting{"scanningEnabled", func(s dtr.Settings) *bool { return s.ScanningEnabled }, true, "no image is scanned for vulnerabilities", "System > Security"}
)

// dtrSettingsRules want settings of DTR at a value that the guide names.
//
// https://docs.docker.com/ee/dtr/admin/configure/
var dtrSettingsRules = []Rule{
	// V-235796, CAT II.
	dtrSettingsRule("DKER-EE-001900", createOnPush, "The guide's fix sets createRepositoryOnPush to true, which is the finding of its own check. False is right."),
	// V-235798, CAT II.
	dtrSettingsRule("DKER-EE-001920", reportAnalytics),
}

func dtrSettingsRule(id stig.ID, s dtrSetting, readings ...string) Rule {
	return Rule{
		IDs:     []stig.ID{id},
		Applies: managed(host.DTR, hasDTR),
		Check: func(ctx context.Context, h *host.Host) ([]stig.Finding, error) {
			f, err := checkDTRSetting(ctx, h, s)
			return []stig.Finding{f}, err
		},
		Steps: []Step{
			{"sign in to DTR and read its settings", "dtr.Settings"},
			{fmt.Sprintf("%s is %t", s.name, s.want), "judgeDTRSetting"},
		},
		Readings: readings,
		Fix:      fixDTRSetting(id, s),
	}
}

func checkDTRSetting(ctx context.Context, h *host.Host, s dtrSetting) (stig.Finding, error) {
	settings, err := h.DTR.Settings(ctx)
	if err != nil {
		return stig.Finding{}, err
	}
	return judgeDTRSetting(settings, h.DTR.URL(), s), nil
}

func judgeDTRSetting(settings dtr.Settings, url string, s dtrSetting) stig.Finding {
	f := stig.Finding{Object: s.name + " of " + url}
	got := s.of(settings)
	if got == nil {
		f.Details = fmt.Sprintf("DTR does not tell it: look under %s, and see that --dtr-url is DTR and its version has this setting", s.where)
		return f
	}
	f.Evidence = []stig.Fact{{Source: url, Asked: "GET /api/v0/meta/settings, " + s.name, Answer: fmt.Sprint(*got)}}
	f.Status, f.Details = stig.NotAFinding, fmt.Sprintf("it is %t", *got)
	if *got != s.want {
		f.Status, f.Details = stig.Open, fmt.Sprintf("it is %t, so %s: set it to %t under %s", *got, s.fault, s.want, s.where)
	}
	return f
}

// imageScanning wants DTR to scan images, with a database that is kept up to
// date (V-235840, CAT II).
//
// https://docs.docker.com/ee/dtr/admin/configure/set-up-vulnerability-scans/
var imageScanning = Rule{
	IDs:     []stig.ID{"DKER-EE-003840"},
	Applies: managed(host.DTR, hasDTR),
	Check:   checkImageScanning,
	Steps: []Step{
		{"scanning is enabled in DTR's settings", "judgeDTRSetting"},
		{"the scanner answers with success when it is asked for its status", "dtr.ScanStatus"},
		{"neither lastDBUpdateFailed nor lastVulnOverridesDBUpdateFailed is true", "judgeScanStatus"},
		{"the database was synchronized, or uploaded", "judgeScanStatus"},
	},
	Readings: []string{
		"\"If they are both not false\" is read as: one of them that is true is a finding.",
		"The status may be written in camel case, as in the guide, or with underscores, as public clients of DTR read it.",
		"An answer other than 200 leaves the requirement Not_Reviewed: that a question went unanswered proves no fault. A database whose version is 0 was never loaded, and is a finding.",
	},
	Fix: fixImageScanning,
}

func checkImageScanning(ctx context.Context, h *host.Host) ([]stig.Finding, error) {
	enabled, err := checkDTRSetting(ctx, h, scanningEnabled)
	if err != nil {
		enabled.Object, enabled.Details = scanningEnabled.name+" of "+h.DTR.URL(), err.Error()
	}
	database := stig.Finding{Object: "vulnerability database of " + h.DTR.URL()}
	if status, err := h.DTR.ScanStatus(ctx); err != nil {
		database.Details = err.Error()
	} else {
		database = judgeScanStatus(status, database)
		database.Evidence = scanFacts(h.DTR.URL(), status)
	}
	return []stig.Finding{enabled, database}, nil
}

func judgeScanStatus(status dtr.ScanStatus, f stig.Finding) stig.Finding {
	const mend = "synchronize or upload it under System > Security"
	var faults, unknown []string
	for _, field := range []struct {
		failed *bool
		name   string
		fault  string
	}{
		{status.UpdateFailed, "lastDBUpdateFailed", "its last update failed"},
		{status.OverridesFailed, "lastVulnOverridesDBUpdateFailed", "the last update of its corrections failed"},
	} {
		switch {
		case field.failed == nil:
			unknown = append(unknown, field.name)
		case *field.failed:
			faults = append(faults, fmt.Sprintf("%s (%s is true)", field.fault, field.name))
		}
	}
	if status.Version != nil && *status.Version == 0 {
		faults = append(faults, "it was never loaded (its version is 0)")
	}
	switch {
	case len(faults) > 0:
		f.Status, f.Details = stig.Open, strings.Join(faults, "; ")+": "+mend
	case len(unknown) > 0:
		f.Details = fmt.Sprintf("DTR does not tell %s: look under System > Security whether the database is up to date", strings.Join(unknown, " and "))
	default:
		f.Status, f.Details = stig.NotAFinding, "its last updates succeeded"
	}
	return f
}

func scanFacts(url string, status dtr.ScanStatus) []stig.Fact {
	fact := func(name, answer string) stig.Fact {
		return stig.Fact{Source: url, Asked: "GET /api/v0/imagescan/status, " + name, Answer: answer}
	}
	return []stig.Fact{
		fact("lastDBUpdateFailed", toldAs(status.UpdateFailed)),
		fact("lastVulnOverridesDBUpdateFailed", toldAs(status.OverridesFailed)),
		fact("dbVersion", toldAs(status.Version)),
	}
}

func toldAs[T any](value *T) string {
	if value == nil {
		return "absent"
	}
	return fmt.Sprint(*value)
}

// dtrRules are all about DTR, but for its certificate and what it stores.
var dtrRules = append(slices.Clone(dtrSettingsRules), imageScanning, dtrAccess)

var errNoDTRAdmin = errors.New("this account is no administrator of DTR and sees only a part of it: sign in as one with --dtr-username")
