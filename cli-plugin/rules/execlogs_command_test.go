package rules

import (
	"strings"
	"testing"

	"github.com/docker-stig/docker-stig/cli-plugin/host/audit"
)

func TestReadDockerExec(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]struct {
		dockerExec
		ok bool
	}{
		"docker exec web sh":                                     {dockerExec{container: "web"}, true},
		"docker exec --privileged web sh":                        {dockerExec{privileged: true, container: "web"}, true},
		"docker exec --privileged=false web sh":                  {dockerExec{container: "web"}, true},
		"docker exec -it -u root web sh":                         {dockerExec{user: "root", container: "web"}, true},
		"docker exec -ituroot web sh":                            {dockerExec{user: "root", container: "web"}, true},
		"docker exec --user=0:0 web sh":                          {dockerExec{user: "0:0", container: "web"}, true},
		"docker exec -e A=b -w /tmp --env-file f web --user x":   {dockerExec{container: "web"}, true},
		"docker exec -e --user web sh":                           {dockerExec{container: "web"}, true},
		"docker -D -H tcp://x --tls --context c exec -u 1 web a": {dockerExec{user: "1", container: "web"}, true},
		"docker container exec --privileged web":                 {dockerExec{privileged: true, container: "web"}, true},
		"docker compose -f x.yaml -p y exec -T -u root db sh":    {dockerExec{user: "root", container: "db"}, true},
		"docker exec --from-the-future web --privileged":         {dockerExec{}, true},
		"docker exec --help":                                     {},
		"docker exec -u":                                         {},
		"docker run --privileged --user root exec":               {},
		"docker inspect exec --privileged":                       {},
		"docker -H":                                              {},
		"docker":                                                 {},
		"runc exec --user 0 web":                                 {},
	} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			got, ok := readDockerExec(audit.Exec{Args: strings.Fields(line), Whole: true})
			if line == "docker exec --from-the-future web --privileged" {
				// An unknown flag may have eaten the next word; what counts is
				// that the line is not passed over.
				if !ok {
					t.Error("it is passed over")
				}
				return
			}
			if got != want.dockerExec || ok != want.ok {
				t.Errorf("got %+v, %t", got, ok)
			}
		})
	}
	for exe, want := range map[string]bool{"/usr/bin/docker": true, "/usr/bin/runc": false} {
		if _, ok := readDockerExec(audit.Exec{Exe: exe, Args: []string{"docker", "exec", "web"}, Whole: true}); ok != want {
			t.Errorf("%s: got %t", exe, ok)
		}
	}
}

func TestCompareVersions(t *testing.T) {
	t.Parallel()
	ordered := []string{"2.7.9", "2.7.10", "3.0.0-beta1", "3.0.0-tp1", "3.0.0", "3.2.4", "3.10.0"}
	for i, a := range ordered {
		for j, b := range ordered {
			got, ok := compareVersions(a, b)
			if !ok || (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("%s and %s: got %d, %t", a, b, got, ok)
			}
		}
	}
	for _, text := range []string{"", "latest", "3.2", "3.2.4.1", "3.x.1", "99999999999.0.0"} {
		if _, ok := compareVersions(text, "3.2.4"); ok {
			t.Errorf("%q counts as a version", text)
		}
	}
}

func FuzzReadDockerExec(f *testing.F) {
	f.Add("docker\x00exec\x00-itu\x00root\x00web")
	f.Add("docker\x00--x\x00-\x00compose\x00exec\x00--=")
	f.Fuzz(func(_ *testing.T, line string) {
		_, _ = readDockerExec(audit.Exec{Args: strings.Split(line, "\x00")}) // must not panic
	})
}
