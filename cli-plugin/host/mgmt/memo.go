package mgmt

import "sync"

// A Memo keeps the answer to a question that is asked once, its error too: a
// server that was silent is not waited for again. It is safe for concurrent
// use; the zero Memo holds nothing.
type Memo[T any] struct {
	lock  sync.Mutex
	asked bool
	value T
	err   error
}

// Get gives what ask says, or said.
func (m *Memo[T]) Get(ask func() (T, error)) (T, error) {
	m.lock.Lock()
	defer m.lock.Unlock()
	if !m.asked {
		m.value, m.err = ask()
		m.asked = true
	}
	return m.value, m.err
}

// Forget makes the next Get ask again.
func (m *Memo[T]) Forget() {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.asked = false
}
