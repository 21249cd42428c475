package notary

import (
	"context"
	"time"

	"github.com/theupdateframework/notary/tuf/data"
)

// CheckForm lets the tests of the outside look at one step.
var CheckForm = checkForm

// Accounted is what the verifier believes its memory to take, in bytes.
func Accounted(v *Verifier) int64 {
	v.memory.mu.Lock()
	defer v.memory.mu.Unlock()
	return v.memory.known.bytes
}

// Renew is what Run does from time to time.
func Renew(ctx context.Context, v *Verifier, age time.Duration) { v.renew(ctx, age) }

// CacheFile is where a repository is kept.
func CacheFile(dir string, gun data.GUN) string { return openCache(dir, gun).path }
