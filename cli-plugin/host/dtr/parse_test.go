package dtr

import (
	"errors"
	"strings"
	"testing"

	"github.com/docker-stig/docker-stig/cli-plugin/host/mgmt"
)

func TestShapes(t *testing.T) {
	t.Parallel()
	const sum = `"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"`
	tests := map[string]struct {
		body  string
		valid bool
	}{
		"complete":             {`[{"name":"1","digest":` + sum + `,"inNotary":true,"hashMismatch":false}]`, true},
		"none":                 {`[]`, true},
		"null":                 {`null`, false},
		"object":               {`{"tags":[]}`, false},
		"inNotary missing":     {`[{"name":"1","digest":` + sum + `,"hashMismatch":false}]`, false},
		"inNotary null":        {`[{"name":"1","digest":` + sum + `,"inNotary":null,"hashMismatch":false}]`, false},
		"inNotary as text":     {`[{"name":"1","digest":` + sum + `,"inNotary":"true","hashMismatch":false}]`, false},
		"hashMismatch missing": {`[{"name":"1","digest":` + sum + `,"inNotary":true}]`, false},
		"digest missing":       {`[{"name":"1","inNotary":true,"hashMismatch":false}]`, false},
		"name missing":         {`[{"digest":` + sum + `,"inNotary":true,"hashMismatch":false}]`, false},
		"null tag":             {`[null]`, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := tagsOf(mgmt.Answer{Body: []byte(test.body)})
			if (err == nil) != test.valid {
				t.Errorf("error is %v, want valid %v", err, test.valid)
			}
		})
	}
	for _, body := range []string{`{}`, `null`, `[]`, `{"repositories":null}`, `{"repositories":[{}]}`, `{"repositories":{}}`} {
		if _, err := repositoriesOf(mgmt.Answer{Body: []byte(body)}); !errors.Is(err, mgmt.Malformed) {
			t.Errorf("%s: error is %v, want kind %q", body, err, mgmt.Malformed)
		}
	}
}

func FuzzTags(f *testing.F) {
	f.Add([]byte(`[{"name":"1","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","inNotary":true,"hashMismatch":false}]`))
	f.Add([]byte(`[{"name":"1"}]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		tags, err := tagsOf(mgmt.Answer{Body: body})
		if err != nil && tags != nil {
			t.Error("an error came with tags")
		}
		for _, tag := range tags {
			if !tagName.MatchString(tag.Name) || tag.Digest.Validate() != nil {
				t.Errorf("tag %q with digest %q was accepted", tag.Name, tag.Digest)
			}
		}
	})
}

func FuzzRepositories(f *testing.F) {
	f.Add([]byte(`{"repositories":[{"namespace":"a","name":"b"}]}`))
	f.Add([]byte(`{"repositories":[{"namespace":"..","name":"/"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		repositories, err := repositoriesOf(mgmt.Answer{Body: body})
		if err != nil && repositories != nil {
			t.Error("an error came with repositories")
		}
		for _, r := range repositories {
			if !component.MatchString(r.Namespace) || !component.MatchString(r.Name) {
				t.Errorf("repository %q was accepted", r)
			}
		}
	})
}

func FuzzAccess(f *testing.F) {
	f.Add([]byte(`{"repositoryAccessList":[{"accessLevel":"read-only","repository":{"namespace":"a","name":"b"}}]}`))
	f.Add([]byte(`{"repositoryAccessList":[{"repository":{"namespace":"..","name":"b"}}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		access := map[string]string{}
		if err := accessOf(mgmt.Answer{Body: body}, access); err != nil {
			return // what was read before is thrown away with it
		}
		for repository, level := range access {
			if namespace, name, _ := strings.Cut(repository, "/"); !component.MatchString(namespace) || !component.MatchString(name) || level == "" {
				t.Errorf("access %q to repository %q was accepted", level, repository)
			}
		}
	})
}
