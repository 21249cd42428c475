package dtr_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/docker-stig/docker-stig/cli-plugin/host/dtr"
	"github.com/docker-stig/docker-stig/cli-plugin/host/mgmt"
	"github.com/docker-stig/docker-stig/tests/doubles"
)

// start runs a double of DTR and a client that knows it.
func start(t *testing.T, opts doubles.DTROptions, change func(*dtr.Options)) (*doubles.DTR, *dtr.Client) {
	t.Helper()
	double, err := doubles.NewDTR(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = double.Close() })
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, double.CA(), 0o600); err != nil {
		t.Fatal(err)
	}
	admin := doubles.DefaultAccounts()[0]
	options := dtr.Options{Options: mgmt.Options{URL: double.URL(), CAFile: ca, Username: admin.Username, Password: admin.Password}}
	if change != nil {
		change(&options)
	}
	client, err := dtr.New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return double, client
}

func carol(o *dtr.Options) {
	account := doubles.DefaultAccounts()[1]
	o.Username, o.Password = account.Username, account.Password
}

// collect gives every tag as text, the repositories that failed, and the
// error that ended the list.
func collect(ctx context.Context, client *dtr.Client) (tags []string, failed map[string]error, ended error) {
	failed = map[string]error{}
	for listing, err := range client.ListTags(ctx) {
		if err != nil {
			ended = err
			continue
		}
		if listing.Err != nil {
			failed[listing.Repository.String()] = listing.Err
		}
		for _, tag := range listing.Tags {
			tags = append(tags, fmt.Sprintf("%s:%s signed=%v", listing.Repository, tag.Name, tag.Signed()))
		}
	}
	return tags, failed, ended
}

func wantNoSecret(t *testing.T, double *doubles.DTR, err error) {
	t.Helper()
	for _, secret := range double.Secrets() {
		for e := err; e != nil; e = errors.Unwrap(e) {
			if text := fmt.Sprintf("%v %+v %#v", e, e, e); strings.Contains(text, secret) {
				t.Errorf("error repeats a secret: %s", text)
			}
		}
	}
}

func TestListTags(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*dtr.Options)
		want   []string
	}{
		"an administrator sees all": {nil, []string{
			"admin/base:1.0 signed=true", "admin/base:1.1 signed=true", "carol/app:dev signed=false",
			"prod/web:2.3 signed=true", "prod/web:2.4 signed=false", "prod/web:latest signed=false",
		}},
		"another sees a part": {carol, []string{
			"admin/base:1.0 signed=true", "admin/base:1.1 signed=true", "carol/app:dev signed=false",
		}},
	}
	for name, test := range tests {
		for _, size := range []int{1, 2, 100} {
			t.Run(fmt.Sprintf("%s, %d a page", name, size), func(t *testing.T) {
				t.Parallel()
				double, client := start(t, doubles.DTROptions{MaxPageSize: size}, test.change)
				got, failed, err := collect(t.Context(), client)
				if err != nil || len(failed) != 0 {
					t.Fatalf("errors: %v %v", err, failed)
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if double.Logins() != 1 {
					t.Errorf("%d logins, want 1", double.Logins())
				}
			})
		}
	}
}

func TestAdmin(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*dtr.Options){"admin": nil, "carol": carol} {
		_, client := start(t, doubles.DTROptions{}, change)
		got, err := client.Admin(t.Context())
		if err != nil || got != (name == "admin") {
			t.Errorf("%s: administrator %v, %v", name, got, err)
		}
	}
	for fault, kind := range map[doubles.Fault]mgmt.Kind{
		doubles.Forbidden: mgmt.Forbidden, doubles.NotFound: mgmt.NotFound,
	} {
		double, client := start(t, doubles.DTROptions{}, nil)
		double.SetFault(fault)
		got, err := client.Admin(t.Context())
		if got || !errors.Is(err, dtr.ErrAdminUnknown) || !errors.Is(err, kind) {
			t.Errorf("%s: administrator %v, %v, want ErrAdminUnknown", fault, got, err)
		}
		wantNoSecret(t, double, err)
	}
	double, client := start(t, doubles.DTROptions{}, nil)
	double.SetFault(doubles.HTML)
	if got, err := client.Admin(t.Context()); got || !errors.Is(err, mgmt.HTML) || errors.Is(err, dtr.ErrAdminUnknown) {
		t.Errorf("a web page: administrator %v, %v", got, err)
	}
}

