package notary_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/notary"
	"github.com/docker-stig/docker-stig/shared/trust/trusttest"
	"github.com/theupdateframework/notary/client"
	"github.com/theupdateframework/notary/trustpinning"
	"github.com/theupdateframework/notary/tuf/data"
)

// newBenchmark is a repository of ten tags and a scope that trusts it.
func newBenchmark(b *testing.B) (*trusttest.Notary, *trusttest.Repository, notary.Scope) {
	b.Helper()
	server := trusttest.NewNotary(b)
	repo := server.NewRepository(b, gun)
	repo.Delegate("targets/releases")
	repo.Delegate("targets/alice")
	for _, tag := range []string{"v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10"} {
		repo.Sign(tag, good, "targets/releases", "targets/alice")
	}
	repo.Publish()
	return server, repo, notary.Scope{Pattern: gun, RootKeys: []string{repo.RootKeyID()}, Servers: []string{server.URL}, CA: server.CA}
}

func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}

// BenchmarkFirst compares the first verification of a repository with
// notary/client used directly, both with an empty cache, turn by turn.
func BenchmarkFirst(b *testing.B) {
	server, repo, scope := newBenchmark(b)
	pem, err := os.ReadFile(server.CA)
	if err != nil {
		b.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	pins := trustpinning.TrustPinConfig{Certs: map[string][]string{gun: {repo.RootKey().ID()}}, DisableTOFU: true}
	ref, _ := reference.ParseNormalizedNamed(gun + ":v1")
	var ours, theirs []time.Duration
	for b.Loop() {
		began := time.Now()
		v := notary.New(notary.Options{Now: time.Now, CacheDir: b.TempDir()})
		if _, err := v.Verify(b.Context(), trust.Question{Ref: ref}, scope); err != nil {
			b.Fatal(err)
		}
		ours = append(ours, time.Since(began))

		began = time.Now()
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}
		r, err := client.NewFileCachedRepository(b.TempDir(), gun, server.URL, transport, nil, pins)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := r.GetTargetByName("v1", "targets/releases", data.CanonicalTargetsRole); err != nil {
			b.Fatal(err)
		}
		theirs = append(theirs, time.Since(began))
		transport.CloseIdleConnections()
	}
	b.ReportMetric(float64(median(ours))/float64(median(theirs)), "of-notary/client")
	b.ReportMetric(float64(median(ours).Microseconds()), "us/first")
}

// BenchmarkKnown is an answer from memory.
func BenchmarkKnown(b *testing.B) {
	_, _, scope := newBenchmark(b)
	v := notary.New(notary.Options{Now: time.Now, Refresh: time.Hour})
	ref, _ := reference.ParseNormalizedNamed(gun + ":v1")
	for b.Loop() {
		if _, err := v.Verify(b.Context(), trust.Question{Ref: ref}, scope); err != nil {
			b.Fatal(err)
		}
	}
}
