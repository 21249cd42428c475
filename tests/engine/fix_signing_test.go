package engine

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/tests/doubles"
	"github.com/docker-stig/docker-stig/tests/testbed"
	"github.com/google/go-cmp/cmp"
)

// A trustedRegistry is DTR as far as it can be had: at one address the double
// of its API, whose word of each tag is what the real registry and the real
// Notary server hold at that moment, and the registry.
type trustedRegistry struct {
	*signingBed
	host   string // of the images
	client *http.Client

	mu     sync.Mutex
	signed map[string]map[string]string // what Notary last said: digests by tag, by repository
	moved  map[string]string            // paths that lead elsewhere from their second question on
	asked  map[string]int
}

// storedIn are the repositories that DTR lists.
var storedIn = []doubles.Repository{
	{Namespace: "dev", Name: "new", Private: true, Tags: []doubles.Tag{{Name: "-"}}},
	{Namespace: "prod", Name: "app", Tags: []doubles.Tag{{Name: "-"}}},
	{Namespace: "prod", Name: "theirs", Tags: []doubles.Tag{{Name: "-"}}},
	{Namespace: "prod", Name: "web", Tags: []doubles.Tag{{Name: "-"}}},
}

func newTrustedRegistry(t *testing.T) *trustedRegistry {
	t.Helper()
	d := &trustedRegistry{
		signingBed: newSigningBed(t, testbed.Docker),
		signed:     map[string]map[string]string{}, moved: map[string]string{}, asked: map[string]int{},
	}
	d.stig(t, 0, "trust", "key", "generate", "security", "--dir", d.keys)
	raw, err := os.ReadFile(d.CA())
	if err != nil {
		t.Fatal(err)
	}
	d.client = trusting(t, raw)
	double, err := doubles.NewDTR(t.Context(), doubles.DTROptions{Repositories: storedIn})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = double.Close() })
	api, store := passing(t, double.URL()), passing(t, "http://"+d.Registry())
	api.Transport, api.ModifyResponse = trusting(t, double.CA()).Transport, d.tellTags
	pair, err := tls.LoadX509KeyPair(filepath.Join(d.Dir(), "srv.crt"), filepath.Join(d.Dir(), "srv.key"))
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/v2/") {
			api.ServeHTTP(w, r)
			return
		}
		r.URL.Path = d.leads(r.URL.Path)
		store.ServeHTTP(w, r)
	}))
	front.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	front.StartTLS()
	t.Cleanup(front.Close)
	d.host = strings.Replace(strings.TrimPrefix(front.URL, "https://"), "127.0.0.1", "localhost", 1)
	d.trustServer(t, d.host)
	admin := doubles.DefaultAccounts()[0]
	d.env = []string{"STIG_DTR_URL=https://" + d.host, "STIG_DTR_CA=" + d.CA(), "STIG_DTR_USERNAME=" + admin.Username, "STIG_DTR_PASSWORD=" + admin.Password}
	d.covers(t, "")
	return d
}

