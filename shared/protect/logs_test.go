package protect

import (
	"net/url"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/swarm"

	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// logged are options of logs, by themselves.
var logged = map[string]struct {
	key, value string
	want       policy.Setting
}{
	"by the network":               {"syslog-address", "udp://logs.example.com:514", ""},
	"by the network, encrypted":    {"syslog-address", "tcp+tls://[::1]:6514", ""},
	"host and port":                {"fluentd-address", "127.0.0.1:24224", ""},
	"name and port":                {"fluentd-address", "localhost:24224", ""},
	"by HTTP":                      {"splunk-url", "https://splunk.example.com:8088", ""},
	"no address":                   {"syslog-address", "", ""},
	"socket":                       {"fluentd-address", "unix:///run/containerd/containerd.sock", paths},
	"socket for datagrams":         {"syslog-address", "unixgram:///run/systemd/notify", paths},
	"socket in capitals":           {"syslog-address", "UNIX:///run/docker.sock", paths},
	"socket by one slash":          {"syslog-address", "unix:/run/docker.sock", paths},
	"socket of no path":            {"syslog-address", "unix:run/docker.sock", paths},
	"socket behind a host":         {"fluentd-address", "unix://host/run/docker.sock", paths},
	"socket encoded":               {"fluentd-address", "unix:///run/docker%2esock", paths},
	"socket that anybody can make": {"fluentd-address", "unix:///tmp/log.sock", paths},
	"scheme of no network":         {"syslog-address", "file:///etc/passwd", paths},
	"address that cannot be read":  {"syslog-address", "udp://%zz", paths},
	"public certificate":           {"syslog-tls-ca-cert", "/etc/ssl/certs/ca.pem", ""},
	"private key":                  {"syslog-tls-key", "/etc/ssl/private/key.pem", paths},
	"key of the engine":            {"syslog-tls-cert", "/srv/up/daemon.json", paths},
	"certificate by a link":        {"splunk-capath", "/srv/engine", paths},
	"certificate by no full path":  {"splunk-capath", "ca.pem", paths},
	"certificate of anybody":       {"splunk-capath", "/tmp/ca.pem", binds},
	"tag":                          {"tag", "{{.ImageName}}/{{ .Name }}|{{.ImageFullID}}|{{.FullID}}", ""},
	"tag of two lines":             {"tag", "x\nMAINPID=1\n", paths},
	"tag of a template":            {"tag", `{{"\n"}}`, paths},
	"tag of a label":               {"tag", `{{index .ContainerLabels "x"}}`, paths},
	"tag of the command":           {"tag", "{{.Command}}", paths},
	"tag of a template in a name":  {"tag", "{{.Name{{.Name}}}}", paths},
	"labels":                       {"labels", "a,b", ""},
	"labels of two lines":          {"labels", "a\nb", paths},
	"expression with a control":    {"env-regex", "^a\x1b", paths},
	"expression":                   {"env-regex", `^a\n`, ""},
	"size":                         {"max-size", "10m", ""},
	"option of a plugin":           {"loki-pipeline-stages", "- json:\n    a: b\n", ""},
}

func TestLogs(t *testing.T) {
	t.Parallel()
	rules := New(standard(t, "{}"), Options{Root: host(t)})
	for name, c := range logged {
		config := container.LogConfig{Type: "syslog", Config: map[string]string{c.key: c.value, "mode": "non-blocking"}}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := &container.HostConfig{LogConfig: config}
			check(t, rules.Container(t.Context(), Subject{Host: h}, nil), c.want)
			check(t, rules.Container(t.Context(), Subject{Host: h, Made: true}, nil), c.want)
			spec := swarm.TaskSpec{LogDriver: &swarm.Driver{Name: config.Type, Options: config.Config}}
			check(t, rules.Service(t.Context(), spec, nil, nil), c.want)
			spec.LogDriver.Name = ""
			check(t, rules.Service(t.Context(), spec, nil, nil), c.want)
		})
	}
	free := container.LogConfig{Type: "json-file", Config: map[string]string{"tag": `{{index .ContainerLabels "x"}}`}}
	check(t, rules.Container(t.Context(), Subject{Host: &container.HostConfig{LogConfig: free}}, nil), "")
}

