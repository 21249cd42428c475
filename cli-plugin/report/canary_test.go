package report

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/docker-stig/docker-stig/cli-plugin/benchmark"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/hosttest"
	"github.com/docker-stig/docker-stig/cli-plugin/host/mgmt"
	"github.com/docker-stig/docker-stig/cli-plugin/host/packages"
	"github.com/docker-stig/docker-stig/cli-plugin/host/ucp"
	"github.com/docker-stig/docker-stig/cli-plugin/scan"
	"github.com/docker-stig/docker-stig/tests/doubles"
)

// canary stands wherever a host keeps a secret.
const canary = "c4n4ry"

// secretive is a host that fails as much as possible and has a secret in
// everything that is read of it.
func secretive(t *testing.T) *host.Host {
	t.Helper()
	h := hosttest.Machine{
		"engine/info": `{"ServerVersion": "29.2.0", "Name": "dkr01", "HttpProxy": "http://user:c4n4ry@proxy", "HttpsProxy": "http://c4n4ry@proxy", "Labels": ["key=c4n4ry"],
			"Swarm": {"NodeID": "n1", "LocalNodeState": "active", "ControlAvailable": true, "Managers": 5, "Cluster": {"Spec": {"CAConfig": {"NodeCertExpiry": 1, "ExternalCAs": [{"Options": {"token": "c4n4ry"}}]}}}},
			"RegistryConfig": {"IndexConfigs": {"registry.example.com": {"Name": "registry.example.com", "Secure": false}}}}`,
		"engine/swarm":    `{"ID": "s", "JoinTokens": {"Worker": "SWMTKN-1-c4n4ry", "Manager": "SWMTKN-1-c4n4ry"}, "Spec": {"CAConfig": {"SigningCAKey": "c4n4ry"}, "EncryptionConfig": {"AutoLockManagers": false}}}`,
		"engine/networks": `[{"Name": "plain", "Driver": "overlay", "Options": {"key": "c4n4ry"}, "Labels": {"token": "c4n4ry"}}]`,
		"engine/secrets":  `[{"ID": "x", "Spec": {"Name": "db", "Data": "YzRuNHJ5", "Labels": {"token": "c4n4ry"}}}]`,
		"engine/services": `[{"ID": "x", "Spec": {"Name": "web", "TaskTemplate": {"ContainerSpec": {"Env": ["PASSWORD=c4n4ry"], "Args": ["--password=c4n4ry"]}}}}]`,
		"engine/plugins":  `[{"Name": "log:latest", "Enabled": true, "Settings": {"Env": ["TOKEN=c4n4ry"]}}]`,
		"engine/volumes":  `{"Volumes": [{"Name": "v", "Driver": "local", "Options": {"type": "cifs", "o": "username=x,password=c4n4ry", "device": "//server/share"}}]}`,
		"engine/containers/bad/json": `{"State": {"Status": "running", "Running": true}, "Path": "run", "Args": ["--token", "c4n4ry"], "Mounts": [{"Type": "volume", "Name": "v", "Driver": "local", "Source": "/var/lib/docker/volumes/v/_data", "Destination": "/d", "RW": true}, {"Type": "bind", "Source": "/etc", "Destination": "/e", "RW": true}],
			"Config": {"Image": "web", "Env": ["PASSWORD=c4n4ry"], "Cmd": ["--token", "c4n4ry"], "Labels": {"secret": "c4n4ry"}, "Healthcheck": {"Test": ["CMD", "curl", "-u", "x:c4n4ry"]}},
			"HostConfig": {"Privileged": true, "PidMode": "host", "IpcMode": "host", "UTSMode": "host", "UsernsMode": "host", "NetworkMode": "host", "CapAdd": ["ALL"], "CgroupParent": "/x", "SecurityOpt": ["seccomp=unconfined"],
				"LogConfig": {"Type": "splunk", "Config": {"splunk-token": "c4n4ry"}}, "RestartPolicy": {"Name": "always"}, "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}],
				"PortBindings": {"80/tcp": [{"HostPort": "80"}]}, "Devices": [{"PathOnHost": "/dev/kmsg", "CgroupPermissions": "rwm"}]}}`,
		"engine/containers/bad/top":      `{"Titles": ["PID", "CMD"], "Processes": [["1", "sshd -o Password=c4n4ry"]]}`,
		"root/etc/docker/daemon.json":    `{"log-driver": "splunk", "log-opts": {"splunk-token": "c4n4ry", "splunk-url": "https://user:c4n4ry@log.example.com"}, "insecure-registries": ["registry.example.com"], "experimental": true}`,
		"root/proc/812/exe":              "/usr/bin/dockerd",
		"root/proc/812/cmdline":          "/usr/bin/dockerd\n-H\nunix:///var/run/docker.sock\n--log-opt\nsplunk-token=c4n4ry\n--cluster-store-opt\nkey=c4n4ry",
		"root/proc/812/stat":             "812 (dockerd) S 1 812 812 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 10 0 100 1 1",
		"root/proc/stat":                 "btime 1795200000\n",
		"root/etc/default/docker":        "DOCKER_OPTS=\"--log-opt splunk-token=c4n4ry\"\n",
		"root/etc/audit/rules.d/x.rules": "-w /usr/bin/docker -k docker\n# c4n4ry\n",
		"run/auditctl -l":                "-w /usr/bin/docker -p rwxa -k docker\n",
	}.Host(t)
	h.Package = func(context.Context) (packages.Proof, error) {
		return packages.Proof{}, &packages.Refused{Reason: "signed by a stranger", Advice: "install the vendor's"}
	}
	return h
}

