package testbed

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// A Container is what the engine says of one, running or not.
type Container struct {
	ID      string
	Name    string // without the slash
	Image   string // as it was asked for
	ImageID string
	State   string    // created, running, paused, restarting, exited, dead
	Started time.Time // zero if it never was
}

// Docker runs the real docker client against the testbed's engine and returns
// its standard output. The error holds what it said on standard error, and
// wraps an *exec.ExitError.
func (tb *Testbed) Docker(ctx context.Context, args ...string) (string, error) {
	return tb.docker(ctx, nil, args...)
}

func (tb *Testbed) docker(ctx context.Context, stdin []byte, args ...string) (string, error) {
	cmd := command(ctx, append([]string{tb.client}, args...)...)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), isForeign), tb.Env()...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("docker %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

func isForeign(assignment string) bool {
	key, _, _ := strings.Cut(assignment, "=")
	return slices.Contains(foreign, key)
}

// Containers are all containers of the engine. A request that was refused
// leaves none that started, and this is how to see it.
func (tb *Testbed) Containers(ctx context.Context) ([]Container, error) {
	ids, err := tb.Docker(ctx, "ps", "--all", "--quiet", "--no-trunc")
	if err != nil {
		return nil, err
	}
	args := append([]string{"container", "inspect"}, strings.Fields(ids)...)
	if len(args) == 2 {
		return nil, nil
	}
	out, err := tb.Docker(ctx, args...)
	if err != nil {
		return nil, err
	}
	return parseContainers([]byte(out))
}

// States counts the engine's containers by state.
func (tb *Testbed) States(ctx context.Context) (map[string]int, error) {
	containers, err := tb.Containers(ctx)
	if err != nil {
		return nil, err
	}
	count := map[string]int{}
	for _, c := range containers {
		count[c.State]++
	}
	return count, nil
}

// parseContainers reads the answer of `docker container inspect`.
func parseContainers(data []byte) ([]Container, error) {
	var answer []struct {
		ID     string `json:"Id"`
		Name   string
		Image  string
		Config struct{ Image string }
		State  struct {
			Status    string
			StartedAt time.Time // 0001-01-01T00:00:00Z, the zero Time, before the first start
		}
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return nil, fmt.Errorf("reading the engine's containers: %w", err)
	}
	var containers []Container
	for _, c := range answer {
		containers = append(containers, Container{
			ID: c.ID, Name: strings.TrimPrefix(c.Name, "/"), Image: c.Config.Image, ImageID: c.Image,
			State: c.State.Status, Started: c.State.StartedAt,
		})
	}
	return containers, nil
}
