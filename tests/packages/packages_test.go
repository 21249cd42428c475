// Package packages proves the deb and rpm packages: what they hold, that they
// install, upgrade and leave as they should, and that systemd can make use of
// their units. The package managers are the real ones and work on a scratch
// root; systemd is not there, so its command is played by one that writes down
// what it was asked (see root), and its socket activation by
// systemd-socket-activate.
package packages

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	version = "0.1.0-dev+g0000001" // of the packages under test
	newer   = "0.1.0"              // what they are upgraded to
	epoch   = 1700000000           // s since 1970, the commit's time they are built with
)

// built are the folders with the packages of either version, made once.
var built struct {
	dir  string
	make map[string]func() (string, error)
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "docker-stig-packages-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "making a folder for the packages:", err)
		os.Exit(1)
	}
	built.dir = dir
	built.make = map[string]func() (string, error){
		version: sync.OnceValues(func() (string, error) { return makePackages(version) }),
		newer:   sync.OnceValues(func() (string, error) { return makePackages(newer) }),
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func makePackages(v string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute) // a build without a cache on two cores
	defer cancel()
	dist := filepath.Join(built.dir, v)
	cmd := exec.CommandContext(ctx, "make", "packages", "DIST="+dist, "VERSION="+v)
	cmd.Dir = "../.."
	// Flags of a make that runs the tests are not meant for the make they run.
	cmd.Env = append(os.Environ(), "MAKEFLAGS=", "MAKELEVEL=", fmt.Sprintf("SOURCE_DATE_EPOCH=%d", epoch))
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("make packages: %w\n%s", err, out)
	}
	return dist, nil
}

// packageOf is the file of a package ("docker-stig") in a format ("deb").
func packageOf(t *testing.T, v, name, format string) string {
	t.Helper()
	dist, err := built.make[v]()
	if err != nil {
		t.Fatal(err)
	}
	// Behind the name stands _VERSION in a deb, -VERSION in an rpm.
	files, err := filepath.Glob(filepath.Join(dist, name+`[_\-][0-9]*.`+format))
	if err != nil || len(files) != 1 {
		t.Fatalf("packages of %s as %s: %v, %v; want one", name, format, files, err)
	}
	return files[0]
}

// run gives what a program said on both its outputs, and ends the test if it
// fails.
func run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := try(t, args...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// try runs a program that may fail.
func try(t *testing.T, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	// C: messages are compared. The rest is what dpkg wants of a path.
	cmd.Env = append(os.Environ(), "LC_ALL=C", "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// requireTools skips the test where a program is missing, and fails it where
// everything has to run.
func requireTools(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			skip(t, name+" is not installed: make deps does that")
		}
	}
}

func requireRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		skip(t, "package managers run scripts in a scratch root, which takes root")
	}
}

func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("STIG_REQUIRE_ENGINE") == "1" {
		t.Fatalf("STIG_REQUIRE_ENGINE=1, but %s", why)
	}
	t.Skip(why)
}
