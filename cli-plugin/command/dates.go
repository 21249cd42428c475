package command

import (
	"fmt"
	"time"
)

// soon is how long before something expires a person is told.
const soon = 14 * 24 * time.Hour

// dated is a time with how far away it is: "2026-12-06 10:12 UTC (in 12 days)".
func dated(t, now time.Time) string {
	return fmt.Sprintf("%s (%s)", t.UTC().Format("2006-01-02 15:04 MST"), away(t.Sub(now)))
}

// away says how far off a time is, in units that a person plans with.
func away(d time.Duration) string {
	text := length(d.Abs())
	if d < 0 {
		return text + " ago"
	}
	return "in " + text
}

func length(d time.Duration) string {
	const day = 24 * time.Hour
	units := []struct {
		from, unit time.Duration
		name       string
	}{
		{2 * 365 * day, 365 * day, "years"},
		{2 * day, day, "days"},
		{2 * time.Hour, time.Hour, "hours"},
		{2 * time.Minute, time.Minute, "minutes"},
	}
	for _, u := range units {
		if d >= u.from {
			return fmt.Sprintf("%d %s", d/u.unit, u.name)
		}
	}
	return "less than 2 minutes"
}
