package notary_test

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/notary"
	"github.com/docker-stig/docker-stig/shared/trust/trusttest"
	"github.com/opencontainers/go-digest"
	"github.com/theupdateframework/notary/tuf/data"
	"golang.org/x/sync/errgroup"
)

// publishMany signs tags of their own content in n repositories, with keys of
// their own, and gives a scope that trusts all of them.
func publishMany(b *testing.B, server *trusttest.Notary, n, tags int) (notary.Scope, []reference.Named) {
	b.Helper()
	scope := notary.Scope{Pattern: "registry.example.com/**", Servers: []string{server.URL}, CA: server.CA}
	var refs []reference.Named
	for i := range n {
		name := fmt.Sprintf("registry.example.com/prod/app%05d", i)
		repo := server.NewRepository(b, data.GUN(name))
		repo.Delegate("targets/releases")
		repo.Delegate("targets/alice")
		for tag := range tags {
			repo.Sign(fmt.Sprintf("v%d", tag), digest.FromString(fmt.Sprint(name, tag)), "targets/releases", "targets/alice")
		}
		repo.Publish()
		scope.RootKeys = append(scope.RootKeys, repo.RootKeyID())
		ref, err := reference.ParseNormalizedNamed(name + ":v0")
		if err != nil {
			b.Fatal(err)
		}
		refs = append(refs, ref)
	}
	return scope, refs
}

// BenchmarkMemory says what a known repository of ten tags costs, and holds it
// against what it is counted as. Nothing is shared that would not be: each has
// keys and content of its own.
func BenchmarkMemory(b *testing.B) {
	const repositories = 2_000
	server := trusttest.NewNotary(b)
	scope, refs := publishMany(b, server, repositories, 10)
	all := scope.RootKeys
	for b.Loop() {
		v := notary.New(notary.Options{Now: time.Now, CacheDir: b.TempDir(), Refresh: time.Hour, MaxMemory: 1 << 30})
		before := heap()
		for i, ref := range refs {
			scope.RootKeys = all[i : i+1]
			if _, err := v.Verify(b.Context(), trust.Question{Ref: ref}, scope); err != nil {
				b.Fatal(err)
			}
		}
		used := heap() - before
		b.ReportMetric(float64(used)/repositories, "B/repository")
		b.ReportMetric(float64(used)/repositories*10_000/(1<<20), "MiB/10000")
		b.ReportMetric(float64(notary.Accounted(v))/float64(used), "accounted/used")
		runtime.KeepAlive(v)
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// BenchmarkMany compares 200 repositories over 20 ms round trips with one
// docker trust inspect given all of them, both with nothing cached.
func BenchmarkMany(b *testing.B) {
	docker, err := exec.LookPath("docker")
	if err != nil || exec.CommandContext(b.Context(), docker, "trust", "inspect", "--help").Run() != nil {
		b.Skip("no docker client with docker trust here to compare with")
	}
	server := trusttest.NewNotary(b)
	scope, refs := publishMany(b, server, 200, 3)
	far := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(20 * time.Millisecond)
		if r.URL.Path == "/v2/" {
			return
		}
		server.ServeHTTP(w, r)
	}))
	far.EnableHTTP2 = true
	far.StartTLS()
	b.Cleanup(far.Close)
	config := dockerConfig(b, far)
	scope.Servers, scope.CA = []string{far.URL}, filepath.Join(config, "ca.pem")
	var ours, theirs []time.Duration
	for b.Loop() {
		began := time.Now()
		v := notary.New(notary.Options{Now: time.Now, CacheDir: b.TempDir()})
		var group errgroup.Group
		group.SetLimit(16) // as docker stig trust verify does
		for _, ref := range refs {
			group.Go(func() error {
				_, err := v.Verify(b.Context(), trust.Question{Ref: ref}, scope)
				return err
			})
		}
		if err := group.Wait(); err != nil {
			b.Fatal(err)
		}
		ours = append(ours, time.Since(began))

		if err := os.RemoveAll(filepath.Join(config, "trust")); err != nil {
			b.Fatal(err)
		}
		args := []string{"--config", config, "trust", "inspect"}
		for _, ref := range refs {
			args = append(args, ref.String())
		}
		cmd := exec.CommandContext(b.Context(), docker, args...)
		cmd.Env = append(os.Environ(), "DOCKER_CONTENT_TRUST_SERVER="+far.URL)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		began = time.Now()
		if err := cmd.Run(); err != nil {
			b.Fatalf("docker trust inspect: %v: %s", err, errs.String())
		}
		theirs = append(theirs, time.Since(began))
		if n := strings.Count(out.String(), `"SignedTag"`); n != len(refs) {
			b.Fatalf("docker trust inspect found %d signed tags, want %d", n, len(refs))
		}
	}
	b.ReportMetric(float64(median(theirs))/float64(median(ours)), "x-faster")
	b.ReportMetric(float64(median(ours).Milliseconds()), "ms/200")
	b.ReportMetric(float64(median(theirs).Milliseconds()), "ms/docker-trust")
}

// dockerConfig is a docker client's configuration that trusts the server.
func dockerConfig(b *testing.B, server *httptest.Server) string {
	b.Helper()
	dir := b.TempDir()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	tls := filepath.Join(dir, "tls", strings.TrimPrefix(server.URL, "https://"))
	if err := os.MkdirAll(tls, 0o700); err != nil {
		b.Fatal(err)
	}
	for _, path := range []string{filepath.Join(tls, "ca.crt"), filepath.Join(dir, "ca.pem")} {
		if err := os.WriteFile(path, ca, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	return dir
}
