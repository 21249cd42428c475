package mgmt

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// ReadCertificates reads the certificates of a PEM file, in its order. What
// else the file holds, a key even, is passed over.
func ReadCertificates(name string) ([]*x509.Certificate, error) {
	raw, err := readPEM(name)
	if err != nil {
		return nil, err
	}
	found, err := parseCertificates(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return found, nil
}

func parseCertificates(raw []byte) ([]*x509.Certificate, error) {
	var found []*x509.Certificate
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d cannot be read: %w", len(found)+1, err)
		}
		found = append(found, certificate)
	}
	if len(found) == 0 {
		return nil, errors.New("there is no certificate in it: give a file in PEM form")
	}
	return found, nil
}

// readPEM reads a regular file. It waits for no pipe.
func readPEM(name string) ([]byte, error) {
	file, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", name)
	}
	raw, err := io.ReadAll(io.LimitReader(file, maxCAFile+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxCAFile {
		return nil, fmt.Errorf("%s is larger than %d MiB", name, maxCAFile>>20)
	}
	return raw, nil
}
