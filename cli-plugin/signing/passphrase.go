package signing

import (
	"errors"
	"fmt"
	"sync"

	"github.com/theupdateframework/notary/tuf/data"
)

// The variables in which `docker trust` looks for passphrases.
const (
	rootVariable       = "DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE"
	repositoryVariable = "DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE"
)

const (
	minPassphrase = 8 // characters of a new one, as docker has it
	maxAttempts   = 3 // at one passphrase
)

// ErrPassphrase says that a key could not be opened, or kept, for want of the
// right passphrase.
var ErrPassphrase = errors.New("no passphrase opens it")

// Passphrases finds the passphrases of keys as `docker trust` does: one for
// root keys and one for all others in the environment, or else by asking for
// each role. An answer is kept for the next key of the role, in memory.
type Passphrases struct {
	Env func(string) string                   // os.Getenv
	Ask func(question string) (string, error) // on a terminal, without echo; nil: nobody is there

	mu     sync.Mutex
	kept   map[string]string // by role
	reason error             // why the last one was not to be had
}

// variable is where the passphrase of a role may be.
func variable(role string) string {
	if role == data.CanonicalRootRole.String() {
		return rootVariable
	}
	return repositoryVariable
}

// get is a notary.PassRetriever.
func (p *Passphrases) get(keyID, role string, isNew bool, attempt int) (passphrase string, giveUp bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	passphrase, err = p.find(keyID, role, isNew, attempt)
	p.reason = err
	return passphrase, err != nil, err
}

func (p *Passphrases) find(keyID, role string, isNew bool, attempt int) (string, error) {
	name := variable(role)
	if set := p.Env(name); set != "" {
		if attempt > 0 && !isNew {
			return "", fmt.Errorf("the one in %s is wrong", name)
		}
		return set, nil
	}
	if kept, ok := p.kept[role]; ok && attempt == 0 {
		return kept, nil
	}
	if p.Ask == nil {
		return "", fmt.Errorf("nobody is there to ask: set %s", name)
	}
	if attempt >= maxAttempts {
		return "", fmt.Errorf("%d passphrases were wrong", maxAttempts)
	}
	given, err := p.ask(keyID, role, isNew)
	if err != nil {
		return "", err
	}
	if p.kept == nil {
		p.kept = map[string]string{}
	}
	p.kept[role] = given
	return given, nil
}

// ask asks for a passphrase; for a new one twice.
func (p *Passphrases) ask(keyID, role string, isNew bool) (string, error) {
	if !isNew {
		return p.Ask(fmt.Sprintf("Passphrase of the %s key %.7s: ", role, keyID))
	}
	return NewPassphrase(p.Ask, fmt.Sprintf("the new %s key %.7s", role, keyID))
}

// NewPassphrase asks twice for a passphrase that protects something from now on.
func NewPassphrase(ask func(string) (string, error), of string) (string, error) {
	given, err := ask(fmt.Sprintf("New passphrase of %s: ", of))
	if err != nil {
		return "", err
	}
	if len(given) < minPassphrase {
		return "", fmt.Errorf("the passphrase is too short: want at least %d characters", minPassphrase)
	}
	again, err := ask("Once more: ")
	if err != nil {
		return "", err
	}
	if again != given {
		return "", errors.New("the two passphrases differ")
	}
	return given, nil
}

// why tells what was wrong with the last passphrase, after notary's key store
// has lost it.
func (p *Passphrases) why() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reason == nil {
		return ErrPassphrase
	}
	return fmt.Errorf("%w: %w", ErrPassphrase, p.reason)
}
