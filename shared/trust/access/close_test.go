package access_test

import (
	"crypto/tls"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/docker-stig/docker-stig/shared/trust/access"
)

// TestCloseLeavesNoConnection: before it, requests share one; after it, each
// has its own, as has one that was under way.
func TestCloseLeavesNoConnection(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"h2", "http/1.1"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			var connections atomic.Int32
			under, answer := make(chan struct{}), make(chan struct{})
			dtr := newSite(t, newHost("dtr"), func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/v2/slow" {
					close(under)
					<-answer
				}
				_, _ = w.Write([]byte("content"))
			}, func(config *tls.Config) {
				config.NextProtos = []string{protocol}
				config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
					connections.Add(1)
					return nil, nil //nolint:nilnil // as it is
				}
			})
			c := access.New(access.Options{CertDirs: []string{certs(t, dtr)}})
			base, client := registry(t, c, dtr.host+"/app")
			want := func(when string, want int32) {
				t.Helper()
				if got := connections.Swap(0); got != want {
					t.Errorf("%s: %d connections were made, want %d", when, got, want)
				}
			}
			mustGet(t, client, base+"/v2/")
			mustGet(t, client, base+"/v2/")
			want("before", 1)
			ended := make(chan error, 1)
			go func() {
				_, err := get(t, client, base+"/v2/slow")
				ended <- err
			}()
			<-under
			c.Close()
			close(answer)
			if err := <-ended; err != nil {
				t.Errorf("the request that was under way: %v", err)
			}
			want("under way", 0)
			mustGet(t, client, base+"/v2/")
			mustGet(t, client, base+"/v2/")
			want("afterwards", 2)
		})
	}
}
