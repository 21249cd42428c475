package access

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// defaultFile is where the daemon's own logins lie, root 0600: a daemon has
// nobody's docker login.
const defaultFile = "/etc/docker-stig/auth.json"

// maxFile bounds a file of logins; a thousand hosts with identity tokens come
// to 2 MiB.
const maxFile = 4 << 20 // bytes

// DaemonFile names the daemon's logins: what systemd handed over as credential
// auth.json (LoadCredential), else /etc/docker-stig/auth.json.
func DaemonFile() string {
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" {
		path := filepath.Join(dir, "auth.json")
		if _, err := os.Lstat(path); err == nil {
			return path
		}
	}
	return defaultFile
}

// A File is a file of logins in the format of docker's config.json, of which
// "auths" alone counts. It is read again when it has changed; one that others
// than its owner may read is refused. A File that does not exist has no login.
type File struct {
	path string

	mu   sync.Mutex
	seen fs.FileInfo // of what was read
	kept sealed[*authFile]
	news int // how often it was read
}

// OpenFile names the file. It reads nothing.
func OpenFile(path string) *File { return &File{path: path} }

// Login implements Credentials.
func (f *File) Login(host string) (Login, error) {
	kept, err := f.read()
	if err != nil {
		return Login{}, err
	}
	login, err := kept.login(host)
	if err != nil {
		return Login{}, fmt.Errorf("%s: %w", f.path, err)
	}
	return login, nil
}

// Hosts lists the hosts there is a login for, as they stand in image names.
func (f *File) Hosts() ([]string, error) {
	kept, err := f.read()
	if err != nil {
		return nil, err
	}
	var hosts []string
	for _, m := range kept.auths {
		hosts = append(hosts, hostOf(m.name))
	}
	slices.Sort(hosts)
	return slices.Compact(hosts), nil
}

// read gives what the file holds, from memory while it is unchanged.
func (f *File) read() (*authFile, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		f.seen, f.kept = nil, nil
		return &authFile{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the logins: %w", err)
	}
	if f.kept != nil && sameState(f.seen, info) {
		return f.kept(), nil
	}
	f.seen, f.kept = nil, nil
	raw, info, err := readSecret(f.path)
	if err != nil {
		return nil, err
	}
	kept, err := parseAuthFile(f.path, raw)
	if err != nil {
		return nil, err
	}
	f.seen, f.kept = info, seal(kept)
	f.news++
	return kept, nil
}

// revision tells one content of the file from the next.
func (f *File) revision() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.news
}

func sameState(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && a.Mode() == b.Mode()
}

// readSecret reads a file that its owner alone may read. It looks at what it
// has opened, which nobody can exchange.
func readSecret(path string) ([]byte, fs.FileInfo, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe would keep us waiting
	if err != nil {
		return nil, nil, fmt.Errorf("reading the logins: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, nil, fmt.Errorf("reading the logins: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("reading the logins: %s is not a file", path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, nil, fmt.Errorf("reading the logins: others than its owner may get at %s (mode %04o): run: chmod 0600 %s, and change the passwords if others have been there", path, mode, path)
	}
	raw, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, nil, fmt.Errorf("reading the logins: %w", err)
	}
	if len(raw) > maxFile {
		return nil, nil, fmt.Errorf("reading the logins: %s is larger than %d MiB", path, maxFile>>20)
	}
	return raw, info, nil
}

func (f *File) command(host string) string { return "docker stig authz login " + host }
