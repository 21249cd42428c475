package rules

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/distribution/reference"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/packages"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// fixVendorSigned has the host's package manager trust the vendor's key, from a
// file that the site names, for the vendor's repository. Packages are not
// installed: that may take a network, and restarts the engine. Images that
// their vendor did not sign are exchanged by a person.
func fixVendorSigned(ctx context.Context, h *host.Host) (change.Wanted, error) {
	var wanted change.Wanted
	if f := judgePackage(ctx, h); f.Status != stig.NotAFinding {
		if err := trustVendor(ctx, h, f, &wanted); err != nil {
			return change.Wanted{}, err
		}
	}
	images, err := vendorImages(ctx, h)
	if err != nil {
		wanted.Person = append(wanted.Person, "UCP and DTR images: "+err.Error())
		return wanted, nil
	}
	for _, image := range images {
		if f := judgeVendorImage(ctx, h, image); f.Status != stig.NotAFinding {
			wanted.Person = append(wanted.Person, exchangeImage(image, f))
		}
	}
	return wanted, nil
}

// trustVendor is the package half. A key that is no good is for a person, who
// brought it, to hear of.
func trustVendor(ctx context.Context, h *host.Host, f stig.Finding, wanted *change.Wanted) error {
	reason := f.Object + ": " + f.Details
	if h.Site.VendorKey == "" {
		wanted.Person = append(wanted.Person, reason, "bring the key file of the engine's vendor (docker.asc, mirantis.gpg) and run docker stig fix V-235788 --vendor-key FILE; "+
			"behind a mirror, --vendor-repository URL too. It writes key and entry for apt or rpm, and needs no network")
		return nil
	}
	root, err := packagesRoot(h)
	if err != nil {
		return err
	}
	setup, err := packages.PlanSetup(ctx, packages.SetupOptions{
		Root: root, Key: h.Site.VendorKey, Repository: h.Site.VendorRepository, Approved: h.Site.ApprovedKeys, Now: h.Now(),
	})
	if err != nil {
		wanted.Person = append(wanted.Person, reason, "the vendor's key was not planned: "+err.Error())
		return nil //nolint:nilerr // it says what to do instead
	}
	wanted.Changes = append(wanted.Changes, setupChanges(h, setup)...)
	wanted.Notes = append(wanted.Notes, keyNote(h, setup))
	wanted.Person = append(wanted.Person, reason)
	wanted.Person = append(wanted.Person, setup.ByHand...)
	wanted.Person = append(wanted.Person, takeFromVendor(h, setup)...)
	return nil
}

// packagesRoot is where the files of the host's package manager are seen.
func packagesRoot(h *host.Host) (string, error) {
	if disk, ok := h.Files.(*host.Disk); ok {
		return disk.Root, nil
	}
	if _, err := h.Stat("/"); err != nil {
		return "", err
	}
	return "", errors.New("the files of this host's package manager cannot be seen: run docker stig fix on the engine's own host")
}

// setupChanges are the files, and what rpm has to import. apt reads its keys
// as a user of its own, so their folder has to be open to all.
func setupChanges(h *host.Host, s packages.Setup) []change.Change {
	id := stig.VendorSigned
	var all []change.Change
	for _, f := range s.Files {
		all = append(all, change.Change{Serves: []stig.ID{id}, Disruption: change.None, File: &change.File{Path: f.Path, Content: f.Content}})
	}
	for _, open := range []struct {
		path string
		mode uint32
	}{{path.Dir(s.KeyFile), 0o755}, {s.KeyFile, 0o644}} {
		file, err := h.Stat(open.path)
		if err != nil || unixMode(file.Mode)&open.mode == open.mode {
			continue // one that is made is open
		}
		all = append(all, change.Change{
			Serves: []stig.ID{id}, Disruption: change.None,
			Owner: &change.Owner{Path: open.path, Mode: fmt.Sprintf("%04o", unixMode(file.Mode)|open.mode)},
		})
	}
	if s.Import != "" {
		all = append(all, change.Change{Serves: []stig.ID{id}, Disruption: change.None, Program: &change.Program{
			Title: "rpm's own keys",
			Argv:  []string{"rpm", "--import", s.KeyFile},
			Undo:  []string{"rpm", "-e", "--allmatches", s.Import},
			Done:  []string{"rpm", "-q", s.Import},
		}})
	}
	return all
}