// trusting is a client that trusts authorities alone.
func trusting(t *testing.T, authorities ...[]byte) *http.Client {
	t.Helper()
	pool := x509.NewCertPool()
	for _, pem := range authorities {
		pool.AppendCertsFromPEM(pem)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func passing(t *testing.T, to string) *httputil.ReverseProxy {
	t.Helper()
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
}

// covers writes a policy that accepts a root key for all repositories, or none.
func (d *trustedRegistry) covers(t *testing.T, rootKey string) {
	t.Helper()
	keys := map[string][]string{}
	if rootKey != "" {
		keys[d.host+"/**"] = []string{rootKey}
	}
	d.withPolicy(t, map[string]any{
		"content-trust": map[string]any{"mode": "enforced", "trust-pinning": map[string]any{"root-keys": keys}},
		"notary":        map[string]any{"servers": map[string][]string{d.host: {d.NotaryURL()}}, "ca": map[string]string{d.host: d.CA()}},
	})
}

// leads is where the question for a path goes.
func (d *trustedRegistry) leads(path string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	to, moves := d.moved[path]
	d.asked[path]++
	if moves && d.asked[path] > 1 {
		return to
	}
	return path
}

// moves has a tag hold another's content once it has been asked for.
func (d *trustedRegistry) moves(tag, other string) {
	path := func(name string) string { return "/v2/" + strings.Replace(name, ":", "/manifests/", 1) }
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.asked)
	d.moved = map[string]string{path(tag): path(other)}
}

// tellTags puts what is so in the place of what the double says of tags.
func (d *trustedRegistry) tellTags(resp *http.Response) error {
	name, ok := strings.CutPrefix(resp.Request.URL.Path, "/api/v0/repositories/")
	name, isTags := strings.CutSuffix(name, "/tags")
	if !ok || !isTags || resp.StatusCode != http.StatusOK {
		return nil
	}
	signed, err := d.notarySays(resp.Request, name)
	if err != nil {
		return err
	}
	var list struct{ Tags []string }
	if _, err := d.get(resp.Request, "http://"+d.Registry()+"/v2/"+name+"/tags/list", &list); err != nil {
		return err
	}
	entries := []map[string]any{}
	slices.Sort(list.Tags)
	for _, tag := range list.Tags {
		header, err := d.get(resp.Request, "http://"+d.Registry()+"/v2/"+name+"/manifests/"+tag, nil)
		if err != nil {
			return err
		}
		digest := header.Get("Docker-Content-Digest")
		entries = append(entries, map[string]any{
			"name": tag, "digest": digest, "inNotary": signed[tag] != "", "hashMismatch": signed[tag] != "" && signed[tag] != digest,
		})
	}
	raw, err := json.Marshal(entries)
	if err != nil {
		return err
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(raw)), int64(len(raw))
	resp.Header.Set("Content-Length", fmt.Sprint(len(raw)))
	return nil
}

// notarySays gives the digests in targets/releases. Who cannot reach the server
// goes by what it said last.
func (d *trustedRegistry) notarySays(r *http.Request, name string) (map[string]string, error) {
	var role struct {
		Signed struct {
			Targets map[string]struct{ Hashes map[string]string }
		}
	}
	_, err := d.get(r, d.NotaryURL()+"/v2/"+d.host+"/"+name+"/_trust/tuf/targets/releases.json", &role)
	d.mu.Lock()
	defer d.mu.Unlock()
	if unreachable := new(url.Error); errors.As(err, &unreachable) {
		return d.signed[name], nil
	}
	if err != nil {
		return nil, err
	}
	signed := map[string]string{}
	for tag, target := range role.Signed.Targets {
		sum, err := base64.StdEncoding.DecodeString(target.Hashes["sha256"])
		if err != nil {
			return nil, err
		}
		signed[tag] = "sha256:" + hex.EncodeToString(sum)
	}
	d.signed[name] = signed
	return signed, nil
}

// get reads JSON; what is not there is empty.
func (d *trustedRegistry) get(r *http.Request, address string, into any) (http.Header, error) {
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/vnd.docker.distribution.manifest.v2+json")
	resp, err := d.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if into == nil || resp.StatusCode == http.StatusNotFound {
		return resp.Header, nil
	}
	return resp.Header, json.NewDecoder(resp.Body).Decode(into)
}

// push puts new content under tags, and gives their digests as DTR's images.
func (d *trustedRegistry) push(t *testing.T, names ...string) map[string]string {
	t.Helper()
	digests := map[string]string{}
	for i, image := range d.pushed(t, names...) {
		digests[d.at(names[i])] = image.Digest
	}
	return digests
}

func (d *trustedRegistry) at(name string) string { return d.host + "/" + name }

// fix runs docker stig fix V-235846 and wants an exit code.
func (d *trustedRegistry) fix(t *testing.T, code int, args ...string) output {
	t.Helper()
	return d.stig(t, code, append([]string{"fix", "V-235846"}, args...)...)
}

// sign is fix without a question.
func (d *trustedRegistry) sign(t *testing.T, code int, signer string) output {
	t.Helper()
	return d.fix(t, code, "--yes", "--accept-irrevocable", "--signer", signer)
}

// holds wants our verifier and docker trust inspect to say that a signer
// vouches for tags.
func (d *trustedRegistry) holds(t *testing.T, signer string, digests map[string]string) {
	t.Helper()
	for image, digest := range digests {
		if out := d.stig(t, 0, "trust", "verify", image); !strings.Contains(out.stdout, digest) {
			t.Errorf("%s: another digest than %s\n%s", image, digest, out.stdout)
		}
		name, tag, _ := strings.Cut(strings.TrimPrefix(image, d.host+"/"), ":")
		var answer []struct{ SignedTags []signedTag }
		fromJSON(t, d.docker(t, "trust", "inspect", d.at(name)).stdout, &answer)
		at := slices.IndexFunc(answer[0].SignedTags, func(s signedTag) bool { return s.SignedTag == tag })
		if at < 0 || "sha256:"+answer[0].SignedTags[at].Digest != digest || !slices.Equal(answer[0].SignedTags[at].Signers, []string{signer}) {
			t.Errorf("docker trust inspect of %s: %+v, want %s by %s", image, answer, digest, signer)
		}
	}
}

// A signedTag is one of docker trust inspect.
type signedTag struct {
	SignedTag, Digest string
	Signers           []string
}

// answers runs docker stig on a terminal, answers its question, and gives what
// the terminal showed.
func (d *trustedRegistry) answers(t *testing.T, code int, question, answer string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	here, there := openTerminal(t)
	defer here.Close()
	cmd := d.command(ctx, append([]string{"stig"}, args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = there, there, there
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = there.Close()
	shown := bufio.NewReader(here)
	var all strings.Builder
	for !strings.HasSuffix(all.String(), question) {
		c, err := shown.ReadByte()
		if err != nil {
			t.Fatalf("%v after\n%s", err, all.String())
		}
		all.WriteByte(c)
	}
	if _, err := io.WriteString(here, answer); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(shown) // ends with EIO, since nobody holds the other side any more
	all.Write(rest)
	_ = cmd.Wait() // the exit code is looked at
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Errorf("exit code %d, want %d\n%s", got, code, all.String())
	}
	return all.String()
}

func wants(t *testing.T, text string, all ...string) {
	t.Helper()
	for _, want := range all {
		if !strings.Contains(text, want) {
			t.Errorf("want %q in\n%s", want, text)
		}
	}
}

// TestFixSigns signs what is unsigned in a registry, and what was pushed over.
func TestFixSigns(t *testing.T) {
	d := newTrustedRegistry(t)
	first := d.push(t, "prod/app:1", "prod/app:2", "prod/web:1")
	d.stig(t, 2, "check", "V-235846")

	out := d.stig(t, 2, "fix", "--dry-run", "--signer", "qa", "V-235846")
	wants(t, out.stdout, "signing 3 tags in 2 repositories\n", d.at("prod/web:1")+"  "+first[d.at("prod/web:1")]+"  qa\n")
	wants(t, d.fix(t, 2, "--dry-run").stdout, "say with --signer who vouches for it", "There is nothing to change.")
	wants(t, d.fix(t, 2, "--yes", "--signer", "qa").stdout, "give --accept-irrevocable", "There is nothing to change.")
	wants(t, d.fix(t, 1, "--signer", "qa").stderr, "nobody is there to ask, and nothing was changed")
	wants(t, d.docker(t, "stig", "fix", "--dry-run", "--signer", "qa").stdout, "signing 3 tags in 2 repositories", "name the rule to have it signed")
	d.stig(t, 2, "check", "V-235846")

	const question = `Type "yes" to sign the whole list as qa, which cannot be taken back (tags: 3): `
	shown := d.answers(t, 1, question, "y\n", "fix", "V-235846", "--signer", "qa")
	wants(t, shown, "nothing was changed")
	if strings.Count(shown, "Type ") != 1 || strings.Contains(shown, "Change it?") {
		t.Errorf("one question is wanted\n%s", shown)
	}
	d.stig(t, 2, "check", "V-235846")

	out = d.sign(t, 0, "qa")
	wants(t, out.stderr, "[2/2] ", "docker stig trust revoke takes a tag off it")
	wants(t, out.stdout, "signed: "+d.at("prod/app:1")+" "+first[d.at("prod/app:1")]+" in targets/releases, targets/qa", "had no signatures before", "NotAFinding")
	found := rootKeyLine.FindStringSubmatch(out.stdout)
	if found == nil {
		t.Fatalf("no root key in\n%s", out.stdout)
	}
	d.covers(t, found[1])
	d.stig(t, 0, "check", "V-235846")
	d.holds(t, "qa", first)
	wants(t, d.sign(t, 0, "qa").stdout, "There is nothing to change.")

	t.Run("unsigned, pushed over, and new", func(t *testing.T) { d.signsMore(t, first) })
	t.Run("moved meanwhile", d.movedMeanwhile)
	t.Run("one of several fails", d.oneFails)
	t.Run("Notary is down", d.notaryDown)
	t.Run("a plan in a file", d.signsByPlan)
	t.Run("the policy wants another signer", d.refusedAfterwards)
}

func (d *trustedRegistry) signsMore(t *testing.T, first map[string]string) {
	t.Helper()
	more := d.push(t, "prod/app:3", "prod/web:1", "dev/new:1")
	out := d.fix(t, 2, "--dry-run", "--signer", "qa")
	over := d.at("prod/web:1")
	wants(t, out.stdout, "signing 3 tags in 3 repositories", over+" was signed for "+first[over]+" and pushed over: whoever signs it now vouches for "+more[over]+" instead")
	shown := d.answers(t, 0, "(tags: 3): ", "yes\n", "fix", "V-235846", "--signer", "qa")
	wants(t, shown, d.at("dev/new")+" had no signatures before")
	d.holds(t, "qa", more)
	d.holds(t, "qa", map[string]string{d.at("prod/app:1"): first[d.at("prod/app:1")]})
	wants(t, d.sign(t, 0, "qa").stdout, "There is nothing to change.")
	wants(t, d.stig(t, 0, "history").stdout, "signing 3 tags in 3 repositories")
}

// movedMeanwhile pushes over a tag between the plan and the signature.
func (d *trustedRegistry) movedMeanwhile(t *testing.T) {
	t.Helper()
	pushed := d.push(t, "prod/app:4", "prod/app:5")
	d.moves("prod/app:4", "prod/web:1")
	out := d.sign(t, 1, "qa")
	wants(t, out.stdout, "not signed: "+d.at("prod/app:4")+" "+pushed[d.at("prod/app:4")]+"\n  because the registry has ", "signed: "+d.at("prod/app:5"))
	wants(t, out.stderr, "tags that are not what they were in the plan were not signed: "+d.at("prod/app:4"))
	if out := d.stig(t, 2, "trust", "verify", d.at("prod/app:4")); !strings.Contains(out.stdout, "unsigned") {
		t.Error(out.stdout)
	}
	d.moved = map[string]string{}
	d.sign(t, 0, "qa")
	d.holds(t, "qa", pushed)
}

// oneFails has a repository in which another signs.
func (d *trustedRegistry) oneFails(t *testing.T) {
	t.Helper()
	theirs := d.push(t, "prod/theirs:1")
	d.sign(t, 0, "security")
	d.holds(t, "security", theirs)
	theirs, ours := d.push(t, "prod/theirs:2"), d.push(t, "prod/app:6", "dev/new:2")
	out := d.sign(t, 1, "qa")
	wants(t, out.stdout, "not signed: "+d.at("prod/theirs:2"), "because qa is no signer of "+d.at("prod/theirs"))
	wants(t, out.stderr, "1 of 3 repositories were not published: "+d.at("prod/theirs")+"; what was published stands")
	d.holds(t, "qa", ours)
	d.stig(t, 2, "check", "V-235846")
	wants(t, d.sign(t, 0, "security").stdout, "signing 1 tag in 1 repository")
	d.holds(t, "security", theirs)
}

func (d *trustedRegistry) notaryDown(t *testing.T) {
	t.Helper()
	pushed := d.push(t, "prod/app:7", "dev/new:3")
	if err := d.StopNotary(t.Context()); err != nil {
		t.Fatal(err)
	}
	out := d.sign(t, 1, "qa")
	wants(t, out.stderr, "nothing was signed: 2 of 2 repositories were not published: "+d.at("dev/new")+", "+d.at("prod/app"))
	wants(t, out.stdout, "not signed: "+d.at("prod/app:7"))
	if err := d.StartNotary(t.Context()); err != nil {
		t.Fatal(err)
	}
	for image := range pushed {
		d.stig(t, 2, "trust", "verify", image)
	}
	d.sign(t, 0, "qa")
	d.holds(t, "qa", pushed)
}

// signsByPlan carries out a plan that was written down, for its signer.
func (d *trustedRegistry) signsByPlan(t *testing.T) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "plan.json")
	d.push(t, "prod/app:8")
	d.fix(t, 2, "--signer", "qa", "--out", file)
	d.push(t, "prod/app:8")
	carry := []string{"fix", "--plan", file, "--yes", "--accept-irrevocable"}
	wants(t, d.stig(t, 2, carry...).stderr, "made from facts that have changed")
	pushed := d.push(t, "prod/app:8")
	d.fix(t, 2, "--signer", "qa", "--out", file)
	wants(t, d.stig(t, 1, "fix", "--plan", file, "--yes").stderr, "give --accept-irrevocable")
	wants(t, d.stig(t, 2, append(carry, "--signer", "security")...).stderr, "made from facts that have changed")
	out := d.stig(t, 0, append(carry, "--format", "json")...)
	var plan struct {
		Changes []struct{ Publish struct{ Signers []string } }
	}
	fromJSON(t, out.stdout, &plan)
	if diff := cmp.Diff([]string{"qa"}, plan.Changes[0].Publish.Signers); diff != "" {
		t.Error(diff)
	}
	d.holds(t, "qa", pushed)
}

// refusedAfterwards publishes what the policy does not accept.
func (d *trustedRegistry) refusedAfterwards(t *testing.T) {
	t.Helper()
	d.push(t, "prod/app:9")
	d.withPolicy(t, map[string]any{"signers": map[string][]string{d.at("prod/app"): {"security"}}})
	out := d.sign(t, 2, "qa")
	wants(t, out.stdout, "signed: "+d.at("prod/app:9"), d.at("prod/app:9")+" is published, and not accepted: ")
}
