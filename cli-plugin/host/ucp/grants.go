package ucp

import (
	"cmp"
	"context"
	"net/url"
	"slices"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/host/mgmt"
)

// rootCollection is the ID of the collection "/".
const rootCollection = "swarm"

// A Grant gives a subject a role on a collection. Each part has a name, and
// the ID that UCP keeps; a part that UCP does not name has its ID as name.
type Grant struct {
	Subject, SubjectID       string // "alice", "ops", "ops/web"
	Role, RoleID             string // "Full Control", "fullcontrol"
	Collection, CollectionID string // "/Shared/Private", "/"

	UnnamedSubject, UnnamedCollection bool // UCP does not name it
}

// String is "SUBJECT ROLE COLLECTION".
func (g Grant) String() string { return g.Subject + " " + g.Role + " " + g.Collection }

// Is reports whether text names the grant. Each part may be the name or the
// ID.
func (g Grant) Is(text string) bool {
	words := strings.Join(strings.Fields(text), " ")
	for _, subject := range []string{g.Subject, g.SubjectID} {
		for _, role := range []string{g.Role, g.RoleID} {
			for _, collection := range []string{g.Collection, g.CollectionID} {
				if words == subject+" "+role+" "+collection {
					return true
				}
			}
		}
	}
	return false
}

// Grants lists all grants, in the order of their names, asked for once. The
// account has to be an administrator: see Admin.
func (c *Client) Grants(ctx context.Context) ([]Grant, error) {
	return c.grants.Get(func() ([]Grant, error) { return c.listGrants(ctx) })
}

func (c *Client) listGrants(ctx context.Context) ([]Grant, error) {
	roles, err := c.roles(ctx)
	if err != nil {
		return nil, err
	}
	collections, err := c.collections(ctx)
	if err != nil {
		return nil, err
	}
	var grants []Grant
	err = c.list(ctx, []string{"collectionGrants"},
		url.Values{"subjectType": {"all"}, "expandUser": {"true"}, "showPaths": {"true"}},
		func(answer mgmt.Answer) (int, error) {
			page, err := grantsOf(answer, roles, collections)
			grants = append(grants, page...)
			return len(page), err
		})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(grants, func(a, b Grant) int {
		return cmp.Or(strings.Compare(a.String(), b.String()), strings.Compare(a.SubjectID+a.RoleID+a.CollectionID, b.SubjectID+b.RoleID+b.CollectionID))
	})
	return slices.Compact(grants), nil
}

// grantsOf reads one page, with the names that roles and collections have.
func grantsOf(answer mgmt.Answer, roles, collections map[string]string) ([]Grant, error) {
	var page struct {
		Grants *[]struct {
			SubjectID string `json:"subjectID"`
			RoleID    string `json:"roleID"`
			ObjectID  string `json:"objectID"`
		} `json:"grants"`
		Subjects []subject `json:"subjects"`
	}
	if err := answer.JSON(&page); err != nil {
		return nil, err
	}
	if page.Grants == nil {
		return nil, answer.Malformed("there is no list of grants in it")
	}
	subjects := namesOf(page.Subjects)
	grants := make([]Grant, 0, len(*page.Grants))
	for _, g := range *page.Grants {
		if g.SubjectID == "" || g.RoleID == "" || g.ObjectID == "" {
			return nil, answer.Malformed("a grant lacks its subject, role or object")
		}
		grant := Grant{SubjectID: g.SubjectID, RoleID: g.RoleID, CollectionID: g.ObjectID}
		grant.Subject, grant.Role = cmp.Or(subjects[g.SubjectID], g.SubjectID), cmp.Or(roles[g.RoleID], g.RoleID)
		grant.Collection = cmp.Or(collections[g.ObjectID], g.ObjectID)
		// An account of Kubernetes is named by its ID, and so are its namespaces.
		grant.UnnamedSubject = subjects[g.SubjectID] == "" && !strings.HasPrefix(g.SubjectID, "system:")
		grant.UnnamedCollection = collections[g.ObjectID] == "" && g.ObjectID != "kubernetesnamespaces"
		grants = append(grants, grant)
	}
	return grants, nil
}

// A subject is whom a grant is given to: a user, an organization or a team.
type subject struct {
	ID      string `json:"id"`
	Account struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"account"`
	Team struct {
		Name  string `json:"name"`
		OrgID string `json:"orgID"`
	} `json:"team"`
}

// namesOf gives the names of subjects by ID. A team is ORG/TEAM where its
// organization is named beside it.
func namesOf(subjects []subject) map[string]string {
	accounts, names := map[string]string{}, map[string]string{}
	for _, s := range subjects {
		accounts[cmp.Or(s.Account.ID, s.ID)] = s.Account.Name
	}
	for _, s := range subjects {
		switch org := cmp.Or(accounts[s.Team.OrgID], s.Account.Name); {
		case s.Team.Name == "":
			names[s.ID] = s.Account.Name
		case org != "":
			names[s.ID] = org + "/" + s.Team.Name
		}
	}
	return names
}

// roles gives the names of roles by ID.
func (c *Client) roles(ctx context.Context) (map[string]string, error) {
	names := map[string]string{}
	err := c.list(ctx, []string{"roles"}, nil, func(answer mgmt.Answer) (int, error) {
		var page *[]struct{ ID, Name string }
		if err := answer.JSON(&page); err != nil {
			return 0, err
		}
		if page == nil {
			return 0, answer.Malformed("there is no list of roles in it")
		}
		for _, role := range *page {
			names[role.ID] = role.Name
		}
		return len(*page), nil
	})
	return names, err
}

// collections gives the paths of collections by ID.
func (c *Client) collections(ctx context.Context) (map[string]string, error) {
	paths := map[string]string{rootCollection: "/"}
	err := c.list(ctx, []string{"collections"}, nil, func(answer mgmt.Answer) (int, error) {
		var page *[]struct{ ID, Path string }
		if err := answer.JSON(&page); err != nil {
			return 0, err
		}
		if page == nil {
			return 0, answer.Malformed("there is no list of collections in it")
		}
		for _, collection := range *page {
			paths[collection.ID] = collection.Path
		}
		return len(*page), nil
	})
	return paths, err
}
