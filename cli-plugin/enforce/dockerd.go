package enforce

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/host/daemon"
	"github.com/docker-stig/docker-stig/cli-plugin/host/process"
)

const (
	// maxConfig bounds daemon.json and what /proc tells of a process.
	maxConfig = 4 << 20 // bytes; a daemon.json is some KiB
	// maxPolicy bounds a policy, as those who read it do.
	maxPolicy = 32 << 20 // bytes
)

// ErrRemote says that the files of the engine's host cannot be seen from here.
var ErrRemote = errors.New("this connection does not lead to an engine on this machine: run it on the engine's own host, with the engine's own socket")

// A Dockerd is the engine that runs, as its process and its files tell.
type Dockerd struct {
	Socket     string // that it is asked on
	PID        int
	Args       []string
	ConfigFile string // its daemon.json
	Config     []byte // nil: there is none
	ConfigErr  error  // it is there, and what it says cannot be told
	Managed    bool   // systemd runs it, as docker.service
}

// FindDockerd finds the engine behind a docker endpoint. init is nil where
// there is no systemd.
func FindDockerd(ctx context.Context, address string, init *Systemd) (*Dockerd, error) {
	socket, ok := strings.CutPrefix(address, "unix://")
	if !ok {
		return nil, ErrRemote
	}
	d := &Dockerd{Socket: socket}
	unit := 0
	if init != nil {
		unit, _ = init.MainPID(ctx, engineService) // 0: it is not that unit's
	}
	peer, err := process.Behind(ctx, socket)
	if err != nil {
		return nil, fmt.Errorf("the engine does not answer on %s: start it, and run this as root (%w)", socket, cause(err))
	}
	switch {
	case process.Runs(peer, "dockerd"):
		d.PID = peer
	case unit > 0 && process.Runs(unit, "dockerd"):
		d.PID = unit // systemd or the guard holds the socket
	default:
		return nil, fmt.Errorf("cannot tell which process is the engine behind %s: %w", socket, ErrRemote)
	}
	d.Managed = unit == d.PID
	raw, err := readBounded(fmt.Sprintf("/proc/%d/cmdline", d.PID), maxConfig)
	if err != nil {
		return nil, err
	}
	d.Args = strings.Split(strings.TrimRight(string(raw), "\x00"), "\x00")
	return d, d.readConfig()
}

// readConfig reads daemon.json, which has to be the same file for the engine
// and for us.
func (d *Dockerd) readConfig() error {
	d.ConfigFile = last(d.flags().Values("config-file"), defaultConfig)
	if !filepath.IsAbs(d.ConfigFile) {
		from, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", d.PID))
		if err != nil {
			return fmt.Errorf("looking for the engine's configuration: %w", err)
		}
		d.ConfigFile = filepath.Join(from, d.ConfigFile)
	}
	theirs, theirErr := os.Stat(d.view(filepath.Dir(d.ConfigFile)))
	ours, ourErr := os.Stat(filepath.Dir(d.ConfigFile))
	if (theirErr == nil) != (ourErr == nil) || theirErr == nil && !os.SameFile(theirs, ours) {
		return fmt.Errorf("the engine sees another %s than this program: %w", filepath.Dir(d.ConfigFile), ErrRemote)
	}
	raw, err := readBounded(d.ConfigFile, maxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the engine's configuration: %w", err)
	}
	d.Config, d.ConfigErr = raw, plainConfig(raw)
	return nil
}

// plainConfig wants a daemon.json that this program reads as the engine does.
// Newer engines read more: one that begins with a byte order mark.
func plainConfig(raw []byte) error {
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil
	}
	_, _, err := daemonConfig(raw)
	return err
}

// view is a path as the engine sees it.
func (d *Dockerd) view(path string) string { return fmt.Sprintf("/proc/%d/root%s", d.PID, path) }

// PluginSocket is where the engine finds the plugin, as seen from here.
func (d *Dockerd) PluginSocket() string { return d.view(pluginSocket) }

// flags are those of its command line.
func (d *Dockerd) flags() daemon.Flags {
	if len(d.Args) == 0 {
		return nil
	}
	return daemon.ParseFlags(d.Args[1:])
}

// Hosts are the addresses that the engine is told to listen on when it starts.
func (d *Dockerd) Hosts() []string {
	hosts := daemon.Hosts(append(d.flags().Values("host"), d.list("hosts")...))
	if len(hosts) == 0 {
		return []string{defaultEngine}
	}
	return hosts
}

// portOf is the port of a TCP host that the engine was told.
func (d *Dockerd) portOf(host string) string {
	address, _, _ := strings.Cut(strings.TrimPrefix(host, "tcp://"), "/")
	if _, port, err := net.SplitHostPort(address); err == nil {
		return port
	}
	if d.VerifiesTLS() {
		return "2376"
	}
	return "2375"
}

// VerifiesTLS reports whether who connects over TCP has to show a certificate.
func (d *Dockerd) VerifiesTLS() bool {
	spec, _ := daemon.Lookup("tlsverify")
	if told := d.flags().Value(spec); told != nil {
		return told.On()
	}
	var config struct {
		Verify bool `json:"tlsverify"`
	}
	return json.Unmarshal(d.Config, &config) == nil && config.Verify
}

// FlagPlugins are the plugins that the command line names. With them,
// daemon.json may name none: the engine would not start.
func (d *Dockerd) FlagPlugins() []string { return d.flags().Values("authorization-plugin") }

// Configured reports whether the files say that the engine asks the plugin.
func (d *Dockerd) Configured() bool {
	return slices.Contains(append(d.FlagPlugins(), d.list(pluginsKey)...), PluginName)
}

func (d *Dockerd) list(key string) []string {
	var config map[string]json.RawMessage
	if json.Unmarshal(d.Config, &config) != nil {
		return nil
	}
	var values []string
	if json.Unmarshal(config[key], &values) != nil {
		return nil
	}
	return values
}

func last(values []string, otherwise string) string {
	if len(values) == 0 {
		return otherwise
	}
	return values[len(values)-1]
}

func readBounded(path string, most int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, most+1))
	if err == nil && int64(len(raw)) > most {
		return nil, fmt.Errorf("%s has more than %d MiB: is it the right file?", path, most>>20)
	}
	return raw, err
}
