package access

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxPEM bounds a file of certificates; the system's bundle of all public
// authorities is 220 KiB.
const maxPEM = 4 << 20 // bytes

// maxName is the length of the longest name that a folder can have.
const maxName = 255 // bytes

// A keyPair names the files of a client certificate.
type keyPair struct{ certificate, key string }

// certificates are the files that hold for one route.
type certificates struct {
	authorities []string
	only        bool // the authorities, and not the system's
	clients     []keyPair
	stamp       string // changes when one of the files does
}

// find lists the files for a route: the CA it names, and what lies in the
// folders of its host. A folder that is not there is no error.
func find(dirs []string, r route) (certificates, error) {
	found := certificates{only: r.ca != "" && r.namedBy == ""}
	if r.ca != "" {
		found.authorities = []string{r.ca}
	}
	for _, dir := range dirs {
		own, err := list(dir, r.host)
		if err != nil {
			return certificates{}, err
		}
		if !r.foreign {
			found.clients = append(found.clients, own.clients...)
		}
		if !found.only {
			found.authorities = append(found.authorities, own.authorities...)
		}
		if r.namedBy == "" {
			continue
		}
		// An engine trusts for the token server what it trusts for the
		// registry that names it.
		by, err := list(dir, r.namedBy)
		if err != nil {
			return certificates{}, err
		}
		found.authorities = append(found.authorities, by.authorities...)
	}
	return found, found.mark()
}

// list reads the folder of one host. As docker has it, *.crt is an authority
// and *.cert a client's certificate, whose key is beside it in *.key.
func list(dir, host string) (certificates, error) {
	if !filepath.IsLocal(host) || filepath.Base(host) != host || host == "." || len(host) > maxName {
		return certificates{}, nil // a name with a path in it has no folder
	}
	folder := filepath.Join(dir, host)
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) || len(entries) == 0 && err == nil {
		return certificates{}, nil
	}
	if err != nil {
		return certificates{}, fmt.Errorf("reading its certificates: %w", err)
	}
	var found certificates
	there := map[string]bool{}
	for _, entry := range entries {
		there[filepath.Join(folder, entry.Name())] = true
	}
	for _, entry := range entries { // in order of their names
		path := filepath.Join(folder, entry.Name())
		stem := strings.TrimSuffix(path, filepath.Ext(path))
		switch filepath.Ext(path) {
		case ".crt":
			found.authorities = append(found.authorities, path)
		case ".cert":
			if !there[stem+".key"] {
				return certificates{}, fmt.Errorf("client certificate %s lacks its key: put it into %s.key (the file of an authority ends in .crt)", path, stem)
			}
			found.clients = append(found.clients, keyPair{path, stem + ".key"})
		case ".key":
			if !there[stem+".cert"] {
				return certificates{}, fmt.Errorf("key %s lacks its client certificate: put it into %s.cert (not .crt, which is for authorities)", path, stem)
			}
		}
	}
	return found, nil
}

// mark looks at the files without reading them.
func (c *certificates) mark() error {
	paths := append([]string{}, c.authorities...)
	for _, pair := range c.clients {
		paths = append(paths, pair.certificate, pair.key)
	}
	var stamp strings.Builder
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("reading its certificates: %w; put the file there, or take its name out", err)
		}
		fmt.Fprintf(&stamp, "%q %d %d\n", path, info.Size(), info.ModTime().UnixNano())
	}
	c.stamp = stamp.String()
	return nil
}

// config reads the files.
func (c *certificates) config() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	for _, path := range c.authorities {
		if config.RootCAs == nil {
			config.RootCAs = c.pool()
		}
		pem, err := readPEM(path)
		if err != nil {
			return nil, err
		}
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("reading its CA: %s holds no certificate in PEM form", path)
		}
	}
	for _, pair := range c.clients {
		certificate, err := pair.read()
		if err != nil {
			return nil, err
		}
		config.Certificates = append(config.Certificates, certificate)
	}
	return config, nil
}

func (c *certificates) pool() *x509.CertPool {
	if c.only {
		return x509.NewCertPool()
	}
	system, err := x509.SystemCertPool()
	if err != nil {
		return x509.NewCertPool() // a system without authorities trusts those of the folders
	}
	return system
}

func (p keyPair) read() (tls.Certificate, error) {
	certificate, err := readPEM(p.certificate)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := readPEM(p.key)
	if err != nil {
		return tls.Certificate{}, err
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("reading client certificate %s with key %s: %w", p.certificate, p.key, err)
	}
	return pair, nil
}

func readPEM(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading its certificates: %w", err)
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxPEM+1))
	if err != nil {
		return nil, fmt.Errorf("reading its certificates: %w", err)
	}
	if len(raw) > maxPEM {
		return nil, fmt.Errorf("reading its certificates: %s is larger than %d MiB", path, maxPEM>>20)
	}
	return raw, nil
}
