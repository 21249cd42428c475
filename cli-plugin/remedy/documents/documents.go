// Package documents are what a fix changes over an API: UCP's configuration,
// DTR's settings, the specification of a swarm, each limit of a container that
// can be updated. Each is read and put whole, and put back the same way; a put
// reads back what it wrote, and says plainly what state it found.
package documents

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/moby/moby/client"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/change/jsonedit"
	"github.com/docker-stig/docker-stig/cli-plugin/host/dtr"
	"github.com/docker-stig/docker-stig/cli-plugin/host/ucp"
	"github.com/docker-stig/docker-stig/cli-plugin/remedy/transaction"
)

// A Document can be edited, besides.
type Document interface {
	transaction.Document
	// Edit is the document with settings. It changes nothing but bytes.
	Edit(doc []byte, settings []change.Setting) ([]byte, error)
}

// Engine is what documents ask of an engine.
type Engine interface {
	ContainerInspect(ctx context.Context, container string, options client.ContainerInspectOptions) (client.ContainerInspectResult, error)
	ContainerUpdate(ctx context.Context, container string, updateConfig client.ContainerUpdateOptions) (client.ContainerUpdateResult, error)
	SwarmInspect(ctx context.Context, options client.SwarmInspectOptions) (client.SwarmInspectResult, error)
	SwarmUpdate(ctx context.Context, options client.SwarmUpdateOptions) (client.SwarmUpdateResult, error)
}

// Places are where documents lie. A nil one was not given.
type Places struct {
	Engine Engine
	UCP    *ucp.Client
	DTR    *dtr.Client
	// Talk tells a person what went otherwise than it should, and well all
	// the same; nil: nobody listens.
	Talk func(text string)
}

// Open finds a document by its target.
func (p Places) Open(target string) (Document, error) {
	limit, container := strings.CutPrefix(target, change.Container)
	switch {
	case target == change.UCPConfig && p.UCP == nil:
		return nil, errors.New("no UCP was given: give --ucp-url, --ucp-username and --ucp-password-file, or the same in site.yaml")
	case target == change.UCPConfig:
		return ucpConfig{p.UCP, p.Talk}, nil
	case target == change.DTRSettings && p.DTR == nil:
		return nil, errors.New("no DTR was given: give --dtr-url, --dtr-username and --dtr-password-file, or the same in site.yaml")
	case target == change.DTRSettings:
		return dtrSettings{p.DTR, p.Talk}, nil
	case p.Engine == nil:
		return nil, errors.New("the engine cannot be asked: name it with --context or DOCKER_HOST")
	case target == change.SwarmSpec:
		return swarmSpec{p.Engine}, nil
	case container:
		return openContainer(p.Engine, limit)
	}
	return nil, fmt.Errorf("%s cannot be changed from here: please report this", target)
}

// editJSON sets members of a JSON document.
func editJSON(doc []byte, settings []change.Setting) ([]byte, error) {
	var err error
	for _, s := range settings {
		if doc, err = jsonedit.Set(doc, s.Pointer, s.Value); err != nil {
			return nil, err
		}
	}
	return doc, nil
}

// state says what a document turned out to be after a put that failed, or that
// did not do what its answer says.
func state(what string, kept bool, putErr error) error {
	if putErr == nil {
		putErr = fmt.Errorf("%s answered that all went well: look at its log", what)
	}
	if kept {
		return fmt.Errorf("%s kept its old configuration, so nothing has changed: %w", what, putErr)
	}
	return fmt.Errorf("%s holds something else than was put there, neither what it was nor what was meant: %w", what, putErr)
}

// despite tells of a put that was answered with an error and took effect.
func despite(talk func(string), what string, putErr error) {
	if putErr != nil && talk != nil {
		talk(fmt.Sprintf("%s answered with an error, and holds what was meant all the same, read back whole: %v", what, putErr))
	}
}
