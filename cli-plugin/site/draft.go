package site

import (
	"fmt"
	"slices"
	"strings"
)

// Seen is what a host shows of what site.yaml is about. Whether the site
// approves of it, nobody knows but the site.
type Seen struct {
	Host           string
	Edition        string
	Capabilities   []string // each as site.yaml writes it
	Ports          []string
	Devices        []string
	CgroupParents  []string
	Ulimits        []string
	MaxSize        string
	MaxFile        string
	LogAddress     string
	NodeCertExpiry string
	PlainNetworks  []string // overlay networks that do not encrypt
	VendorImages   []string
	Asked          []Asked  // requirements that only a person can answer
	Unseen         []string // what could not be asked, and why
}

// Asked is a requirement that waits for an answer.
type Asked struct{ ID, Title string }

// Draft writes a site.yaml to begin with. All of it is comment: what is seen
// is not what is approved, and a line counts only once a person has taken its
// mark away.
func Draft(seen Seen) string {
	d := &draft{}
	d.say("# What only your site knows, for docker stig check on " + or(seen.Host, "this host") + ".")
	if seen.Edition != "" {
		d.say("# The engine is " + seen.Edition + ".")
	}
	d.say("#", "# Nothing here counts yet. Values are those found on the host: take away the #",
		"# of those that your security plan (SSP) approves, and change the others. What is",
		"# left out leaves its requirements Not_Reviewed.")
	for _, unseen := range seen.Unseen {
		d.say("# Not seen: " + unseen)
	}
	d.section("Names in evidence, where what the machine says of itself will not do.", "asset:",
		"  host-name: "+or(seen.Host, "dkr01"), "  fqdn: dkr01.example.com", "  ip: 192.0.2.5", "  mac: 02:00:00:00:00:01",
		"  technology-area: Other Review", "  marking: CUI", "  comment: WHAT IT IS FOR")
	d.section("Package signing keys approved beside the vendors' (V-235788), full fingerprints.", "approved-keys: []")
	d.section("What docker stig fix V-235788 sets up: the vendor's key file, and a mirror of its repository.", "vendor-key: /media/usb/docker.asc",
		"vendor-repository: https://mirror.example.com/docker bookworm stable")
	d.section("UCP and DTR images in use, by tag (V-235788).", "vendor-images: "+inline(seen.VendorImages))
	d.section("PEM file of the authorities in which the certificates of UCP and DTR have to end.", "trusted-ca: /etc/docker-stig/trusted-ca.pem")
	d.section("What containers may have. The lists name all that is allowed; [] allows nothing.", "containers:")
	d.say("#   system: guide", "#   sensitive-paths: [/boot, /dev, /etc, /lib, /proc, /sys, /usr]")
	d.item("capabilities", seen.Capabilities)
	d.item("ports", seen.Ports)
	d.item("devices", seen.Devices)
	d.item("cgroup-parents", seen.CgroupParents)
	d.item("ulimits", seen.Ulimits)
	d.say("#   # The limits that docker stig fix sets where V-235806, V-235807 or V-235828 is named.",
		"#   memory: [\"NAME:512m\"]", "#   cpu-shares: [\"NAME:512\"]", "#   pids-limit: [\"NAME:100\"]")
	d.section("The engine's logs, by the plan.", "logging:",
		"  max-size: "+quoted(or(seen.MaxSize, "10m")), "  max-file: "+quoted(or(seen.MaxFile, "3")), "  address: "+quoted(or(seen.LogAddress, "tcp+tls://log.example.com:6514")))
	d.section("The swarm, by the plan. These overlay networks do not encrypt: keep those whose applications do.", "swarm:",
		"  node-cert-expiry: "+or(seen.NodeCertExpiry, "2160h"), "  secrets: {SERVICE: [SECRET]}")
	d.item("encrypted-by-application", seen.PlainNetworks)
	d.section("UCP and DTR, if there are any. Passwords stay out of this file.", "ucp:",
		"  url: https://ucp.example.com", "  ca: /etc/docker-stig/ucp-ca.pem", "  username: auditor", "  password-file: /etc/docker-stig/ucp-password",
		"  parallel: 8", "  sessions-per-user: 10", "  require-signature-from: [ops/release]", "  grants: [\"SUBJECT ROLE COLLECTION\"]",
		"  client-certificate: /etc/docker-stig/cert.pem", "  subject: CN=auditor", "  issuer: CN=UCP Client Root CA",
		"dtr:", "  url: https://dtr.example.com", "  access: {ORG/TEAM: {ORG/REPOSITORY: read-only}}", "  members: {ORG/TEAM: [NAME]}")
	d.section("On a node of a cluster: the checklist in which the cluster was assessed.", "assessed-in:",
		"  components: [ucp, dtr, swarm, org]", "  checklist: cluster.ckl", "  by: NAME", "  expires: YYYY-MM-DD")
	d.section("What only a person can tell. status is NotAFinding, Open or Not_Applicable. An answer may", "say with facts: the hash that check --format json prints, and with when: the status it expects.", "answers:")
	for _, asked := range seen.Asked {
		d.say("#   # "+asked.Title, "#   "+asked.ID+": {status: NotAFinding, by: NAME, expires: YYYY-MM-DD, comment: WHERE IT IS WRITTEN}")
	}
	d.section("Risks that were accepted. The requirement stays open, and says so.", "waivers:",
		"  - rule: DKER-EE-002010", "    objects: [\"container legacy-*\"]", "    reason: WHY", "    approver: WHO", "    ticket: WHICH", "    expires: YYYY-MM-DD")
	return d.b.String()
}

// A draft is a file that is being written.
type draft struct{ b strings.Builder }

// say writes lines.
func (d *draft) say(lines ...string) {
	for _, line := range lines {
		d.b.WriteString(oneLine(line) + "\n")
	}
}

// oneLine keeps what a host says of itself inside its comment.
func oneLine(text string) string { return strings.NewReplacer("\n", " ", "\r", " ").Replace(text) }

// section writes what a key is for, and the key with its values.
func (d *draft) section(about string, lines ...string) {
	d.say("", "# "+about)
	for _, line := range lines {
		d.say("# " + line)
	}
}

// item writes one list of the section above.
func (d *draft) item(key string, values []string) { d.say("#   " + key + ": " + inline(values)) }

// inline is a list of YAML on one line, sorted, each value once.
func inline(values []string) string {
	values = slices.Compact(slices.Sorted(slices.Values(values)))
	for i, value := range values {
		values[i] = quoted(value)
	}
	return "[" + strings.Join(values, ", ") + "]"
}

// quoted is a YAML string that is one whatever is in it.
func quoted(text string) string { return fmt.Sprintf("%q", text) }

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}
