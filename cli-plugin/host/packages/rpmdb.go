package packages

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

const maxRPMAnswer = 256 << 20 // bytes; one engine's header is 30 KiB

// rpmDirs is where rpm databases lie, newest habit first.
var rpmDirs = []string{"/usr/lib/sysimage/rpm", "/var/lib/rpm"}

// rpmFiles are the databases of rpm's backends: sqlite, ndb and bdb.
var rpmFiles = []string{"rpmdb.sqlite", "Packages.db", "Packages"}

// An rpmDB is asked through the rpm program, the only reader of all backends.
// It is told to verify nothing: it hands over bytes, which are judged here.
type rpmDB struct {
	root root
	dir  string // below the root
	path string // on this machine
}

// An rpmPackage is a header and the signatures over it.
type rpmPackage struct {
	name       string
	header     rpmHeader
	signatures [][]byte
}

func openRPMDB(r root) (rpmDB, error) {
	for _, dir := range rpmDirs {
		for _, file := range rpmFiles {
			if !r.isFile(path.Join(dir, file)) {
				continue
			}
			full, err := r.resolve(dir)
			if err != nil {
				return rpmDB{}, err
			}
			full, err = filepath.Abs(full)
			return rpmDB{root: r, dir: dir, path: full}, err
		}
	}
	return rpmDB{}, errNoDatabase
}

// query runs rpm -q on the database. Its environment holds nothing of the
// caller's, whose ~/.rpmmacros could bend the answer.
func (db rpmDB) query(ctx context.Context, args ...string) ([]byte, error) {
	args = slices.Concat([]string{"--dbpath", db.path, "--nosignature", "--nodigest"}, args)
	cmd := exec.CommandContext(ctx, "rpm", args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "HOME=/nonexistent"}
	var out, errOut limited
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	if errors.Is(err, exec.ErrNotFound) {
		return nil, fmt.Errorf("asking the rpm database in %s: the rpm program is not installed here; install it, or run this on the host itself", db.dir)
	}
	if err != nil {
		return out.buf.Bytes(), fmt.Errorf("asking the rpm database in %s: %w: %.200s", db.dir, err, bytes.TrimSpace(errOut.buf.Bytes()))
	}
	return out.buf.Bytes(), nil
}

// limited keeps what a program writes, to a bound. The buffer is not embedded:
// its ReadFrom would go round Write.
type limited struct{ buf bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if l.buf.Len()+len(p) > maxRPMAnswer {
		return 0, errors.New("rpm answers more than can be read")
	}
	return l.buf.Write(p)
}

// headerFormat ends each package with ";" and parts the fields by "|": no
// base64 holds either, and rpm breaks its base64 into lines.
const headerFormat = "%{NAME}|%{HEADERIMMUTABLE:base64}|%{RSAHEADER:base64}|%{DSAHEADER:base64}"

// engine finds the engine package: one known by name that owns one of the
// paths, or else whichever owns one.
func (db rpmDB) engine(ctx context.Context, paths []string) (rpmPackage, error) {
	format := db.format(ctx)
	answer, err := db.query(ctx, slices.Concat([]string{"-qa", "--qf", format}, enginePackageNames())...)
	if err != nil {
		return rpmPackage{}, err
	}
	if p, err := oneOwner(answer, paths); !errors.Is(err, errNoEngine) {
		return p, err
	}
	for _, name := range paths {
		if !db.root.isFile(name) {
			continue
		}
		// rpm fails when no package owns the path, and answers nothing.
		answer, err := db.query(ctx, "-q", "--qf", format, "--whatprovides", name)
		if err != nil && ctx.Err() != nil {
			return rpmPackage{}, err
		}
		if p, err := oneOwner(answer, paths); !errors.Is(err, errNoEngine) {
			return p, err
		}
	}
	return rpmPackage{}, errNoEngine
}