// TestFaults has faults that end the whole listing.
func TestFaults(t *testing.T) {
	t.Parallel()
	const short = 300 * time.Millisecond
	tests := map[doubles.Fault]struct {
		timeout time.Duration
		want    mgmt.Kind
		says    string
	}{
		doubles.Unauthorized:       {0, mgmt.Unauthorized, "--dtr-password-file"},
		doubles.Forbidden:          {0, mgmt.Forbidden, "administrator of DTR"},
		doubles.NotFound:           {0, mgmt.NotFound, "--dtr-url"},
		doubles.ServerError:        {0, mgmt.BadStatus, "log of DTR"},
		doubles.Echo:               {0, mgmt.BadStatus, "log of DTR"},
		doubles.HTML:               {0, mgmt.HTML, "login page"},
		doubles.Truncated:          {0, mgmt.Truncated, "ends in the middle"},
		doubles.CutOff:             {0, mgmt.Truncated, "ended in the middle"},
		doubles.Silence:            {short, mgmt.Silent, "no complete answer within 300ms"},
		doubles.SilentBody:         {short, mgmt.Silent, "no complete answer within 300ms"},
		doubles.Endless:            {0, mgmt.TooLarge, "longer than"},
		doubles.Redirect:           {0, mgmt.Redirected, `"elsewhere.example.com"`},
		doubles.WrongCA:            {0, mgmt.Untrusted, `"CN=a CA that nobody gave you"`},
		doubles.ExpiredCertificate: {0, mgmt.OutOfDate, "valid from"},
		doubles.PagingLoop:         {0, mgmt.Malformed, "circle"},
		doubles.RepeatedPage:       {0, mgmt.Malformed, "listed twice"},
	}
	for fault, test := range tests {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			double, client := start(t, doubles.DTROptions{MaxPageSize: 2}, func(o *dtr.Options) { o.Timeout = test.timeout })
			double.SetFault(fault)
			_, _, err := collect(t.Context(), client)
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error is %v, want kind %q and %q in it", err, test.want, test.says)
			}
			wantNoSecret(t, double, err)
			if n := double.Logins(); n > 2 {
				t.Errorf("%d logins", n)
			}
		})
	}
}

// TestFullPages: a list that ends with a full page is whole only if the server
// names next pages at all.
func TestFullPages(t *testing.T) {
	t.Parallel()
	for _, size := range []int{2, 3, 4} { // prod/web has three tags, and there are four repositories
		pages := func(o *dtr.Options) { o.PageSize = size }
		double, client := start(t, doubles.DTROptions{}, pages)
		if tags, failed, err := collect(t.Context(), client); err != nil || len(failed) != 0 || len(tags) != 6 {
			t.Errorf("%d a page: %d tags, errors %v %v", size, len(tags), failed, err)
		}
		double.SetFault(doubles.NoNextPage)
		if _, _, err := collect(t.Context(), client); !errors.Is(err, mgmt.Malformed) || !strings.Contains(err.Error(), "may go on") {
			t.Errorf("%d a page, none named: error is %v", size, err)
		}
	}
	double, client := start(t, doubles.DTROptions{}, func(o *dtr.Options) { o.PageSize = 3 })
	double.SetFaultOn("/api/v0/repositories/prod/web/", doubles.NoNextPage)
	if _, failed, err := collect(t.Context(), client); err != nil || !errors.Is(failed["prod/web"], mgmt.Malformed) {
		t.Errorf("tags of one repository: errors %v %v", failed, err)
	}
	double.SetFaultOn("/api/v0/accounts/", doubles.NoNextPage)
	if _, err := client.TeamAccess(t.Context(), "ops", "release"); err != nil {
		t.Errorf("two entries of three: %v", err)
	}
	double, client = start(t, doubles.DTROptions{}, func(o *dtr.Options) { o.PageSize = 2 })
	double.SetFaultOn("/api/v0/accounts/", doubles.NoNextPage)
	if _, err := client.TeamAccess(t.Context(), "ops", "release"); !errors.Is(err, mgmt.Malformed) {
		t.Errorf("two entries of two: %v", err)
	}
}

