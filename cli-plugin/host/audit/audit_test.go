package audit

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseStatus(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		said string
		want Status
		bad  bool
	}{
		"audit 3":   {said: "enabled 1\nfailure 1\npid 1201\nrate_limit 0\nbacklog_limit 8192\nloginuid_immutable 0 unlocked\n", want: Status{Enabled: true, Daemon: 1201}},
		"locked":    {said: "enabled 2\nfailure 1\npid 7\n", want: Status{Enabled: true, Locked: true, Daemon: 7}},
		"off":       {said: "enabled 0\nfailure 1\npid 0\n"},
		"audit 2.2": {said: "AUDIT_STATUS: enabled=1 flag=1 pid=880 rate_limit=0\n", want: Status{Enabled: true, Daemon: 880}},
		"nothing":   {bad: true},
		"no pid":    {said: "enabled 1\npid many\n", bad: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseStatus([]byte(test.said))
			if got != test.want || (err != nil) != test.bad {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

// listed is what auditctl -l of audit 3.0.9 printed of rules that a kernel
// had taken.
const listed = `-a never,exit -F path=/usr/bin/never
-w /usr/bin/docker -p rwxa -k docker
-w /etc/docker -p wa -k docker
-a always,exit -S all -F path=/usr/bin/runc -F perm=x -F auid>=1000 -F auid!=-1 -F key=docker
-a always,exit -S all -F dir=/var/lib/docker -F perm=rwxa -F key=docker
-a always,exit -F arch=b64 -S execve,execveat -F path=/usr/bin/containerd -F key=docker -F key=two
-a always,exit -F arch=b32 -S all -F path=/usr/bin/failed -F perm=rwxa -F success=0
-a always,exit -S oldolduname -F exe=/usr/bin/docker -F subj_user=x
-a always,exit -S all -F path=/etc -F perm=wa
-a never,exclude -F msgtype=CWD
`

// tree is a host with some folders and links, whose /var/lib/docker/mnt is
// another file system.
var tree = Tree{
	Real: func(name string) string { return strings.Replace(name, "/lib/systemd", "/usr/lib/systemd", 1) },
	IsDir: func(name string) bool {
		return !strings.Contains(name, "/bin/") && !strings.HasSuffix(name, ".service")
	},
	Mounts: []string{"/", "/var/lib/docker/mnt"},
}

func TestCovering(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		rules, path string
		perms, keys string
	}{
		"watch":                       {listed, "/usr/bin/docker", "rwxa", "docker"},
		"folder":                      {listed, "/etc/docker", "wa", "docker"},
		"file in a folder":            {listed, "/etc/docker/daemon.json", "wa", "docker"},
		"people only":                 {listed, "/usr/bin/runc", "x", "docker"},
		"-F dir":                      {listed, "/var/lib/docker/volumes/x", "rwxa", "docker"},
		"behind a mount":              {listed, "/var/lib/docker/mnt/x", "", ""},
		"the mount itself":            {listed, "/var/lib/docker/mnt", "", ""},
		"calls that execute":          {listed, "/usr/bin/containerd", "x", "docker two"},
		"failures only":               {listed, "/usr/bin/failed", "", ""},
		"-F path of a folder":         {listed, "/etc/default", "", ""},
		"longer name":                 {listed, "/etc/dockers", "", ""},
		"no rule":                     {"No rules\n", "/usr/bin/docker", "", ""},
		"as people write it":          {"\n# Docker\n-D\n-b 8192\n-w /etc/docker/ -k docker\n-e 2\n", "/etc/docker/x", "rwxa", "docker"},
		"action first":                {"-a exit,always -F dir=/etc/docker -F perm=wa -k docker", "/etc/docker/x", "wa", "docker"},
		"two rules together":          {"-w /etc/docker -p w -k a\n-w /etc/docker -p a -k b", "/etc/docker", "wa", "a b"},
		"taken back":                  {"-w /etc/docker -k docker\n-W /etc/docker -k docker", "/etc/docker", "", ""},
		"all taken back":              {"-w /etc/docker -k docker\n-D", "/etc/docker", "", ""},
		"forbidden first":             {"-a never,exit -F dir=/etc/docker\n-w /etc/docker", "/etc/docker/x", "", ""},
		"forbidden in front":          {"-w /etc/docker\n-A never,exit -F dir=/etc/docker", "/etc/docker/x", "", ""},
		"forbidden later":             {"-w /etc/docker\n-a never,exit -F dir=/etc/docker", "/etc/docker/x", "rwxa", ""},
		"forbidden for some":          {"-a never,exit -F dir=/etc/docker -F auid=1000\n-w /etc/docker", "/etc/docker/x", "rwxa", ""},
		"everything off":              {"-a never,task\n-w /etc/docker", "/etc/docker/x", "", ""},
		"everything off, older order": {"-a task,never\n-w /etc/docker", "/etc/docker/x", "", ""},
		"tasks of some off":           {"-a never,task -F uid=33\n-w /etc/docker", "/etc/docker/x", "rwxa", ""},
		"through a linked folder":     {"-w /lib/systemd/system/docker.service", "/usr/lib/systemd/system/docker.service", "rwxa", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			watches := Reliable(ParseRules([]byte(test.rules)).Covering(test.path, tree))
			var keys []string
			for _, w := range watches {
				keys = append(keys, w.Keys...)
			}
			if got := Perms(watches); got != test.perms || strings.Join(keys, " ") != test.keys {
				t.Errorf("got %q %q, want %q %q", got, keys, test.perms, test.keys)
			}
		})
	}
}

func TestUnread(t *testing.T) {
	t.Parallel()
	const text = "-w\n-w /x -p\n-w /x -z y\n-a always,exit -F\n-a always\n-Z\nLIST_RULES: exit,always watch=/etc/docker perm=rwxa key=docker\n"
	if got := ParseRules([]byte(text)); len(got.Unread) != 7 || len(got.Watches) != 0 {
		t.Errorf("got %q, %v", got.Unread, got.Watches)
	}
	got := ParseRules([]byte(listed + "-a always,exclude -F msgtype=EXECVE\n-a always,exclude -F msgtype=PATH -F auid=0\n"))
	if len(got.Unread) != 0 || got.Off != "" {
		t.Errorf("got %q, %q", got.Unread, got.Off)
	}
	if diff := cmp.Diff([]string{"CWD", "EXECVE"}, got.Excluded); diff != "" {
		t.Error(diff)
	}
}

func TestParseMounts(t *testing.T) {
	t.Parallel()
	got := ParseMounts([]byte("overlay / overlay rw 0 0\nx /a\\040b/ ext4 rw 0 0\nnonsense\nx rel y\n"))
	if diff := cmp.Diff([]string{"/", "/a b"}, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzParseRules(f *testing.F) {
	f.Add([]byte(listed))
	f.Add([]byte("-w / -k\x00"))
	f.Fuzz(func(_ *testing.T, raw []byte) {
		rules := ParseRules(raw)
		_ = Perms(Reliable(rules.Covering("/etc/docker", tree)))
	})
}
