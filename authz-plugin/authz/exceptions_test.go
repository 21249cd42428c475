package authz

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/admission"
	"github.com/docker-stig/docker-stig/shared/engine/enginetest"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// TestBreakGlassGetsNoException: a repository may be privileged, and unsigned
// content that is allowed under its name may not.
func TestBreakGlassGetsNoException(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	allowances := &admission.Allowances{
		Path: filepath.Join(t.TempDir(), "allowances.json"), Log: log,
		Owner: func(os.FileInfo) error { return nil }, // whoever runs the test
	}
	now := time.Now()
	err := allowances.Add(t.Context(), admission.Allowance{Repository: app, Digest: evil, Until: now.Add(time.Hour), Reason: "outage", Author: "root"}, now)
	if err != nil {
		t.Fatal(err)
	}
	engine := enginetest.Containerd()
	r := newRig(t, engine, func(s *Settings) {
		s.Judge.Allowances = allowances
		protected := policy.Protect{Except: map[string][]policy.Setting{app: {
			policy.SettingPrivileged, policy.SettingCapabilities, policy.SettingExecPrivileged, policy.SettingDevices,
		}}}
		s.Protect = admission.NewProtection(protected, s.Judge.Engine, admission.Host{Now: time.Now})
		s.Judge.Protect = s.Protect
	})
	const plain, host = "cccc000000000000000000000000000000000000000000000000000000000000", "dddd000000000000000000000000000000000000000000000000000000000000"
	engine.Add(made, "signed", good.String(), app+":v1")
	engine.Add(other, "unsigned", evil.String(), app+":v1")
	engine.Add(host, "both", evil.String(), app+":v1")
	engine.Privilege(made)
	engine.Privilege(host)
	engine.Add(plain, "plain", good.String(), app+":v1")
	name := func(dgst string) string { return `{"Image":"` + app + "@" + dgst + `"` }
	task := func(dgst string) string {
		return `{"TaskTemplate":{"ContainerSpec":` + name(dgst) + `,"CapabilityAdd":["SYS_ADMIN"]}}}`
	}
	for about, test := range map[string]struct {
		req   Request
		allow bool
	}{
		"signed, privileged":               {post("/containers/create", name(good.String())+`,"HostConfig":{"Privileged":true}}`), true},
		"break-glass":                      {post("/containers/create", name(evil.String())+`}`), true},
		"break-glass, privileged":          {post("/containers/create", name(evil.String())+`,"HostConfig":{"Privileged":true}}`), false},
		"start, signed":                    {post("/containers/signed/start", ""), true},
		"start, break-glass":               {post("/containers/unsigned/start", ""), true},
		"start, break-glass, privileged":   {post("/containers/both/start", ""), false},
		"service, signed":                  {post("/services/create", task(good.String())), true},
		"service, break-glass":             {post("/services/create", task(evil.String())), false},
		"device, signed":                   {post("/containers/plain/update", `{"Devices":[{"PathOnHost":"/dev/mem"}]}`), true},
		"device, break-glass":              {post("/containers/unsigned/update", `{"Devices":[{"PathOnHost":"/dev/mem"}]}`), false},
		"privileged exec, signed":          {post("/containers/plain/exec", `{"Cmd":["sh"],"Privileged":true}`), true},
		"privileged exec, break-glass":     {post("/containers/unsigned/exec", `{"Cmd":["sh"],"Privileged":true}`), false},
		"exec where it runs as privileged": {post("/containers/both/exec", `{"Cmd":["sh"]}`), false},
	} {
		t.Run(about, func(t *testing.T) {
			t.Parallel()
			say := map[bool]string{true: "", false: "protect."}[test.allow]
			wantVerdict(t, r.ask(t, requestPath, test.req), test.allow, say)
		})
	}
}
