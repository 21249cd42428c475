// Package documents are what a fix changes over an API: UCP's configuration,
// the specification of a swarm, what can be updated of a container. Each is
// read and put whole, and put back the same way; a put reads back what it
// wrote, and says plainly what state it found.
package documents

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/moby/moby/client"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/change/jsonedit"
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
}

// Open finds a document by its target.
func (p Places) Open(target string) (Document, error) {
	id, container := strings.CutPrefix(target, change.Container)
	switch {
	case target == change.UCPConfig && p.UCP == nil:
		return nil, errors.New("no UCP was given: give --ucp-url, --ucp-username and --ucp-password-file, or the same in site.yaml")
	case target == change.UCPConfig:
		return ucpConfig{p.UCP}, nil
	case p.Engine == nil:
		return nil, errors.New("the engine cannot be asked: name it with --context or DOCKER_HOST")
	case target == change.SwarmSpec:
		return swarmSpec{p.Engine}, nil
	case container:
		return containerLimits{p.Engine, id}, nil
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

// state says what a document turned out to be after a put that failed.
func state(what string, now, before []byte, putErr error) error {
	if bytes.Equal(now, before) {
		return fmt.Errorf("%s kept its old configuration: %w", what, errors.Join(putErr, errors.New("nothing has changed")))
	}
	return fmt.Errorf("%s holds something else than was put there: %w", what, errors.Join(putErr, errors.New("it is not what was meant")))
}