// keyNote shows the fingerprint, before anybody agrees to the key.
func keyNote(h *host.Host, s packages.Setup) string {
	text := fmt.Sprintf("the key in %s has the fingerprint %s, which is that of %s (%s)", h.Site.VendorKey, s.Key.Fingerprint, s.Key.Owner, s.Key.Source)
	if s.Format == packages.RPM {
		return text + "; what rpm imports counts for packages of every repository"
	}
	return text + "; it counts for " + strings.Join(s.Repositories, ", ") + " alone"
}

// takeFromVendor says how the package comes from where the key is trusted.
func takeFromVendor(h *host.Host, s packages.Setup) []string {
	const check = "then run docker stig check V-235788"
	from := strings.Join(s.Repositories, ", ")
	if s.Format == packages.RPM {
		if s.Fetched {
			return nil // what is installed is signed with the key
		}
		return []string{fmt.Sprintf("take the engine from %s, which restarts it: %s; %s", from, installRPM(h, s), check)}
	}
	update := "apt-get update, which has to take " + from + " without a warning"
	if !s.Fetched {
		update += ": apt holds no lists of it yet, so whether it is signed with this key shows only then"
	}
	return []string{
		update + "; " + check,
		fmt.Sprintf("if it is still open, take the engine from there, which restarts it: %s; %s", installDeb(s), check),
	}
}

// ours reports whether a package is one of the vendors'.
func ours(name string) bool { return name == "docker-ce" || name == "docker-ee" }

// vendorPackages are what is installed in place of another's engine.
func vendorPackages(s packages.Setup) string {
	name := "docker-ce"
	if s.Key.Product == "Docker EE" {
		name = "docker-ee"
	}
	return fmt.Sprintf("%s %[1]s-cli containerd.io", name)
}

func installDeb(s packages.Setup) string {
	if !ours(s.Package) {
		return "apt-get install " + vendorPackages(s) + ", which takes other builds of the engine away"
	}
	return fmt.Sprintf("apt-get install --reinstall %s=%s (apt-cache policy %[1]s tells the versions that are there)", s.Package, s.Version)
}

func installRPM(h *host.Host, s packages.Setup) string {
	tool, again := "yum", "reinstall"
	for _, known := range []struct{ tool, again string }{{"zypper", "install --force"}, {"dnf", "reinstall"}} {
		if _, err := h.Stat("/usr/bin/" + known.tool); err == nil {
			tool, again = known.tool, known.again
			break
		}
	}
	if !ours(s.Package) {
		return fmt.Sprintf("%s remove %s, then %[1]s install %[3]s", tool, s.Package, vendorPackages(s))
	}
	return fmt.Sprintf("%s %s %s", tool, again, s.Package)
}

// exchangeImage says how an image is exchanged for one that its vendor signed.
func exchangeImage(image vendorImage, f stig.Finding) string {
	text := f.Object + ": " + f.Details
	tagged, ok := image.Name.(reference.Tagged)
	if f.Status != stig.Open || !ok || image.product.Name == "" {
		return text
	}
	var names []string
	for _, repository := range image.product.Repositories {
		if ref, err := reference.ParseNormalizedNamed(repository); err == nil {
			names = append(names, reference.FamiliarName(ref)+":"+tagged.Tag())
		}
	}
	name := names[len(names)-1]
	if image.Name.Name() == image.product.Repositories[0] {
		name = names[0]
	}
	repository, _, _ := strings.Cut(name, ":")
	return fmt.Sprintf("%s. Nobody but its vendor can sign it: see which digest is signed (docker stig trust inspect %s), pull just that one (docker pull %s@DIGEST), "+
		"compare it with what runs (docker image inspect --format '{{.RepoDigests}}' %s), and where they differ upgrade %s from the signed image. "+
		"Of a version that was never signed (nothing is shown for its tag), upgrade to one that is",
		text, name, repository, reference.FamiliarString(image.Name), image.product.Name)
}