// format adds the signatures of rpm 6, if this rpm knows them.
func (db rpmDB) format(ctx context.Context) string {
	tags, err := db.query(ctx, "--querytags")
	if err == nil && slices.Contains(strings.Fields(string(tags)), "OPENPGP") {
		return headerFormat + "[|%{OPENPGP}];"
	}
	return headerFormat + ";"
}

// oneOwner picks the package that owns one of the paths. Two versions of an
// engine side by side leave open which of them put its dockerd there.
func oneOwner(answer []byte, paths []string) (rpmPackage, error) {
	var owners []rpmPackage
	for record := range strings.SplitSeq(string(answer), ";") {
		if !strings.Contains(record, "|") {
			continue
		}
		p, err := parseRPMRecord(record)
		if err != nil {
			return rpmPackage{}, err
		}
		files, err := p.header.files(func(name string) bool { return slices.Contains(paths, name) })
		if err != nil {
			return rpmPackage{}, err
		}
		if len(files) > 0 {
			owners = append(owners, p)
		}
	}
	switch len(owners) {
	case 0:
		return rpmPackage{}, errNoEngine
	case 1:
		return owners[0], nil
	default:
		return rpmPackage{}, fmt.Errorf("%s and %s are both installed and own dockerd, so it cannot be told which put it there: remove one",
			owners[0].name, owners[1].name)
	}
}

// parseRPMRecord reads one package of headerFormat.
func parseRPMRecord(record string) (rpmPackage, error) {
	fields := strings.Split(record, "|")
	if len(fields) < 4 {
		return rpmPackage{}, errors.New("reading rpm's answer: fields are missing")
	}
	blob, err := decode64(fields[1])
	if err != nil {
		return rpmPackage{}, fmt.Errorf("reading rpm's answer: header of %.60s: %w", fields[0], err)
	}
	p := rpmPackage{name: fields[0]}
	if p.header, err = parseRPMHeader(blob); err != nil {
		return rpmPackage{}, err
	}
	for _, text := range fields[2:] {
		if text == "(none)" {
			continue
		}
		sig, err := decode64(text)
		if err != nil {
			return rpmPackage{}, fmt.Errorf("reading rpm's answer: signature of %.60s: %w", fields[0], err)
		}
		p.signatures = append(p.signatures, sig)
	}
	return p, nil
}

func decode64(text string) ([]byte, error) {
	return base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
}

// rpmKeyring is the keys that rpm was given, and those laid out for import. db
// is nil on a host without a database.
func (j *judge) rpmKeyring(ctx context.Context, db *rpmDB) (keyring, error) {
	var all keyring
	if db != nil {
		var err error
		if all, err = db.imported(ctx); err != nil {
			return keyring{}, err
		}
	}
	laidOut, err := j.root.list(rpmKeyDir, func(string) bool { return true })
	if err != nil {
		return keyring{}, fmt.Errorf("reading rpm's keys: %w", err)
	}
	all.joinFiles(j.root, laidOut)
	return all, nil
}

// rpmKeyDir is where keys are laid out for import.
const rpmKeyDir = "/etc/pki/rpm-gpg"

// imported is the keys in the database or, since rpm 6, kept beside it.
func (db rpmDB) imported(ctx context.Context) (keyring, error) {
	armored, err := db.query(ctx, "-qa", "--qf", "%{DESCRIPTION}\n", "gpg-pubkey")
	if err != nil {
		return keyring{}, err
	}
	var all keyring
	if bytes.Contains(armored, armorHeader) {
		if all, err = newKeyring("the rpm database", armored); err != nil {
			return keyring{}, err
		}
	}
	files, err := db.root.list(path.Join(db.dir, "pubkeys"), hasSuffix(".key"))
	if err != nil {
		return keyring{}, fmt.Errorf("reading rpm's keys: %w", err)
	}
	all.joinFiles(db.root, files)
	return all, nil
}

// joinFiles adds the keys of files. A stray one must not hide the others.
func (k *keyring) joinFiles(r root, names []string) {
	for _, name := range names {
		if ring, err := r.keyring(name); err == nil {
			k.join(ring)
		}
	}
}
