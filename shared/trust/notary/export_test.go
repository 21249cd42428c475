package notary

// CheckForm lets the tests of the outside look at one step.
var CheckForm = checkForm

// Accounted is what the verifier believes its memory to take, in bytes.
func Accounted(v *Verifier) int64 {
	v.memory.mu.Lock()
	defer v.memory.mu.Unlock()
	return v.memory.known.bytes
}
