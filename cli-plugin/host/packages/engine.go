package packages

import (
	"path"
	"slices"
)

// An enginePackage is a name under which the engine is packaged.
type enginePackage struct {
	name         string
	distribution bool // built by distributions rather than by the engine's vendor
}

// enginePackages lists the vendors' packages before those of distributions. A
// name that is missing here is still found by the dockerd it owns.
var enginePackages = []enginePackage{
	{name: "docker-ee"},     // Docker EE 17.06 and later, Mirantis Container Runtime
	{name: "docker-ce"},     // Docker CE 17.03 and later
	{name: "docker-engine"}, // Docker 1.8 to 1.13, and some cloud distributions
	{name: "docker.io", distribution: true},
	{name: "moby-engine", distribution: true}, // Fedora, Azure Linux
	{name: "docker", distribution: true},      // RHEL 7, openSUSE, Amazon Linux
}

// enginePaths is where packages put dockerd. Docker 18.09 called it dockerd-ce
// or dockerd-ee behind an alternative, RHEL 7 dockerd-current.
var enginePaths = []string{
	"/usr/bin/dockerd",
	"/usr/sbin/dockerd",
	"/usr/bin/dockerd-ce",
	"/usr/bin/dockerd-ee",
	"/usr/bin/dockerd-current",
}

// handPaths is where people put a dockerd of their own.
var handPaths = []string{
	"/usr/local/bin/dockerd",
	"/usr/local/sbin/dockerd",
	"/opt/bin/dockerd",
}

func enginePackageNames() []string {
	names := make([]string, 0, len(enginePackages))
	for _, p := range enginePackages {
		names = append(names, p.name)
	}
	return names
}

func fromDistribution(name string) bool {
	return slices.ContainsFunc(enginePackages, func(p enginePackage) bool { return p.name == name && p.distribution })
}

// wantedEngines is the paths of which a package must own one to be the engine's.
func (j *judge) wantedEngines() []string {
	if j.engine != "" {
		return []string{path.Clean("/" + j.engine)}
	}
	return enginePaths
}

// enginesOnDisk lists every dockerd below the root, the running one alone when
// it is known.
func (j *judge) enginesOnDisk() []string {
	candidates := slices.Concat(handPaths, enginePaths)
	if j.engine != "" {
		candidates = j.wantedEngines()
	}
	var found []string
	for _, name := range candidates {
		if j.root.isFile(name) {
			found = append(found, name)
		}
	}
	return found
}

// isEngineName tells whether a file in a package is a dockerd.
func isEngineName(name string) bool {
	same := func(known string) bool { return path.Base(known) == path.Base(name) }
	return slices.ContainsFunc(enginePaths, same)
}
