package trust

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

var (
	a = digest.FromString("a")
	b = digest.FromString("b")
)

func TestContent(t *testing.T) {
	t.Parallel()
	pulled := []string{"localhost:5000/app@" + string(b), "no reference", "<none>@<none>"}
	for name, test := range map[string]struct {
		content Content
		want    []digest.Digest
	}{
		"nothing":                      {Content{}, nil},
		"containerd":                   {Content{ID: a, Store: ContainerdStore, RepoDigests: pulled}, []digest.Digest{a}},
		"graphdriver":                  {Content{ID: a, Store: GraphdriverStore, RepoDigests: pulled}, []digest.Digest{b}},
		"graphdriver, loaded or built": {Content{ID: a, Store: GraphdriverStore}, nil},
		"unknown store":                {Content{ID: a, RepoDigests: pulled}, nil},
	} {
		if got := test.content.Digests(); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
	if (Content{Store: ContainerdStore}).Is("") {
		t.Error("no content is no digest")
	}
}

func TestStoreOf(t *testing.T) {
	t.Parallel()
	snapshotter := [][2]string{{"driver-type", "io.containerd.snapshotter.v1"}}
	for name, test := range map[string]struct {
		driver string
		status [][2]string
		want   Store
	}{
		"containerd":                {"overlayfs", snapshotter, ContainerdStore},
		"containerd, driver's name": {"overlay2", snapshotter, ContainerdStore},
		"graphdriver":               {"overlay2", [][2]string{{"Backing Filesystem", "extfs"}}, GraphdriverStore},
		"hidden by an old API":      {"overlayfs", nil, UnknownStore},
		"another driver type":       {"overlay2", [][2]string{{"driver-type", "x"}}, UnknownStore},
		"nothing":                   {"", nil, UnknownStore},
	} {
		if got := StoreOf(test.driver, test.status); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

type answers []error

func (list *answers) Verify(context.Context, Question) (Signed, error) {
	err := (*list)[0]
	*list = (*list)[1:]
	return Signed{Digest: a}, err
}

func TestVerifyAny(t *testing.T) {
	t.Parallel()
	no, silence := &Error{Reason: Unsigned}, &Error{Reason: Unreachable}
	for name, test := range map[string]struct {
		answers answers
		want    error
	}{
		"yes":                  {answers{nil}, nil},
		"yes after a no":       {answers{no, nil}, nil},
		"yes after silence":    {answers{silence, nil}, nil},
		"no":                   {answers{no}, no},
		"silence beats a no":   {answers{no, silence}, silence},
		"silence, then a no":   {answers{silence, no}, silence},
		"the first of the nos": {answers{no, &Error{Reason: Expired}}, no},
	} {
		questions := make([]Question, len(test.answers))
		_, err := VerifyAny(t.Context(), &test.answers, questions)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
	}
	if _, err := VerifyAny(t.Context(), &answers{}, nil); err == nil || Inconclusive(err) {
		t.Errorf("no question: got %v, want a no", err)
	}
}

func TestErrorNamesImageAndReason(t *testing.T) {
	t.Parallel()
	ref, _ := reference.ParseNormalizedNamed("docker.io/library/alpine:3")
	err := &Error{Reason: Rollback, Ref: ref, Role: "snapshot", Err: errors.New("version 3, but 4 has been seen")}
	if got, want := err.Error(), "alpine:3 is not vouched for (rollback): role snapshot: version 3, but 4 has been seen"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if !Inconclusive(errors.New("anything else")) || Inconclusive(nil) || Inconclusive(err) {
		t.Error("Inconclusive")
	}
}