// TestOneRepositoryFails: its error is its own, and the rest is told in order.
func TestOneRepositoryFails(t *testing.T) {
	t.Parallel()
	tests := map[doubles.Fault]mgmt.Kind{
		doubles.Forbidden:       mgmt.Forbidden,
		doubles.Unauthorized:    mgmt.Unauthorized,
		doubles.NotFound:        mgmt.NotFound,
		doubles.ServerError:     mgmt.BadStatus,
		doubles.HTML:            mgmt.HTML,
		doubles.Truncated:       mgmt.Truncated,
		doubles.MissingInNotary: mgmt.Malformed,
		doubles.PagingLoop:      mgmt.Malformed,
		doubles.RepeatedPage:    mgmt.Malformed,
	}
	for fault, kind := range tests {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			double, client := start(t, doubles.DTROptions{MaxPageSize: 1}, nil)
			double.SetFaultOn("/api/v0/repositories/admin/base/", fault)
			got, failed, err := collect(t.Context(), client)
			if err != nil {
				t.Fatalf("the listing ended: %v", err)
			}
			if len(failed) != 1 || !errors.Is(failed["admin/base"], kind) {
				t.Errorf("failed: %v, want admin/base with kind %q", failed, kind)
			}
			wantNoSecret(t, double, failed["admin/base"])
			want := []string{
				"carol/app:dev signed=false",
				"prod/web:2.3 signed=true", "prod/web:2.4 signed=false", "prod/web:latest signed=false",
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestBadNamesAndDigests(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		repository doubles.Repository
		ends       bool // the whole listing: nobody can ask for such a repository
	}{
		"path in the name": {doubles.Repository{Namespace: "a", Name: "../../auth/token"}, true},
		"empty namespace":  {doubles.Repository{Name: "b"}, true},
		"query":            {doubles.Repository{Namespace: "a", Name: "b?x=1"}, true},
		"tag":              {doubles.Repository{Namespace: "a", Name: "b", Tags: []doubles.Tag{{Name: "\x1b[2J"}}}, false},
		"tag twice":        {doubles.Repository{Namespace: "a", Name: "b", Tags: []doubles.Tag{{Name: "1"}, {Name: "1"}}}, false},
		"digest":           {doubles.Repository{Namespace: "a", Name: "b", Tags: []doubles.Tag{{Name: "1", Digest: "string"}}}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, client := start(t, doubles.DTROptions{Repositories: []doubles.Repository{test.repository}}, nil)
			tags, failed, err := collect(t.Context(), client)
			if !test.ends {
				err = errors.Join(err, failed["a/b"])
			}
			if !errors.Is(err, mgmt.Malformed) || len(tags) != 0 {
				t.Errorf("error is %v, tags %v, want kind %q and no tag", err, tags, mgmt.Malformed)
			}
			if err != nil && strings.Contains(err.Error(), "\x1b") {
				t.Errorf("error has control characters: %q", err)
			}
		})
	}
}

// TestManyRepositories: all pages, in order, few questions at a time, and
// tokens that expire on the way.
func TestManyRepositories(t *testing.T) {
	t.Parallel()
	const count, tagsEach = 1000, 3
	repositories := make([]doubles.Repository, count)
	var want []string
	for i := range repositories {
		repositories[i] = doubles.Repository{Namespace: fmt.Sprintf("ns%d", i%7), Name: fmt.Sprintf("repo%04d", i)}
		for j := range tagsEach {
			repositories[i].Tags = append(repositories[i].Tags, doubles.Tag{Name: fmt.Sprint(j), InNotary: j > 0})
			want = append(want, fmt.Sprintf("ns%d/repo%04d:%d signed=%v", i%7, i, j, j > 0))
		}
	}
	double, client := start(t, doubles.DTROptions{
		ServerOptions: doubles.ServerOptions{TokenUses: 700},
		Repositories:  repositories, MaxPageSize: 50,
	}, nil)
	got, failed, err := collect(t.Context(), client)
	if err != nil || len(failed) != 0 {
		t.Fatalf("errors: %v %v", err, failed)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if peak := double.Peak(); peak > mgmt.DefaultParallel || peak < 2 {
		t.Errorf("%d requests at a time, want 2 to %d", peak, mgmt.DefaultParallel)
	}
	if n := double.Logins(); n != 2 {
		t.Errorf("%d logins, want 2: one token is good for 700 of 1020 requests", n)
	}
}

func TestExpiryOfAllTokensMidway(t *testing.T) {
	t.Parallel()
	double, client := start(t, doubles.DTROptions{MaxPageSize: 1}, func(o *dtr.Options) { o.Parallel = 2 })
	seen := 0
	for listing, err := range client.ListTags(t.Context()) {
		if err != nil || listing.Err != nil {
			t.Fatal(err, listing.Err)
		}
		if seen == 0 {
			double.ExpireTokens()
		}
		seen++
	}
	if seen != len(doubles.DefaultRepositories()) {
		t.Errorf("%d repositories, want %d", seen, len(doubles.DefaultRepositories()))
	}
	if n := double.Logins(); n > 2 {
		t.Errorf("%d logins, want 2 at most", n)
	}
}

func TestStoppingEarlyLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	double, client := start(t, doubles.DTROptions{MaxPageSize: 1}, nil)
	double.SetFaultOn("/api/v0/repositories/prod/", doubles.Silence)
	for listing, err := range client.ListTags(t.Context()) {
		if err != nil || listing.Repository.String() != "admin/base" {
			t.Fatalf("first is %s, %v", listing.Repository, err)
		}
		break // returns only once no question is under way
	}
}

// TestInterruptedListingSaysSo: a listing that was given up must not look like
// a complete one.
func TestInterruptedListingSaysSo(t *testing.T) {
	t.Parallel()
	double, client := start(t, doubles.DTROptions{MaxPageSize: 1}, nil)
	double.SetFaultOn("/api/v0/repositories/prod/web", doubles.Silence)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var ended error
	for listing, err := range client.ListTags(ctx) {
		if listing.Repository.String() == "carol/app" {
			cancel()
		}
		ended = errors.Join(ended, err, listing.Err)
	}
	if !errors.Is(ended, context.Canceled) {
		t.Errorf("error is %v, want context.Canceled", ended)
	}
}

func TestDomain(t *testing.T) {
	t.Parallel()
	double, client := start(t, doubles.DTROptions{}, nil)
	if want := strings.TrimPrefix(double.URL(), "https://"); client.Domain() != want {
		t.Errorf("domain is %q, want the host of the URL, %q", client.Domain(), want)
	}
	_, named := start(t, doubles.DTROptions{}, func(o *dtr.Options) { o.Domain = "dtr.example.com" })
	if named.Domain() != "dtr.example.com" {
		t.Errorf("domain is %q", named.Domain())
	}
}
