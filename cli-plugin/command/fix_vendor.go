package command

import (
	"cmp"

	"github.com/spf13/pflag"

	"github.com/docker-stig/docker-stig/cli-plugin/site"
)

// vendorOptions say whose packages the engine's are (V-235788). A flag wins
// over site.yaml.
type vendorOptions struct {
	key        string
	repository string
}

func (o *vendorOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.key, "vendor-key", "", "File with the public key of the engine's vendor, for apt or rpm to trust (V-235788)")
	flags.StringVar(&o.repository, "vendor-repository", "", `Where the engine's packages are, "URL [SUITE [COMPONENT...]]", if not where they came from or the vendor has them`)
}

// into gives what was said to those who read the site's values.
func (o vendorOptions) into(s *site.Site) {
	s.VendorKey = cmp.Or(o.key, s.VendorKey)
	s.VendorRepository = cmp.Or(o.repository, s.VendorRepository)
}
