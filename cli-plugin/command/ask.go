package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/docker/cli/cli/command"
)

// ask puts a question to a person and wants one of the answers that mean yes.
// Where nobody is there to ask, nothing is done.
func ask(ctx context.Context, dockerCLI command.Cli, question string, yes ...string) error {
	if !dockerCLI.In().IsTerminal() {
		return errors.New("nobody is there to ask, and nothing was changed: give --yes to change without asking")
	}
	_, _ = fmt.Fprint(dockerCLI.Err(), question)
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(dockerCLI.In()).ReadString('\n')
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case <-ctx.Done():
		return fmt.Errorf("nothing was changed: %w", ctx.Err())
	case text := <-answer:
		if !slices.Contains(yes, text) {
			return errors.New("nothing was changed")
		}
		return nil
	}
}
