//go:build race

package notary_test

const raceDetector = true
