package enforce

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/api/types/system"

	"github.com/docker-stig/docker-stig/shared/record"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// good is a look at an engine that enforces.
func good(t *testing.T) Look {
	t.Helper()
	p, err := policy.Parse("policy", []byte(`{"content-trust": {"mode": "enforced"}, "digests": {"example.com/app": ["sha256:`+strings.Repeat("a", 64)+`"]}, "engine": "unix:///x"}`))
	if err != nil {
		t.Fatal(err)
	}
	return Look{
		Policy: p, PolicyPath: "/p", PolicySum: "aa", InForce: &record.InForce{Path: "/p", SHA256: "aa", Mode: "enforced"},
		Refuses: true, Info: system.Info{ServerVersion: "29.3.1"},
		Dockerd: &Dockerd{Socket: "/x", Args: []string{"dockerd", "-H", "unix:///x"}, ConfigFile: "/d", Config: []byte(`{"authorization-plugins":["docker-stig-authz"]}`)},
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		spoil                func(*Look)
		gap, unknown, noting string
	}{
		"good":                       {spoil: func(*Look) {}},
		"permissive":                 {spoil: func(l *Look) { l.Policy.ContentTrust.Mode = policy.Permissive; l.Refuses = false }, gap: "the policy is permissive"},
		"no scope":                   {spoil: func(l *Look) { l.Policy.Digests = nil }, gap: "no scope"},
		"faulty policy":              {spoil: func(l *Look) { l.Policy, l.PolicyErr = nil, errors.New("1:1: want JSON") }, gap: "want JSON"},
		"not configured":             {spoil: func(l *Look) { l.Refuses = false; l.Dockerd.Config = nil }, gap: "/d does not name it"},
		"taken out, and not read":    {spoil: func(l *Look) { l.Dockerd.Config = []byte("{}") }, gap: "no longer names"},
		"put in, and not read":       {spoil: func(l *Look) { l.Refuses = false }, gap: "restart pending"},
		"plugin is silent":           {spoil: func(l *Look) { l.Refuses = false; l.PluginErr = errors.New("does not answer") }, gap: "does not answer"},
		"folder is open":             {spoil: func(l *Look) { l.FolderErr = errors.New("others may write") }, gap: "others may write"},
		"asks another engine":        {spoil: func(l *Look) { l.Policy.Engine = "unix:///other" }, gap: "unix:///other"},
		"HTTP/2":                     {spoil: func(l *Look) { l.HTTP2 = []string{"/x"} }, gap: "gRPC over HTTP/2 on /x"},
		"HTTP/2 unknown":             {spoil: func(l *Look) { l.HTTP2Err = errors.New("silent") }, unknown: "silent"},
		"TCP":                        {spoil: func(l *Look) { l.Dockerd.Args = append(l.Dockerd.Args, "-H=tcp://:2375") }, gap: "asks nobody for a certificate"},
		"TCP, without a scheme":      {spoil: func(l *Look) { l.Dockerd.Args = append(l.Dockerd.Args, "-H", "0.0.0.0:2375") }, gap: "asks nobody for a certificate"},
		"TCP, a port alone":          {spoil: func(l *Look) { l.Dockerd.Args = append(l.Dockerd.Args, "--host=:2375") }, gap: "asks nobody for a certificate"},
		"TCP, behind other flags":    {spoil: func(l *Look) { l.Dockerd.Args = append(l.Dockerd.Args, "-DH", "tcp://0.0.0.0:2375") }, gap: "asks nobody for a certificate"},
		"TCP, of no file":            {spoil: func(l *Look) { l.Listeners = []Listener{{Network: "tcp", Address: "[::]:2375", Door: Open}} }, gap: "listens on tcp://[::]:2375"},
		"TCP, not the API":           {spoil: func(l *Look) { l.Listeners = []Listener{{Network: "tcp", Address: "[::]:2377", Door: NoAPI}} }},
		"TCP, silent":                {spoil: func(l *Look) { l.Listeners = []Listener{{Network: "tcp", Address: "[::]:1", Err: errNoAnswer}} }, unknown: "no answer"},
		"listeners unknown":          {spoil: func(l *Look) { l.ListenersErr = errors.New("not permitted") }, unknown: "not permitted"},
		"daemon.json, not plain":     {spoil: func(l *Look) { l.Dockerd.ConfigErr = plainConfig([]byte("\xef\xbb\xbf{}")) }, unknown: "not JSON"},
		"policy, not in force":       {spoil: func(l *Look) { l.PolicySum = "bb" }, gap: "reload pending"},
		"policy, another":            {spoil: func(l *Look) { l.PolicySum, l.PolicyPath = "bb", "/q" }, gap: "by /p"},
		"policy, the same elsewhere": {spoil: func(l *Look) { l.PolicyPath = "/q" }, noting: "by /p"},
		"policy, not said":           {spoil: func(l *Look) { l.InForce, l.InForceErr = nil, record.ErrNotSaid }, unknown: "does not say"},
		"HTTP/2 beside the guard": {spoil: func(l *Look) {
			l.HTTP2 = []string{"/y"}
			l.Dockerd.Args = append(l.Dockerd.Args, "-H=unix:///y")
		}, gap: "gRPC over HTTP/2 on /y"},
		"TCP, with TLS, past guards": {spoil: func(l *Look) { l.Dockerd.Args = append(l.Dockerd.Args, "-Htcp://:2376", "--tlsverify") }, gap: "where no guard stands"},
		"TCP, with TLS, older": {spoil: func(l *Look) {
			l.Dockerd.Args = append(l.Dockerd.Args, "--host", "tcp://h:2376", "--tlsverify=true")
			l.Info.ServerVersion = "28.5.2"
		}, noting: "client certificate"},
		"hides bodies": {spoil: func(l *Look) { l.Info.ServerVersion = "20.10.24+dfsg1" }, noting: "hide bodies"},
		"rootless":     {spoil: func(l *Look) { l.Rootless = true }, gap: "rootless"},
		"worker":       {spoil: func(l *Look) { l.Info.Swarm.LocalNodeState = swarm.LocalNodeStateActive }, noting: "worker"},
		"managers": {spoil: func(l *Look) {
			l.Info.Swarm.LocalNodeState, l.Nodes = swarm.LocalNodeStateActive, []string{"m2"}
		}, gap: "m2"},
		"cut off":     {spoil: func(l *Look) { l.Journal = &Journal{Phase: Applying} }, gap: "cut off"},
		"at work":     {spoil: func(l *Look) { l.Journal, l.Busy = &Journal{Phase: Applying}, true }, noting: "at work"},
		"no engine":   {spoil: func(l *Look) { l.InfoErr = errors.New("refused") }, unknown: "refused"},
		"elsewhere":   {spoil: func(l *Look) { l.Dockerd, l.DockerdErr = nil, ErrRemote }, unknown: "own host"},
		"not asked":   {spoil: func(l *Look) { l.RefusesErr = errors.New("silent") }, unknown: "silent"},
		"was enabled": {spoil: func(l *Look) { l.Journal = &Journal{Phase: InForce} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			look := good(t)
			test.spoil(&look)
			f := look.Find()
			for _, list := range []struct {
				what string
				gaps []Gap
				want string
			}{{"gaps", f.Gaps, test.gap}, {"unknown", f.Unknown, test.unknown}, {"notes", f.Notes, test.noting}} {
				if list.want == "" && list.what != "notes" && len(list.gaps) > 0 {
					t.Errorf("%s: %v", list.what, list.gaps)
				}
				if list.want != "" && !slices.ContainsFunc(list.gaps, func(g Gap) bool { return strings.Contains(g.What, list.want) }) {
					t.Errorf("%s: %v, want %q", list.what, list.gaps, list.want)
				}
			}
			if f.Enforced() != (test.gap == "" && test.unknown == "") {
				t.Errorf("enforced is %t", f.Enforced())
			}
		})
	}
}
