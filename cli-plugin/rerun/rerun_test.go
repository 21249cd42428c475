package rerun

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/system"
)

// read is docker inspect's JSON of one container.
func read(t *testing.T, text string) container.InspectResponse {
	t.Helper()
	var c container.InspectResponse
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// container web of image shop, with more of Config and HostConfig.
func web(config, host, more string) string {
	return `{"Id": "0123456789abcdef", "Name": "/web", "Config": {"Image": "shop"` + config + `}, "HostConfig": {` + host + `}` + more + `}`
}

var lines = map[string]struct {
	container, image string
	want             []string // lines
	notes            []string // what notes say, each
}{
	"nothing":           {container: web("", "", ""), want: []string{"docker create --name web shop"}, notes: []string{"its image could not be asked"}},
	"of the image":      {container: web(`, "Env": ["A=1"], "Cmd": ["x"], "Labels": {"l": "v"}`, "", ""), image: `{"RepoTags": ["shop:latest"], "Config": {"Env": ["A=1"], "Cmd": ["x"], "Labels": {"l": "v"}}}`, want: []string{"docker create --name web shop"}},
	"another image now": {container: web("", "", `, "Image": "sha256:aa"`), image: `{"Id": "sha256:aa", "RepoTags": ["shop:old"]}`, want: []string{"docker create --name web shop"}, notes: []string{"not the one that the container was made from any more: that one is sha256:aa"}},
	"by ID":             {container: `{"Name": "/web", "Config": {"Image": "sha256:aa"}, "HostConfig": {}}`, image: `{"Id": "sha256:aa"}`, want: []string{"docker create --name web sha256:aa"}},
	"without a name": {
		container: `{"Id": "0123456789abcdef", "State": {"Running": true}, "Config": {"Image": "shop"}, "HostConfig": {"NetworkMode": "a"}, "NetworkSettings": {"Networks": {"a": null, "b": null}}}`,
		image:     `{"RepoTags": ["shop:latest"]}`, want: []string{"docker create --network a shop"}, notes: []string{"docker network connect b and the ID", "docker start and the ID"},
	},
	"the rest": {
		container: web(`, "NetworkDisabled": true, "Healthcheck": {"Test": ["CMD", "a b", "c"]}, "Labels": {"a b": "c"}`,
			`"Cgroup": "container:x", "ContainerIDFile": "/x", "MaskedPaths": ["/x"], "DeviceRequests": [{"Driver": "x"}], "Isolation": "hyperv", "Mounts": [{"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"Options": [["a"]]}}]`, ""),
		image: `{"RepoTags": ["shop:latest"]}`,
		want:  []string{`docker create --name web --health-cmd \''a b'\'' c' --isolation hyperv --mount type=tmpfs,target=/t shop`},
		notes: []string{"NetworkDisabled", "without a shell", `label "a b"`, "Cgroup container:x", "/x: remove that file", "MaskedPaths", "DeviceRequests", "tmpfs at /t"},
	},
	"legacy link":      {container: web("", `"Links": ["/db:/web/store"]`, ""), image: `{"RepoTags": ["shop:latest"]}`, want: []string{"docker create --name web --link db:store shop"}},
	"gateway's choice": {container: web("", `"NetworkMode": "Back"`, `, "NetworkSettings": {"Networks": {"Back": {"GwPriority": 3}}}`), image: `{"RepoTags": ["shop:latest"]}`, want: []string{"docker create --name web --network name=Back,gw-priority=3 shop"}, notes: []string{"lower case"}},
	"entrypoint":       {container: web(`, "Entrypoint": ["a", "b c"], "Cmd": ["d"]`, "", ""), image: `{"RepoTags": ["shop:latest"], "Config": {"Entrypoint": ["z"]}}`, want: []string{"docker create --name web --entrypoint a shop 'b c' d"}, notes: []string{"--entrypoint takes one word"}},
	"numbers":          {container: web("", `"NanoCpus": -9223372036854775808, "IOMaximumIOps": 18446744073709551615`, ""), image: `{"RepoTags": ["shop:latest"]}`, want: []string{"docker create --name web --io-maxiops 18446744073709551615 --cpus -9223372036.854775808 shop"}},
	"half a CPU more":  {container: web("", `"NanoCpus": 1500000000`, ""), image: `{"RepoTags": ["shop:latest"]}`, want: []string{"docker create --name web --cpus 1.5 shop"}},
}

func TestRun(t *testing.T) {
	t.Parallel()
	for name, c := range lines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from := Origin{Engine: &system.Info{}}
			if c.image != "" {
				from.Image = &image.InspectResponse{}
				if err := json.Unmarshal([]byte(c.image), from.Image); err != nil {
					t.Fatal(err)
				}
			}
			line, err := Run(read(t, c.container), from)
			if err != nil {
				t.Fatal(err)
			}
			got := []string{Quote(line.Argv)}
			for _, words := range line.After {
				got = append(got, Quote(words))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if len(line.Notes) != len(c.notes) {
				t.Errorf("want %d notes, got %q", len(c.notes), line.Notes)
			}
			for _, note := range c.notes {
				if !strings.Contains(strings.Join(line.Notes, "\n"), note) {
					t.Errorf("no note says %q: %q", note, line.Notes)
				}
			}
		})
	}
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{}`: "no configuration", `{"Config": {}, "HostConfig": {}}`: "which image",
		`{"Config": {"Image": "a", "Cmd": ["\u0000"]}, "HostConfig": {}}`: "NUL",
	} {
		if _, err := Run(read(t, text), Origin{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

// TestSecrets holds that nothing that looks like one is written anywhere.
func TestSecrets(t *testing.T) {
	t.Parallel()
	secretive := web(`, "Env": ["PASSWORD=canary", "x.y=canary", "EMPTY="], "Entrypoint": ["run", "--token=canary"],
		"Cmd": ["--password", "canary", "--db=https://me:canary@db/x", "password=canary", "eyJhbGciOiJIUzI1.eyJzdWIiOiIx.canary"],
		"Healthcheck": {"Test": ["CMD-SHELL", "curl -H 'X-Auth-Token: canary' http://me:canary@localhost"]},
		"Labels": {"db.password": "canary", "url": "redis://:canary@db", "auth.basicauth.users": "canary", "hash": "me:$apr1$canary$x", "plain": "shown"}`,
		`"LogConfig": {"Type": "splunk", "Config": {"splunk-token": "canary", "splunk-url": "https://splunk"}},
		"Annotations": {"secret": "canary"},
		"Mounts": [{"Type": "volume", "Target": "/x", "VolumeOptions": {"DriverConfig": {"Name": "local", "Options": {"type": "cifs", "o": "username=me,password=canary,uid=1"}}}}],
		"SecurityOpt": ["seccomp={\"canary\": 1}"]`, `, "NetworkSettings": {"Networks": {"bridge": {"DriverOpts": {"api-key": "canary"}}}}`)
	line, err := Run(read(t, secretive), Origin{})
	if err != nil {
		t.Fatal(err)
	}
	text := Quote(line.Argv) + strings.Join(line.Notes, "\n")
	if strings.Contains(text, "canary") {
		t.Errorf("a secret is shown:\n%s", text)
	}
	for _, want := range []string{"--env PASSWORD", "--env EMPTY=", "--env-file web.env", "plain=shown", "username=me,password=<NOT SHOWN>,uid=1", "splunk-url=https://splunk", "seccomp=web.seccomp.json"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing:\n%s", want, text)
		}
	}
}

func TestHide(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`redis-server --requirepass canary --port 6379`:           `redis-server --requirepass <NOT SHOWN> --port 6379`,
		`exec app --password canary --level info`:                 `exec app --password <NOT SHOWN> --level info`,
		`app --password="can ary" --level info`:                   `app --password=<NOT SHOWN> --level info`,
		`password='can ary', uid=1`:                               `password=<NOT SHOWN>, uid=1`,
		`redis-server --requirepass=canary`:                       `redis-server --requirepass=<NOT SHOWN>`,
		`curl -u me:canary https://x`:                             `curl -u me:<NOT SHOWN> https://x`,
		`curl --user "me:canary" https://x`:                       `curl --user "me:<NOT SHOWN>" https://x`,
		`curl -H "Authorization: Bearer canary-1" https://x`:      `curl -H "Authorization: Bearer <NOT SHOWN>" https://x`,
		`mysqladmin ping -h db -pcanary && echo up`:               `mysqladmin ping -h db -p<NOT SHOWN> && echo up`,
		`redis-cli -a canary ping`:                                `redis-cli -a <NOT SHOWN> ping`,
		`nginx -g "daemon off;"`:                                  `nginx -g "daemon off;"`,
		`docker run -p 80:80 -u 1000:1000x web --pass-through no`: `docker run -p 80:80 -u 1000:<NOT SHOWN> web --pass-through <NOT SHOWN>`, // too much is better than too little
		`pg_isready -U postgres -h /run/postgresql`:               `pg_isready -U postgres -h /run/postgresql`,
	} {
		if got := withoutSecrets(text); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
		}
	}
}

