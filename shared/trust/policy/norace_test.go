//go:build !race

package policy

// raceDetector says that this is a build of go test -race, which takes up to
// twenty times as long.
const raceDetector = false
