package protect

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/moby/moby/api/types/container"

	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// logOptions say how the options of the engine's own log drivers are judged.
// The engine is root, and writes where they say and reads what they name. What
// is not here names nothing of the host; the options of a plugin are its own.
var logOptions = map[string]func(*judgement, container.LogConfig, string) error{
	"syslog-address":   (*judgement).logAddress,
	"fluentd-address":  (*judgement).logAddress,
	"gelf-address":     (*judgement).logAddress,
	"splunk-url":       (*judgement).logAddress,
	"awslogs-endpoint": (*judgement).logAddress,

	"syslog-tls-ca-cert": (*judgement).logFile,
	"syslog-tls-cert":    (*judgement).logFile,
	"syslog-tls-key":     (*judgement).logFile,
	"splunk-capath":      (*judgement).logFile,

	"tag":          (*judgement).logText,
	"labels":       (*judgement).logText,
	"labels-regex": (*judgement).logText,
	"env":          (*judgement).logText,
	"env-regex":    (*judgement).logText,
}

// logs judges where a container's log goes, and by what driver.
func (j *judgement) logs(c container.LogConfig) error {
	if err := Driver(c.Type); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(c.Config)) {
		judge, ok := logOptions[key]
		if !ok || c.Config[key] == "" {
			continue
		}
		if err := judge(j, c, key); err != nil && !j.engineLogs(key, c.Config[key]) {
			return err
		}
	}
	return nil
}

// networkSchemes are those of addresses to which the engine connects by way of
// the network.
var networkSchemes = []string{"udp", "tcp", "tcp+tls", "tls", "http", "https"}

// logAddress judges an address as syslog and fluentd read it.
func (j *judgement) logAddress(c container.LogConfig, key string) error {
	text := c.Config[key]
	u, err := url.Parse(text)
	switch {
	case err == nil && (u.Scheme == "unix" || u.Scheme == "unixgram"):
		return j.logSocket(key, u.Path)
	case !strings.Contains(text, "://"):
		return nil // HOST:PORT
	case err != nil || !slices.Contains(networkSchemes, u.Scheme):
		return refuseAll("the log option "+key+" "+quote(text), "is no address of a network", "give one, such as udp://HOST:PORT")
	default:
		return nil
	}
}

// logSocket judges a socket of the host. It takes an entry of its own in
// protect.binds, whatever folder it lies in: no container gets the socket by
// that, where the folder is protected.
func (j *judgement) logSocket(key, socket string) error {
	if j.opened(policy.SettingPaths) {
		return nil
	}
	listed, err := j.listed(socket)
	if err != nil || listed {
		return err
	}
	return j.refuseUnless(policy.SettingPaths, "list "+quote(socket)+" in protect.binds, or ", "the log option "+key+" with the socket "+quote(socket),
		"has the engine write to the host, as root, what the container says")
}

// logFile judges a file that the engine reads for a log, as a bind that is
// read-only.
func (j *judgement) logFile(c container.LogConfig, key string) error {
	file := c.Config[key]
	if listed, err := j.listed(file); err != nil || listed {
		return err
	}
	return byWayOf("the log option "+key, j.bind(bind{source: file, alone: true}))
}

// listed reports whether a path is itself an entry of protect.binds, or below
// one that means what is below.
func (j *judgement) listed(name string) (bool, error) {
	if !path.IsAbs(name) || len(name) > maxPath || strings.ContainsRune(name, 0) {
		return false, nil
	}
	if err := j.prepare(); err != nil {
		return false, err
	}
	name = path.Clean(name)
	f, err := j.tree.resolve(name)
	if err != nil {
		return false, nil //nolint:nilerr // what cannot be followed is not what was listed
	}
	return slices.ContainsFunc(j.entries, func(e entry) bool {
		if e.deep {
			return under(name, e.name) && under(f.path, e.path)
		}
		return e.loose == "" && f.loose == "" && e.path == f.path
	}), nil
}

// plainField is a part of a tag that comes out as a name or an ID.
var plainField = regexp.MustCompile(`\{\{ *\.(ID|FullID|Name|ImageID|ImageFullID|ImageName|DaemonName) *\}\}`)

// inLines are the log drivers that write a tag as it comes out, and what comes
// after the end of a line is a line of its own. Without a name it is the
// engine's default driver, which may be one of them.
var inLines = []string{"syslog", ""}

// logText judges what stands in each line of a log. A tag is a template, which
// can make of any text the end of a line.
func (j *judgement) logText(c container.LogConfig, key string) error {
	text := c.Config[key]
	asked := "the log option " + key + " " + quote(text)
	if strings.ContainsFunc(text, unicode.IsControl) {
		return refuseAll(asked, "holds a character that ends a line, or controls what shows it", "leave it out")
	}
	if key == "tag" && slices.Contains(inLines, c.Type) && strings.Contains(plainField.ReplaceAllString(text, ""), "{{") {
		return refuseAll(asked, "is a template that may come out as several lines", "use no fields but {{.Name}}, {{.ID}}, {{.FullID}}, {{.ImageName}}, {{.ImageID}}, {{.ImageFullID}} and {{.DaemonName}}, or name a log driver other than syslog")
	}
	return nil
}

const (
	// engineFile configures the engine, unless it is started with another.
	engineFile = "/etc/docker/daemon.json"
	// maxEngineFile bounds what is read of it.
	maxEngineFile = 1 << 20 // bytes; it has some hundred
)

// engineLogs reports whether an option is the engine's own: it writes its
// log-opts into every container that has its log driver, and root wrote them.
func (j *judgement) engineLogs(key, value string) bool {
	raw, err := j.engineConfig()
	if err != nil {
		return false
	}
	var config struct {
		LogOpts map[string]string `json:"log-opts"`
	}
	if err := json.Unmarshal(raw, &config); err != nil {
		return false
	}
	own, ok := config.LogOpts[key]
	return ok && own == value
}

func (j *judgement) engineConfig() ([]byte, error) {
	file, err := os.Open(filepath.Join(j.options.Root, engineFile))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxEngineFile+1))
	if err == nil && len(raw) > maxEngineFile {
		err = errors.New("it is too long")
	}
	return raw, err
}
