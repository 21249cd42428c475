package command

import (
	"errors"
	"sync"

	"github.com/docker/cli/cli/command"

	"github.com/docker-stig/docker-stig/cli-plugin/host/dtr"
	"github.com/docker-stig/docker-stig/cli-plugin/host/mgmt"
	"github.com/docker-stig/docker-stig/cli-plugin/host/ucp"
	"github.com/docker-stig/docker-stig/cli-plugin/site"
)

// places are those that flags, environment and site.yaml name. Each is opened
// once: a password may come from standard input.
func (o undoOptions) places(dockerCLI command.Cli) (places, error) {
	if o.host.ucp.PasswordFile == "-" && o.host.dtr.PasswordFile == "-" {
		return places{}, errors.New("--ucp-password-file and --dtr-password-file cannot both be standard input: put one into a file")
	}
	return places{
		dockerCLI: dockerCLI,
		ucp: sync.OnceValues(func() (*ucp.Client, error) {
			options, err := o.server(dockerCLI, "UCP", o.host.ucp, func(s site.Site) site.Server { return s.UCP.Server })
			if err != nil || options.URL == "" {
				return nil, err
			}
			return ucp.New(options)
		}),
		dtr: sync.OnceValues(func() (*dtr.Client, error) {
			options, err := o.server(dockerCLI, "DTR", o.host.dtr, func(s site.Site) site.Server { return s.DTR.Server })
			if err != nil || options.URL == "" {
				return nil, err
			}
			return dtr.New(dtr.Options{Options: options})
		}),
	}, nil
}

// server gathers how UCP or DTR is reached.
func (o undoOptions) server(dockerCLI command.Cli, name string, flag site.Server, of func(site.Site) site.Server) (mgmt.Options, error) {
	values, err := site.Load(o.host.site)
	if err != nil {
		return mgmt.Options{}, err
	}
	return serverOptions(dockerCLI, name, flag, of(values))
}
