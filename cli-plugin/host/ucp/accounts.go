package ucp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/docker-stig/docker-stig/cli-plugin/host/mgmt"
)

// ErrNoAdmin says that the account is no administrator, or that UCP does not
// tell. Such an account sees a part of each list and is not told so.
var ErrNoAdmin = errors.New("this account is not known to be an administrator of UCP, and others see only a part: sign in as one with --ucp-username")

// RequireAdmin is nil if the account is an administrator.
func (c *Client) RequireAdmin(ctx context.Context) error {
	admin, err := c.admin.Get(func() (bool, error) { return c.isAdmin(ctx) })
	switch {
	case err != nil:
		return err
	case !admin:
		return ErrNoAdmin
	}
	return nil
}

func (c *Client) isAdmin(ctx context.Context) (bool, error) {
	username, _ := c.conn.Credentials()
	answer, err := c.session.Do(ctx, mgmt.Request{Method: http.MethodGet, Path: []string{"accounts", username}, Accept: "application/json", Limit: maxReply})
	if errors.Is(err, mgmt.NotFound) || errors.Is(err, mgmt.Forbidden) {
		return false, fmt.Errorf("%w (%w)", ErrNoAdmin, err)
	}
	if err != nil {
		return false, err
	}
	var account struct {
		IsAdmin *bool `json:"isAdmin"`
	}
	if err := answer.JSON(&account); err != nil {
		return false, err
	}
	if account.IsAdmin == nil {
		return false, fmt.Errorf("%w (%w)", ErrNoAdmin, answer.Malformed("the account has no field isAdmin"))
	}
	return *account.IsAdmin, nil
}

// Organizations lists the names of all organizations, sorted.
func (c *Client) Organizations(ctx context.Context) ([]string, error) {
	var names []string
	err := c.list(ctx, []string{"accounts"}, url.Values{"filter": {"orgs"}}, func(answer mgmt.Answer) (int, error) {
		var page struct {
			Accounts *[]struct {
				Name  string `json:"name"`
				IsOrg *bool  `json:"isOrg"`
			} `json:"accounts"`
		}
		if err := answer.JSON(&page); err != nil {
			return 0, err
		}
		if page.Accounts == nil {
			return 0, answer.Malformed("there is no list of accounts in it")
		}
		for _, account := range *page.Accounts {
			if account.Name == "" || account.IsOrg == nil {
				return 0, answer.Malformed("an account lacks its name or isOrg")
			}
			if *account.IsOrg {
				names = append(names, account.Name)
			}
		}
		return len(*page.Accounts), nil
	})
	slices.Sort(names)
	return names, err
}

// Teams lists the names of an organization's teams, sorted.
func (c *Client) Teams(ctx context.Context, org string) ([]string, error) {
	var names []string
	err := c.list(ctx, []string{"accounts", org, "teams"}, nil, func(answer mgmt.Answer) (int, error) {
		var page struct {
			Teams *[]struct {
				Name string `json:"name"`
			} `json:"teams"`
		}
		if err := answer.JSON(&page); err != nil {
			return 0, err
		}
		if page.Teams == nil {
			return 0, answer.Malformed("there is no list of teams in it")
		}
		for _, team := range *page.Teams {
			if team.Name == "" {
				return 0, answer.Malformed("a team has no name")
			}
			names = append(names, team.Name)
		}
		return len(*page.Teams), nil
	})
	slices.Sort(names)
	return names, err
}

// Members lists the names of a team's members, sorted.
func (c *Client) Members(ctx context.Context, org, team string) ([]string, error) {
	var names []string
	err := c.list(ctx, []string{"accounts", org, "teams", team, "members"}, nil, func(answer mgmt.Answer) (int, error) {
		var page struct {
			Members *[]struct {
				Member struct {
					Name string `json:"name"`
				} `json:"member"`
			} `json:"members"`
		}
		if err := answer.JSON(&page); err != nil {
			return 0, err
		}
		if page.Members == nil {
			return 0, answer.Malformed("there is no list of members in it")
		}
		for _, entry := range *page.Members {
			if entry.Member.Name == "" {
				return 0, answer.Malformed("a member has no name")
			}
			names = append(names, entry.Member.Name)
		}
		return len(*page.Members), nil
	})
	slices.Sort(names)
	return names, err
}
