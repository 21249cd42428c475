package audit

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const head = "type=SYSCALL msg=audit(1763800000.123:101): arch=c000003e syscall=59 success=yes exit=0 a0=55 a1=55 ppid=10 pid=11 auid=1000 uid=0 tty=pts0 ses=3 comm=\"docker\" exe=\"/usr/bin/docker\" subj=unconfined key=\"docker\""

func TestParseExecs(t *testing.T) {
	t.Parallel()
	docker := func(login string, whole bool, args ...string) []Exec {
		return []Exec{{Event: "1763800000.123:101", Login: login, Exe: "/usr/bin/docker", Args: args, Whole: whole}}
	}
	for name, test := range map[string]struct {
		log  string
		want []Exec
		bad  bool
	}{
		"plain": {
			log:  "----\ntime->Sat Nov 22 08:26:40 2025\ntype=PROCTITLE msg=audit(1763800000.123:101): proctitle=646F\ntype=EXECVE msg=audit(1763800000.123:101): argc=3 a0=\"docker\" a1=\"exec\" a2=2D632069642078\n" + head,
			want: docker("1000", true, "docker", "exec", "-c id x"),
		},
		"enriched": {
			log:  head + "\x1dARCH=x86_64 SYSCALL=execve AUID=\"alice\" UID=\"root\"\ntype=EXECVE msg=audit(1763800000.123:101): argc=1 a0=\"docker\"",
			want: docker("alice", true, "docker"),
		},
		"of a node": {
			log:  "node=web1 " + head + "\nnode=web1 type=EXECVE msg=audit(1763800000.123:101): argc=1 a0=\"docker\"",
			want: docker("1000", true, "docker"),
		},
		"a daemon's": {
			log:  strings.Replace(head, "auid=1000", "auid=4294967295", 1) + "\ntype=EXECVE msg=audit(1763800000.123:101): argc=1 a0=\"docker\"",
			want: docker("unset", true, "docker"),
		},
		"long argument in pieces": {
			log:  head + "\ntype=EXECVE msg=audit(1763800000.123:101): argc=2 a0=\"docker\" a1_len=12 a1[0]=\"abcdef\"\ntype=EXECVE msg=audit(1763800000.123:101): a1[1]=\"ghijkl\"",
			want: docker("1000", true, "docker", "abcdefghijkl"),
		},
		"one missing": {
			log:  head + "\ntype=EXECVE msg=audit(1763800000.123:101): argc=4 a0=\"docker\" a1=\"exec\" a3=\"web\"",
			want: docker("1000", false, "docker", "exec"),
		},
		"not run":          {log: head},
		"words of another": {log: "type=USER_CMD msg=audit(1763800000.123:101): pid=1 msg='type=EXECVE msg=audit(1.1:1): argc=1 a0=\"docker\"'"},
		"empty":            {},
		"absurd count":     {log: "type=EXECVE msg=audit(1763800000.123:101): argc=999999999999", bad: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseExecs([]byte(test.log))
			if (err != nil) != test.bad {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if got := docker("", true)[0].When(); !got.Equal(time.Date(2025, 11, 22, 8, 26, 40, 0, time.UTC)) {
		t.Errorf("got %v", got)
	}
	if got := (Exec{Event: "soon"}).When(); !got.IsZero() {
		t.Errorf("got %v", got)
	}
}

func FuzzParseExecs(f *testing.F) {
	f.Add([]byte(head + "\ntype=EXECVE msg=audit(1763800000.123:101): argc=2 a0=\"docker\" a1[0]=41"))
	f.Add([]byte("type=EXECVE msg=audit(x): argc=65536 a65535=\"x\""))
	f.Fuzz(func(t *testing.T, raw []byte) {
		execs, err := ParseExecs(raw)
		for _, e := range execs {
			if err != nil || len(e.Args) > maxArgs {
				t.Fatalf("%v, and %d arguments", err, len(e.Args))
			}
		}
	})
}
