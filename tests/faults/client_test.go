package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"
)

// object is a JSON object.
type object = map[string]any

// An answer is the engine's.
type answer struct {
	code int
	body string
	took time.Duration
}

// denied reports whether it was the plugin that said no, or the engine for want
// of the plugin.
func (a answer) denied() bool {
	return a.code == http.StatusForbidden || strings.Contains(a.body, "docker-stig-authz")
}

// cut reports whether the plugin died over the question. The engine repeats it
// without its body, and the plugin refuses that.
func (a answer) cut() bool {
	return strings.Contains(a.body, "empty question") || strings.Contains(a.body, "authz plugin docker-stig-authz failed") ||
		strings.Contains(a.body, "plugin docker-stig-authz failed with error")
}

// A client speaks to an engine's socket.
type client struct{ *http.Client }

func newClient(b *bed) client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(b.Dir(), "d.sock"))
	}
	return client{&http.Client{Transport: &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 16}}}
}

// ask sends a request, whose body is bytes or is made JSON, and reads the
// answer to its end.
func (c client) ask(ctx context.Context, method, path string, body any) (answer, error) {
	began := time.Now()
	req, err := request(ctx, method, path, body)
	if err != nil {
		return answer{}, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return answer{took: time.Since(began)}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, string(text), time.Since(began)}, err
}

func request(ctx context.Context, method, path string, body any) (*http.Request, error) {
	var reader io.Reader = http.NoBody
	if raw, ok := body.([]byte); ok {
		reader = bytes.NewReader(raw)
	} else if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		reader = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://engine"+path, reader)
	if err == nil && body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, err
}

// create makes a container and gives its ID, or no ID and the engine's answer.
func (c client) create(ctx context.Context, name, image string, program ...string) (string, answer, error) {
	got, err := c.ask(ctx, http.MethodPost, "/containers/create?name="+name, container(image, program...))
	if err != nil || got.code != http.StatusCreated {
		return "", got, err
	}
	var made struct{ ID string }
	if err := json.Unmarshal([]byte(got.body), &made); err != nil || made.ID == "" {
		return "", got, fmt.Errorf("no ID in %q: %w", got.body, err)
	}
	return made.ID, got, nil
}

// container is the body of a create. StopSignal lets the engine stop it at
// once.
func container(image string, program ...string) object {
	config := object{"Image": image, "StopSignal": "SIGKILL", "HostConfig": object{"NetworkMode": "none"}}
	if len(program) > 0 {
		config["Cmd"] = program
	}
	return config
}
