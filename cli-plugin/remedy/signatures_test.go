package remedy

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/remedy/transaction"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// A press is a Publisher that writes down what it is to sign.
type press struct {
	signer string
	moved  string // a tag that the registry has other content under
	fails  error
	asked  int
	signed [][]change.Publish
}

func (p *press) Signer() string { return p.signer }

func (p *press) Stand(_ context.Context, tags []change.Publish) []error {
	p.asked += len(tags)
	errs := make([]error, len(tags))
	for i, tag := range tags {
		if tag.Tag == p.moved {
			errs[i] = errors.New("it was pushed over")
		}
	}
	return errs
}

func (p *press) Publish(_ context.Context, tags []change.Publish) error {
	p.signed = append(p.signed, tags)
	return p.fails
}

func signature(repository, tag string) change.Change {
	return change.Change{
		Serves: []stig.ID{"S"}, Disruption: change.None, ByName: "a promise", Irrevocable: "it is published",
		Publish: &change.Publish{Repository: repository, Tag: tag, Digest: "sha256:" + tag},
	}
}

// TestSignaturesLeftOut says once, for all tags, why they are not signed, and
// asks no registry about them.
func TestSignaturesLeftOut(t *testing.T) {
	t.Parallel()
	var wishes []change.Change
	for i := range 7 {
		wishes = append(wishes, signature(fmt.Sprintf("r.test/%d", i%2), fmt.Sprint(i)))
	}
	const all = "signing 7 tags in 2 repositories (r.test/0:0, r.test/1:1, r.test/0:2, r.test/1:3, r.test/0:4 and 2 more)"
	for name, test := range map[string]struct {
		o    Options
		want string
	}{
		"by name alone":     {Options{Asks: true}, "a promise: name the rule to have it signed"},
		"nothing signs":     {Options{Named: true, Asks: true}, "signatures are published by docker stig trust sign"},
		"nobody vouches":    {Options{Named: true, Asks: true}, "a promise: say with --signer who vouches for it"},
		"nobody has agreed": {Options{Named: true}, "it cannot be taken back (it is published): give --accept-irrevocable"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &press{signer: "qa"}
			switch name {
			case "nothing signs":
			case "nobody vouches":
				p.signer = ""
				test.o.Publisher = p
			default:
				test.o.Publisher = p
			}
			got := plan(t, test.o, wishes...)
			if diff := cmp.Diff([]LeftOut{{[]stig.ID{"S"}, all, test.want}}, got.LeftOut); diff != "" || !got.Empty() || p.asked > 0 {
				t.Errorf("%d tags were asked for, %+v\n%s", p.asked, got.Changes, diff)
			}
		})
	}
}

// TestSignaturesPlanned lists what is signed, by whom, and leaves out what the
// registry does not hold.
func TestSignaturesPlanned(t *testing.T) {
	t.Parallel()
	path := write(t, filepath.Join(t.TempDir(), "file"), "x")
	wishes := []change.Change{signature("r.test/a", "1"), signature("r.test/a", "2"), mode(path, "0400", "A"), signature("r.test/b", "3")}
	for name, o := range map[string]Options{
		"a person is asked":    {Named: true, Asks: true},
		"it was agreed to":     {Named: true, Irrevocable: true},
		"it was, and is asked": {Named: true, Irrevocable: true, Asks: true},
	} {
		o.Publisher = &press{signer: "qa", moved: "2"}
		p := plan(t, o, wishes...)
		want := []change.Publish{
			{Repository: "r.test/a", Tag: "1", Digest: "sha256:1", Signers: []string{"qa"}},
			{Repository: "r.test/b", Tag: "3", Digest: "sha256:3", Signers: []string{"qa"}},
		}
		if diff := cmp.Diff(want, p.Signatures()); diff != "" || len(p.Changes) != 3 {
			t.Errorf("%s: %d changes\n%s", name, len(p.Changes), diff)
		}
		if diff := cmp.Diff([]LeftOut{{[]stig.ID{"S"}, "signing 1 tag in 1 repository (r.test/a:2)", "it was pushed over"}}, p.LeftOut); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
		var out strings.Builder
		if err := p.Show(&out); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			"signing 2 tags in 2 repositories\n  serves S, disrupts: none, cannot be taken back: it is published\n",
			"  TAG         DIGEST    SIGNER\n  r.test/a:1  sha256:1  qa\n  r.test/b:3  sha256:3  qa\n",
		} {
			if strings.Count(out.String(), want) != 1 {
				t.Errorf("%s: want %q once in:\n%s", name, want, out.String())
			}
		}
	}
	if wishes[0].Publish.Signers != nil {
		t.Error("what a rule gave was changed")
	}
}

// TestSignaturesOfAnother refuses a plan that was written for another signer.
func TestSignaturesOfAnother(t *testing.T) {
	t.Parallel()
	of := func(signer string) Plan {
		return plan(t, Options{Named: true, Asks: true, Publisher: &press{signer: signer}}, signature("r.test/a", "1"))
	}
	if err := of("qa").Same(of("qa")); err != nil {
		t.Error(err)
	}
	if err := of("qa").Same(of("security")); err == nil {
		t.Error("the signer of a plan was changed")
	}
}

// TestSignaturesPublished are all signed at once, after all else.
func TestSignaturesPublished(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		before bool // something else is changed
		fails  error
	}{
		"alone": {}, "last": {before: true}, "not published": {before: true, fails: errors.New("the server is down")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wishes := []change.Change{signature("r.test/a", "1"), signature("r.test/b", "2")}
			if test.before {
				wishes = append(wishes, mode(write(t, filepath.Join(t.TempDir(), "file"), "x"), "0400", "A"))
			}
			p := &press{signer: "qa", fails: test.fails}
			o := Options{Named: true, Irrevocable: true, Publisher: p}
			made := plan(t, o, wishes...)
			again := 0
			r := transaction.Runner{Store: transaction.StoreIn(t.TempDir()), Now: time.Now, Talk: func(string) {}}
			j, after, err := made.Apply(t.Context(), r, func(ctx context.Context) (Plan, error) {
				again++
				if len(p.signed) > 0 {
					t.Error("it was signed before all else was checked")
				}
				return Compose(ctx, newHost(), wishes, o)
			}, o)
			if !errors.Is(err, test.fails) || len(p.signed) != 1 || !cmp.Equal(p.signed[0], made.Signatures()) {
				t.Fatalf("signed %+v, %v", p.signed, err)
			}
			if wanted := map[bool]int{true: 1}[test.before]; again != wanted {
				t.Errorf("checked %d times, want %d", again, wanted)
			}
			if back := new(transaction.RolledBack); errors.As(err, &back) || j.Phase != transaction.Applied {
				t.Errorf("rolled back: %v, %s", err, j.Phase)
			}
			done := slices.Equal(j.Done, []string{"signing 2 tags in 2 repositories"})
			if done != (test.fails == nil) || len(after.Signatures()) != 2 {
				t.Errorf("done: %v, after: %+v", j.Done, after.Changes)
			}
		})
	}
}
