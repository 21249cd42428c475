package testbed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
)

// roomScript furnishes a new mount and network namespace and then becomes the
// program it is given: plugins and the sign that all is done come first.
const roomScript = `set -e
ip link set lo up
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/docker/plugins
mount --bind "$1" /run/docker/plugins
[ ! -d /etc/docker ] || mount -t tmpfs -o mode=755 etc-docker /etc/docker
: >"$2"
shift 2
exec "$@"`

// openRoom makes the engine's namespaces. They last as long as the process
// that holds them, the registry's door on that side, or the engine does, and
// no mount shows outside.
func (tb *Testbed) openRoom(ctx context.Context, l *ledger, programs map[string]string) error {
	argv := []string{
		programs["unshare"], "--mount", "--net", "--propagation", "private", "--",
		"/bin/sh", "-c", roomScript, "room", tb.PluginSockets(), tb.path("room.ready"),
	}
	room, err := tb.start(ctx, l, "room", nil, append(argv, tb.door(programs, tb.registry, tb.path("r.sock"))...)...)
	if err != nil {
		return err
	}
	return tb.await(ctx, room, func(context.Context) error {
		_, err := os.Stat(tb.path("room.ready"))
		return err
	})
}

// A setting is what the testbed tells dockerd about itself, unless daemon.json
// does: dockerd refuses to start when it hears of one thing from both.
type setting struct{ key, flag string }

func (tb *Testbed) settings() []setting {
	all := []setting{
		{"data-root", "--data-root=" + tb.path("data")},
		{"exec-root", "--exec-root=" + tb.path("exec")},
		{"hosts", "--host=" + tb.host()},
		{"pidfile", "--pidfile=" + tb.path("d.pid")},
		{"iptables", "--iptables=false"},
		{"bridge", "--bridge=none"},
		{"exec-opts", "--exec-opt=native.cgroupdriver=cgroupfs"}, // so that cgroup-parent may be a path
		{"cgroup-parent", "--cgroup-parent=/" + tb.id},
	}
	if tb.engine == Moby {
		return append(all, setting{"ip6tables", "--ip6tables=false"})
	}
	return append(all, setting{"storage-driver", "--storage-driver=overlay2"})
}

func (tb *Testbed) host() string { return "unix://" + tb.path("d.sock") }

// startEngine starts dockerd in the room and waits until it serves its API.
func (tb *Testbed) startEngine(ctx context.Context, l *ledger, programs map[string]string) error {
	room := l.latest("room")
	if !room.alive() {
		return errors.New("the namespaces of the engine are gone: take the testbed down and up again")
	}
	config, err := readDaemonJSON(tb.DaemonJSON())
	if err != nil {
		return err
	}
	argv := []string{
		programs["nsenter"], "--target", strconv.Itoa(room.PID), "--mount", "--net", "--",
		programs["dockerd"], "--config-file=" + tb.DaemonJSON(),
	}
	for _, s := range tb.settings() {
		if _, set := config[s.key]; !set {
			argv = append(argv, s.flag)
		}
	}
	said := logSize(tb.log("engine"))
	// dockerd looks for its containerd and runc on this path. The variable
	// lets a docker client older than the engine in; old engines ignore it.
	env := []string{"PATH=" + filepath.Dir(programs["dockerd"]) + ":" + searchPath(), "DOCKER_MIN_API_VERSION=1.40"}
	engine, err := tb.start(ctx, l, "engine", env, argv...)
	if err != nil {
		return err
	}
	return tb.await(ctx, engine, func(ctx context.Context) error {
		if said, err := saidSince(tb.log("engine"), said, "API listen on"); said || err != nil {
			return err
		}
		if _, quiet := config["log-level"]; quiet {
			return tb.ping(ctx)
		}
		return errors.New("dockerd does not listen yet")
	})
}

// RestartEngine stops dockerd and starts it with daemonJSON, or with what is
// in the file already if that is nil. What lies in PluginSockets stays. A
// container that ignores SIGTERM, as a program without a handler does when it
// is the container's first, holds it up for 10 s unless live-restore is on.
func (tb *Testbed) RestartEngine(ctx context.Context, daemonJSON []byte) error {
	return tb.locked(ctx, func(l *ledger, programs map[string]string) error {
		if daemonJSON != nil {
			if _, err := parseDaemonJSON(daemonJSON); err != nil {
				return err
			}
		}
		engine := l.latest("engine")
		if err := tb.stop(ctx, engine); err != nil {
			return err
		}
		if daemonJSON != nil {
			if err := replaceFile(tb.DaemonJSON(), daemonJSON, 0o644); err != nil {
				return err
			}
		}
		return tb.startEngine(ctx, l, programs)
	})
}

// EnginePID is the process ID of dockerd.
func (tb *Testbed) EnginePID() (int, error) {
	l, err := openLedger(tb.dir)
	if err != nil {
		return 0, err
	}
	engine := l.latest("engine")
	if !engine.alive() {
		return 0, fmt.Errorf("the engine does not run; it said last:\n%s", tb.tail("engine"))
	}
	return engine.PID, nil
}

func readDaemonJSON(name string) (map[string]json.RawMessage, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return parseDaemonJSON(data)
}

func parseDaemonJSON(data []byte) (map[string]json.RawMessage, error) {
	var config map[string]json.RawMessage
	if err := json.Unmarshal(data, &config); err != nil {
		return nil, fmt.Errorf("daemon.json is no JSON object: %w", err)
	}
	return config, nil
}

// ping asks the engine anything at all. A refusal, by an authorization plugin
// say, is an answer too. It serves where the log tells nothing, because a
// plugin under test would see it.
func (tb *Testbed) ping(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine/_ping", http.NoBody)
	if err != nil {
		return err
	}
	response, err := tb.engineClient().Do(request)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// engineClient asks the engine's API without docker's client.
func (tb *Testbed) engineClient() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", tb.path("d.sock"))
	}}}
}

func logSize(name string) int64 {
	info, err := os.Stat(name)
	if err != nil {
		return 0
	}
	return info.Size()
}

// saidSince reports whether a log has words after its first offset bytes.
func saidSince(name string, offset int64, words string) (bool, error) {
	file, err := os.Open(name)
	if err != nil {
		return false, err
	}
	defer func() { _ = file.Close() }()
	said, err := io.ReadAll(io.NewSectionReader(file, offset, 1<<20)) // bytes; a start writes about 10 KiB
	return bytes.Contains(said, []byte(words)), err
}