// TestLogsThatTheSiteWants: a socket is opened by an entry of its own, even
// where no container gets it, or by an exception; and what root told the engine
// to write into every container is root's.
func TestLogsThatTheSiteWants(t *testing.T) {
	t.Parallel()
	root := host(t, "/run/fluent/", "0777 /srv/open/")
	to := func(socket string) Subject {
		return Subject{Host: &container.HostConfig{LogConfig: container.LogConfig{Type: "fluentd", Config: map[string]string{"fluentd-address": "unix://" + socket}}}}
	}
	listed := New(standard(t, `{"binds": ["/run/fluent/log.sock", "/srv/open/log.sock", "/dev/log", "/srv/deep/**", "/etc/ssl/private/key.pem"], "except": {"a.io/agent": ["paths"], "a.io/binder": ["binds"]}}`), Options{Root: root})
	for socket, want := range map[string]policy.Setting{
		"/run/fluent/log.sock":     "",
		"/var/run/fluent/log.sock": "", // a link of root's to the same
		"/run/fluent/other.sock":   paths,
		"/run/fluent":              paths,
		"/dev/log":                 "",
		"/srv/deep/x/log.sock":     "",
		"/srv/deep/../up":          paths,
		"/srv/open/log.sock":       paths, // anybody may put another there
	} {
		check(t, listed.Container(t.Context(), to(socket), nil), want)
	}
	check(t, listed.Container(t.Context(), Subject{Host: &container.HostConfig{Binds: []string{"/dev/log:/dev/log"}}}, nil), paths)
	key := Subject{Host: &container.HostConfig{LogConfig: container.LogConfig{Config: map[string]string{"syslog-tls-key": "/etc/ssl/private/key.pem"}}}}
	check(t, listed.Container(t.Context(), key, nil), "")

	other := to("/run/docker.sock")
	other.Image = named(t, "a.io/binder")
	check(t, listed.Container(t.Context(), other, nil), paths)
	other.Image = named(t, "a.io/agent")
	check(t, listed.Container(t.Context(), other, nil), "")

	own := host(t)
	write(t, own, "/etc/docker/daemon.json", `{"log-driver": "fluentd", "log-opts": {"fluentd-address": "unix:///run/own.sock", "syslog-tls-key": "/etc/docker/key.pem"}}`)
	rules := New(standard(t, "{}"), Options{Root: own})
	check(t, rules.Container(t.Context(), to("/run/own.sock"), nil), "")
	check(t, rules.Container(t.Context(), to("/run/docker.sock"), nil), paths)
	for _, text := range []string{`{"log-opts": ["x"]}`, `{}`, ``, strings.Repeat(" ", maxEngineFile) + `{"log-opts": {"fluentd-address": "unix:///run/own.sock"}}`} {
		write(t, own, "/etc/docker/daemon.json", text)
		check(t, rules.Container(t.Context(), to("/run/own.sock"), nil), paths)
	}
}

// FuzzLogAddress looks for a socket of the host among what is let through.
func FuzzLogAddress(f *testing.F) {
	for _, c := range logged {
		f.Add(c.value)
	}
	rules := New(standard(f, "{}"), Options{Root: host(f)})
	f.Fuzz(func(t *testing.T, address string) {
		h := &container.HostConfig{LogConfig: container.LogConfig{Type: "syslog", Config: map[string]string{"syslog-address": address}}}
		if rules.Container(t.Context(), Subject{Host: h}, nil) != nil {
			return
		}
		// As moby's drivers read it.
		if !strings.Contains(address, "://") {
			address = "tcp://" + address
		}
		if u, err := url.Parse(address); err == nil && strings.HasPrefix(u.Scheme, "unix") {
			t.Errorf("%q is let through", address)
		}
	})
}
