package notary_test

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"math/big"
	"net/http"
	"path"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/notary"
	"github.com/theupdateframework/notary/tuf/data"
	"golang.org/x/sys/unix"
)

// What metadata may not cost whoever reads it. The tests that count what is
// allocated run alone: the runtime counts for all.

// allocated is what is allocated while do runs, by its servers too.
func allocated(do func()) (bytes uint64) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestStrangersRootsTakeNoMemory: whoever answers for the server, without any
// key, may send roots that lead to others, and have all of them read.
func TestStrangersRootsTakeNoMemory(t *testing.T) {
	for name, form := range map[string]struct{ size, keys int }{
		"of many keys":            {1_000_000, 1_000_000},
		"as large as they may be": {250 << 10, 200},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			root := strangersRoot(form.size, form.keys)
			b.server.Fault(func(w http.ResponseWriter, r *http.Request) {
				version := "1000000"
				if older, ok := strings.CutSuffix(path.Base(r.URL.Path), ".root.json"); ok {
					version = older
				}
				_, _ = fmt.Fprintf(w, root, version)
			})
			b.opts.Timeout = 20 * time.Second
			took := allocated(func() {
				if signed, err := b.verify(t, gun+":v1"); err == nil {
					t.Errorf("accepted: %+v", signed)
				}
			})
			if asked := b.server.Requests(); took > 64<<20 || len(asked) > 32 {
				t.Errorf("%d requests, for which %d MiB are allocated", len(asked), took>>20)
			}
		})
	}
}

// strangersRoot is a root that nobody signed, with room for its version.
func strangersRoot(size, keys int) string {
	var listed strings.Builder
	for i := 0; i < keys && listed.Len() < size; i++ {
		fmt.Fprintf(&listed, `"%x":{},`, i)
	}
	listed.WriteString(`"x":{}`)
	role := `{"keyids":["0"],"threshold":1}`
	text := `{"signed":{"_type":"Root","consistent_snapshot":false,"expires":"2040-01-01T00:00:00Z","keys":{` + listed.String() +
		`},"roles":{"root":` + role + `,"targets":` + role + `,"snapshot":` + role + `,"timestamp":` + role + `},"version":%s},"signatures":[]}`
	return text + strings.Repeat(" ", max(0, size-len(text)))
}

// TestManyDelegationsTakeNoSquareOfTime: the holder of the targets key may list
// as many as the bytes of the role allow. Reading twenty times as many takes
// twenty times as long, and not four hundred times.
func TestManyDelegationsTakeNoSquareOfTime(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector makes of seconds a minute")
	}
	took := map[int]time.Duration{}
	for _, n := range []int{2_000, 40_000} {
		b := newBench(t)
		b.opts.Timeout = 20 * time.Second
		targets := &b.TUF.Targets["targets"].Signed
		for _, key := range targets.Delegations.Keys {
			targets.Delegations.Keys["k"] = key // its ID is looked at when it signs
			break
		}
		for i := range n {
			targets.Delegations.Roles = append(targets.Delegations.Roles, &data.Role{
				RootRole: data.RootRole{KeyIDs: []string{"k"}, Threshold: 1}, Name: data.RoleName(fmt.Sprintf("targets/%06d", i)),
			})
		}
		b.ReplaceSigned("targets")
		runtime.GC()
		began := processorTime(t)
		_, err := b.verify(t, gun+":v1")
		must(t, err)
		took[n] = processorTime(t) - began
	}
	if took[40_000] > 36*took[2_000] {
		t.Errorf("2,000 delegations take %v, and 40,000 %v", took[2_000], took[40_000])
	}
}

// processorTime is what this process has had of processors, whoever else is
// busy.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var usage unix.Rusage
	must(t, unix.Getrusage(unix.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano())
}

// TestImpatienceIsShared: of a hundred questions that lose their patience with
// a slow server at the same time, one reads what the disk has.
func TestImpatienceIsShared(t *testing.T) {
	b := newBench(t)
	for i := range 2_000 {
		b.ForceSign("tag-"+strconv.Itoa(i), good, "targets/releases")
	}
	b.Publish()
	b.opts.Refresh, b.opts.Timeout = time.Minute, 20*time.Second
	_, err := b.verify(t, gun+":v1")
	must(t, err)
	took := map[int]uint64{}
	for _, n := range []int{1, 100} {
		release := b.hold(t, b.server.State())
		v := b.impatient()
		took[n] = allocated(func() {
			var group sync.WaitGroup
			for range n {
				group.Go(func() {
					signed, err := v.Verify(t.Context(), trust.Question{Ref: named(gun + ":v1")}, b.scope)
					if err != nil || signed.Digest != good {
						t.Errorf("got %+v, %v", signed, err)
					}
				})
			}
			group.Wait()
		})
		release()
	}
	if took[100] > 10*took[1] {
		t.Errorf("a hundred questions allocate %d MiB, and one %d MiB", took[100]>>20, took[1]>>20)
	}
}

// TestGiantKeyTakesNoTime: the key of a delegation above the one that counts
// may name any key for it. A signature by this one takes a minute to refuse.
func TestGiantKeyTakesNoTime(t *testing.T) {
	t.Parallel()
	for _, bits := range []uint{1 << 14, 1 << 19} {
		b := newBench(t)
		b.opts.Timeout = 20 * time.Second
		b.Delegate("targets/team")
		_, err := b.TUF.InitTargets("targets/team")
		must(t, err)
		b.Delegate("targets/team/qa")
		b.ForceSign("v1", good, "targets/team/qa")
		b.Publish()
		b.scope.Signers = []string{"team/qa"}
		key := giantKey(t, bits)
		team := &b.TUF.Targets["targets/team"].Signed
		team.Delegations.Keys[key.ID()] = key
		for _, role := range team.Delegations.Roles {
			role.KeyIDs = []string{key.ID()}
		}
		b.ReplaceSigned("targets/team")
		unsigned, err := b.TUF.Targets["targets/team/qa"].ToSigned()
		must(t, err)
		unsigned.Signatures = nil
		for range 8 {
			unsigned.Signatures = append(unsigned.Signatures, data.Signature{
				KeyID: key.ID(), Method: data.RSAPSSSignature, Signature: bytes.Repeat([]byte{1}, int(bits/8)+1),
			})
		}
		b.Replace("targets/team/qa", unsigned)
		ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second)
		_, err = notary.New(b.opts).Verify(ctx, trust.Question{Ref: named(gun + ":v1")}, b.scope)
		cancel()
		wantReason(t, err, trust.BadSignature)
	}
}

// giantKey is a number that nobody has factors of, as an RSA key.
func giantKey(t *testing.T, bits uint) data.PublicKey {
	t.Helper()
	modulus := new(big.Int).Lsh(big.NewInt(1), bits)
	modulus.Add(modulus, big.NewInt(12345))
	der, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: modulus, E: 1<<31 - 1})
	must(t, err)
	return data.NewRSAPublicKey(der)
}
