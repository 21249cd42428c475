package main

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"github.com/docker-stig/docker-stig/shared/record"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// maxPolicy bounds a policy, as policy.Load does.
const maxPolicy = 32 << 20 // bytes

// publish says which policy is in force. A daemon that cannot say it serves on,
// and says nothing rather than what was so before.
func (l *loader) publish(f *force) {
	err := l.say(f.Policy)
	if err == nil {
		return
	}
	l.log.Warn("which policy is in force could not be written down: docker stig authz status does not know it", "error", err)
	if err := record.Unsay(l.state); err != nil {
		l.log.Warn("what was in force before is still written down", "error", err)
	}
}

func (l *loader) say(inForce *policy.Policy) error {
	source, err := filepath.Abs(l.path)
	if err != nil {
		return err
	}
	said := record.InForce{
		Path: source, SHA256: sumOf(source, inForce), Mode: string(inForce.ContentTrust.Mode), Since: time.Now().UTC(),
	}
	return said.Say(l.state)
}

// sumOf is the SHA-256 of the policy's file if its bytes say what is in force:
// it may have been changed since it was loaded.
func sumOf(path string, inForce *policy.Policy) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxPolicy+1))
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(raw) // before Parse, which may write into the bytes
	if now, err := policy.Parse(path, raw); err != nil || !reflect.DeepEqual(now, inForce) {
		return ""
	}
	return hex.EncodeToString(sum[:])
}
