package dtr

import (
	"context"
	"fmt"

	"github.com/docker-stig/docker-stig/cli-plugin/host/mgmt"
)

// TeamAccess gives what a team may do, by repository: "read-only",
// "read-write" or "admin". All pages are read.
func (c *Client) TeamAccess(ctx context.Context, org, team string) (map[string]string, error) {
	access := map[string]string{}
	for answer, err := range c.pages(ctx, []string{"api", "v0", "accounts", org, "teams", team, "repositoryAccess"}, nil) {
		if err != nil {
			return nil, err
		}
		known := len(access)
		if err := accessOf(answer.Answer, access); err != nil {
			return nil, err
		}
		answer.entries = len(access) - known
	}
	return access, nil
}

// accessOf adds one page.
func accessOf(answer mgmt.Answer, access map[string]string) error {
	var page struct {
		List *[]struct {
			Level      string     `json:"accessLevel"`
			Repository Repository `json:"repository"`
		} `json:"repositoryAccessList"`
	}
	if err := answer.JSON(&page); err != nil {
		return err
	}
	if page.List == nil {
		return answer.Malformed("there is no repositoryAccessList in it")
	}
	for _, entry := range *page.List {
		r := entry.Repository
		if !component.MatchString(r.Namespace) || !component.MatchString(r.Name) || !component.MatchString(entry.Level) {
			return answer.Malformed(fmt.Sprintf("%.300q with access %.100q is no entry", r, entry.Level))
		}
		if _, twice := access[r.String()]; twice {
			return answer.Malformed(fmt.Sprintf("repository %s is listed twice: the pages repeat themselves", r))
		}
		access[r.String()] = entry.Level
	}
	return nil
}
