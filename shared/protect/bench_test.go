package protect

import (
	"testing"

	"github.com/moby/moby/api/types/container"
)

// BenchmarkContainer is what self-protection adds to a decision: nothing worth
// a thought without binds, some looks at the disk with one.
func BenchmarkContainer(b *testing.B) {
	rules := New(standard(b, `{"except": {"a.io/*/agent": ["paths"]}}`), Options{Root: host(b), DataRoot: "/var/lib/docker"})
	image := named(b, "a.io/prod/app:v1")
	for name, h := range map[string]*container.HostConfig{
		"ordinary": {NetworkMode: "bridge", IpcMode: "private", CgroupnsMode: "private", Runtime: "runc", CapAdd: []string{"NET_ADMIN"}, SecurityOpt: []string{"no-new-privileges"}},
		"bind":     {Binds: []string{"/srv/data:/data:ro"}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := rules.Container(b.Context(), Subject{Image: image, Host: h}, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