// clustered gives a host a UCP whose configuration has secrets too. Its
// address is another one each time.
func clustered(t *testing.T, h *host.Host) *host.Host {
	t.Helper()
	double, err := doubles.NewUCP(t.Context(), doubles.UCPOptions{Config: []byte("[auth]\nbackend = \"managed\"\n[auth.ldap]\nreader_password = \"" + canary + "\"\n[cluster_config]\nswarm_token = \"" + canary + "\"\n")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = double.Close() })
	account := doubles.DefaultAccounts()[0]
	if h.UCP, err = ucp.New(mgmt.Options{URL: double.URL(), CAFile: kept(t, double.CA()), Username: account.Username, Password: account.Password, Timeout: 2 * time.Second}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.UCP.Close)
	return h
}

func scanned(t *testing.T, h *host.Host) scan.Checklist {
	t.Helper()
	guide, err := benchmark.DockerEnterprise()
	if err != nil {
		t.Fatal(err)
	}
	return scan.Run(t.Context(), h, scan.Options{Benchmark: guide, Requirements: guide.Requirements, Now: func() time.Time { return hosttest.Now }})
}

// TestNoSecretInAnyReport plants a secret in everything that is read, and
// finds it in nothing that is written.
func TestNoSecretInAnyReport(t *testing.T) {
	t.Parallel()
	list := scanned(t, clustered(t, secretive(t)))
	if s := Summarize(list); s.Open < 30 {
		t.Errorf("%d are open: this host shows too little", s.Open)
	}
	for format := range writers {
		for line := range strings.Lines(string(written(t, format, list))) {
			if strings.Contains(line, canary) || strings.Contains(line, "YzRuNHJ5") {
				t.Errorf("%s has a secret: %s", format, line)
			}
		}
	}
}

// TestTwiceTheSameBytes: the order of answers leaves no trace.
func TestTwiceTheSameBytes(t *testing.T) {
	t.Parallel()
	first, second := scanned(t, secretive(t)), scanned(t, secretive(t))
	for format := range writers {
		if diff := cmp.Diff(string(written(t, format, first)), string(written(t, format, second))); diff != "" {
			t.Errorf("%s:\n%s", format, diff)
		}
	}
}

// kept writes a file for the test.
func kept(t *testing.T, raw []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(name, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
