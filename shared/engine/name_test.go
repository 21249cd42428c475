package engine

import (
	"strings"
	"testing"
)

// TestNoImageRepeatsNoLogin: an address that was pasted may have one in it,
// and a refusal stands in logs.
func TestNoImageRepeatsNoLogin(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"u:PASSWORD@h/x", "https://u:PASSWORD@h/x", "PASSWORD@h/x", "u:PASS/WORD@h/x", "u:p@PASSWORD@h/x", "u/PASSWORD@sha256:12", strings.Repeat("x", maxShown) + ":PASSWORD@h"} {
		_, err := Want(name)
		if err == nil || strings.Contains(err.Error(), "PASS") || strings.Contains(err.Error(), "WORD") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := Want("App:v1"); err == nil || !strings.Contains(err.Error(), `"App:v1" names no image`) {
		t.Errorf("got %v", err)
	}
}