// TestSecretWords are those that a command's other words give away.
func TestSecretWords(t *testing.T) {
	t.Parallel()
	for _, command := range []string{
		`["redis-server", "--requirepass", "canary"]`, `["curl", "-u", "me:canary"]`, `["/usr/bin/mysqldump", "-pcanary", "db"]`,
		`["redis-cli", "-a", "canary"]`, `["sh", "-c", "app --token canary"]`, `["app", "--secret", "canary canary"]`,
	} {
		line, err := Run(read(t, web(`, "Cmd": `+command, "", "")), Origin{})
		if err != nil {
			t.Fatal(err)
		}
		if text := Quote(line.Argv) + strings.Join(line.Notes, "\n"); strings.Contains(text, "canary") || !strings.Contains(text, "looks like a secret") {
			t.Errorf("%s is shown:\n%s", command, text)
		}
	}
}

// FuzzRun wants an answer for whatever an engine says, and one that a shell
// reads as it is meant.
func FuzzRun(f *testing.F) {
	for _, c := range lines {
		f.Add(c.container, c.image)
	}
	f.Add(web("", `"Ulimits": [null], "BlkioWeightDevice": [null], "BlkioDeviceReadBps": [null], "Binds": ["", ":", "a"], "Links": ["", "x"], "Mounts": [{}]`, `, "NetworkSettings": {"Networks": {"": null}}`), `{"Config": null}`)
	f.Fuzz(func(t *testing.T, text, from string) {
		var c, other container.InspectResponse
		var of image.InspectResponse
		if json.Unmarshal([]byte(text), &c) != nil || json.Unmarshal([]byte(from), &of) != nil {
			return
		}
		line, err := Run(c, Origin{Image: &of})
		if err != nil {
			return
		}
		if line.Argv[0] != "docker" || strings.ContainsRune(Quote(line.Argv), '\x1b') {
			t.Errorf("got %q", line.Argv)
		}
		if json.Unmarshal([]byte(text), &other) != nil {
			return
		}
		if other.HostConfig.Privileged = !c.HostConfig.Privileged; len(Compose(c, other)) < 2 {
			t.Error("Compose sees no difference")
		}
		if len(Service(c, other).Notes) == 0 {
			t.Error("Service says nothing")
		}
	})
}
