package site

import (
	"strings"
	"testing"
)

// TestLimits holds which entry counts for a container.
func TestLimits(t *testing.T) {
	t.Parallel()
	s, err := Parse("site.yaml", []byte(`
containers:
  memory: ["shop_web:1.5g", 512m, "web:64 MiB", 512m]
  cpu-shares: [512, db:2]
  pids-limit: [db:100]
`))
	if err != nil {
		t.Fatal(err)
	}
	c := s.Containers
	for name, test := range map[string]struct{ got, want Limit }{
		"for all":                    {c.MemoryOf("other", ""), Limit{"512m", 512 << 20}},
		"of one":                     {c.MemoryOf("web", ""), Limit{"64 MiB", 64 << 20}},
		"of a service":               {c.MemoryOf("shop_web.1.x", "shop_web"), Limit{"1.5g", 3 << 29}},
		"its own before a service's": {c.MemoryOf("web", "shop_web"), Limit{"64 MiB", 64 << 20}},
		"a number":                   {c.CPUSharesOf("web"), Limit{"512", 512}},
		"a number of one":            {c.CPUSharesOf("db"), Limit{"2", 2}},
		"none of others":             {c.PidsLimitOf("web", ""), Limit{}},
		"one's alone":                {c.PidsLimitOf("db", ""), Limit{"100", 100}},
		"nothing said":               {Containers{}.PidsLimitOf("db"), Limit{}},
	} {
		if test.got != test.want {
			t.Errorf("%s: got %+v, want %+v", name, test.got, test.want)
		}
	}
}

func TestWrongLimits(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"memory: [lots]":                 `:1:23: "lots" is no limit: want a size of 6m at least`,
		"memory: [512]":                  "want a size of 6m",
		"memory: [-512m]":                "is no limit",
		"memory: [9e9t]":                 "is no limit",
		"memory: ['512m', ':1g']":        `:1:31: ":1g" is no limit`,
		"memory: ['a:b:1g']":             "is no limit",
		"memory: [512m, 1g]":             `"1g" and "512m" are for the same`,
		"memory: ['web:512m', 'web:1g']": `"web:1g" and "web:512m" are for the same`,
		"cpu-shares: [1024]":             "1024 counts as none",
		"cpu-shares: ['web:1']":          `"web:1" is no limit: want a weight from 2 to 262144`,
		"cpu-shares: [262145]":           "is no limit",
		"cpu-shares: [1.5]":              "is no limit",
		"pids-limit: [0]":                "want a number of processes from 1",
		"pids-limit: [-1]":               "is no limit",
		"pids-limit: ['web:4194305']":    "is no limit",
		"pids-limit: ['']":               "is no limit",
		"pids-limit: 100":                "site.yaml:1:26: ",
	} {
		if _, err := Parse("site.yaml", []byte("containers: {"+text+"}\n")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}
