package rules

import (
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/host/audit"
	"github.com/spf13/pflag"
)

// A dockerExec is the command line of docker exec.
type dockerExec struct {
	privileged bool
	user       string
	container  string // or the service, for docker compose exec
}

// readDockerExec reads a command line as docker's client does, with the
// library that it uses. One that the client refuses ran nothing.
//
// https://docs.docker.com/reference/cli/docker/
func readDockerExec(exec audit.Exec) (dockerExec, bool) {
	if !isDockerClient(exec) || len(exec.Args) < 2 {
		return dockerExec{}, false
	}
	args, ok := behindFlags(globalFlags(), exec.Args[1:])
	if ok && len(args) > 0 && args[0] == "compose" {
		args, ok = behindFlags(composeFlags(), args[1:])
	} else if ok && len(args) > 0 && args[0] == "container" {
		args = args[1:]
	}
	if !ok || len(args) == 0 || args[0] != "exec" {
		return dockerExec{}, false
	}
	var e dockerExec
	flags := newFlags("exec")
	flags.BoolVar(&e.privileged, "privileged", false, "")
	flags.StringVarP(&e.user, "user", "u", "", "")
	for name, short := range map[string]string{"detach": "d", "interactive": "i", "tty": "t", "no-tty": "T", "no-TTY": ""} {
		flags.BoolP(name, short, false, "")
	}
	for name, short := range map[string]string{"detach-keys": "", "env": "e", "env-file": "", "workdir": "w", "index": ""} {
		flags.StringArrayP(name, short, nil, "")
	}
	rest, ok := behindFlags(flags, args[1:])
	if !ok && exec.Whole {
		return dockerExec{}, false
	}
	if len(rest) > 0 {
		e.container = rest[0]
	}
	return e, true
}

// newFlags are flags that end at the first word that is none, as docker's
// client has them. Flags of newer clients are passed over.
func newFlags(name string) *pflag.FlagSet {
	flags := pflag.NewFlagSet(name, pflag.ContinueOnError)
	flags.SetInterspersed(false)
	flags.ParseErrorsAllowlist.UnknownFlags = true
	flags.Usage = func() {}
	return flags
}

func behindFlags(flags *pflag.FlagSet, args []string) ([]string, bool) {
	if err := flags.Parse(args); err != nil {
		return nil, false
	}
	return flags.Args(), true
}

// globalFlags stand before docker's commands.
func globalFlags() *pflag.FlagSet {
	flags := newFlags("docker")
	for name, short := range map[string]string{"debug": "D", "tls": "", "tlsverify": "", "version": "v"} {
		flags.BoolP(name, short, false, "")
	}
	for name, short := range map[string]string{"config": "", "context": "c", "host": "H", "log-level": "l", "tlscacert": "", "tlscert": "", "tlskey": ""} {
		flags.StringArrayP(name, short, nil, "")
	}
	return flags
}

// composeFlags stand before the commands of docker compose.
func composeFlags() *pflag.FlagSet {
	flags := newFlags("compose")
	for _, name := range strings.Fields("all-resources compatibility dry-run verbose no-ansi") {
		flags.Bool(name, false, "")
	}
	for name, short := range map[string]string{"ansi": "", "env-file": "", "file": "f", "parallel": "", "profile": "", "progress": "", "project-directory": "", "project-name": "p", "workdir": ""} {
		flags.StringArrayP(name, short, nil, "")
	}
	return flags
}
