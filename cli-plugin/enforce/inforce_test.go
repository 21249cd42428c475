package enforce

import (
	"errors"
	"os"
	"testing"

	"github.com/docker-stig/docker-stig/shared/record"
)

// Only the daemon that answers the engine is believed.
func TestReadInForce(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	if err := (record.InForce{Mode: "enforced"}).Say(state); err != nil {
		t.Fatal(err)
	}
	for _, answers := range []int{0, os.Getpid()} { // 0: it is not known who does
		if said, err := readInForce(state, answers); err != nil || said.Mode != "enforced" || said.PID != os.Getpid() {
			t.Errorf("process %d answers: %+v, %v", answers, said, err)
		}
	}
	for folder, answers := range map[string]int{state: 1, t.TempDir(): os.Getpid()} {
		if said, err := readInForce(folder, answers); !errors.Is(err, record.ErrNotSaid) {
			t.Errorf("process %d answers: %+v, %v", answers, said, err)
		}
	}
}
