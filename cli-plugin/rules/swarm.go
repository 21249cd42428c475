package rules

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/shared/stig"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"
)

// swarmRules are about the swarm that the engine is a node of. Its rotation of
// the unlock key is for a person to tell.
var swarmRules = []Rule{
	{ // V-235823, CAT II. https://docs.docker.com/engine/swarm/swarm_manager_locking/
		IDs: []stig.ID{"DKER-EE-002400"}, Applies: inSwarm, Check: managerCheck(judgeAutolock), Fix: fixAutolock,
		Steps:    []Step{{"The swarm locks its managers when they start again", "judgeAutolock"}},
		Readings: []string{"The guide prints the unlock key to see that there is one. The engine says whether managers lock without telling a secret.", swarmReading},
	},
	{ // V-235826, CAT II. https://docs.docker.com/engine/swarm/secrets/
		IDs: []stig.ID{"DKER-EE-002660"}, Applies: needsSecrets, Check: checkSecrets,
		Steps:    []Step{{"Each application of the plan that has to use secrets has them", "judgeSecrets"}},
		Readings: []string{"swarm.secrets in site.yaml has the plan's services and their secrets; a service uses those that its specification names. A service with an empty list has to use one at least. Secrets of Kubernetes satisfy the guide too, and cannot be seen from an engine: answer for them.", swarmReading},
	},
	{ // V-235848, CAT II. https://docs.docker.com/engine/swarm/admin_guide/
		IDs: []stig.ID{"DKER-EE-005060"}, Applies: inSwarm, Check: managerCheck(judgeManagers),
		Steps:    []Step{{"The swarm has one, two or three managers", "judgeManagers"}},
		Readings: []string{"The guide's other command counts the leaders, of which there is always one: the managers are counted.", swarmReading},
	},
	{ // V-235850, CAT II. https://docs.docker.com/engine/swarm/how-swarm-mode-works/pki/
		IDs: []stig.ID{"DKER-EE-005080"}, Applies: inSwarm, Check: managerCheck(judgeExpiry), Fix: fixExpiry,
		Steps:    []Step{{"The lifetime of the nodes' certificates is the plan's", "judgeExpiry"}},
		Readings: []string{"docker info rounds the lifetime; it is compared to the second.", swarmReading},
	},
	{ // V-235872, CAT II. https://docs.docker.com/engine/network/drivers/overlay/#encrypt-traffic-on-an-overlay-network
		IDs: []stig.ID{"DKER-EE-006240"}, Applies: hasOverlays, Check: checkOverlays,
		Steps: []Step{
			{"Each overlay network has the option encrypted", "judgeOverlay"},
			{"For one without it there is evidence that its applications encrypt", "judgeOverlay"},
		},
		Readings: []string{
			"The guide leaves out lines with dtr, and names that end in interlock or ingress. What they mean are the networks of DTR and UCP and the swarm's own ingress: dtr, dtr-…, …interlock, ingress. Another name that happens to have dtr in it is judged.",
			"The option counts whatever its value: the engine encrypts as soon as it is there.",
		},
	},
	{ // V-235873, CAT II. https://docs.docker.com/reference/cli/docker/swarm/init/#listen-addr
		IDs: []stig.ID{"DKER-EE-006270"}, Applies: listensForSwarm, Check: checkListener,
		Steps:    []Step{{"The manager listens on port 2377 of one address alone", "judgeListener"}},
		Readings: []string{"The port is the one that the manager advertises, which is 2377 unless it was told otherwise. A worker listens on none."},
	},
}

const swarmReading = "Where there is no swarm the requirement does not apply. A worker knows nothing of its swarm: there it is not reviewed, and a manager has to be asked."

// errWorker says that the question is one for a manager.
var errWorker = errors.New("this node is a worker, and only a manager knows: run docker stig check on a manager of this swarm")

const noSwarm = "the engine is in no swarm"

func inSwarm(ctx context.Context, h *host.Host) (string, error) {
	s, err := h.Swarm(ctx)
	if err == nil && s.Role == host.Alone {
		return noSwarm, nil
	}
	return "", err
}

// managerCheck judges what a manager tells of the swarm.
func managerCheck(judge func(h *host.Host, s host.Swarm) stig.Finding) func(context.Context, *host.Host) ([]stig.Finding, error) {
	return func(ctx context.Context, h *host.Host) ([]stig.Finding, error) {
		s, err := h.Swarm(ctx)
		if err != nil {
			return nil, err
		}
		if s.Role != host.Manager {
			return nil, errWorker
		}
		if s.Untold != nil {
			return nil, s.Untold
		}
		f := judge(h, s)
		f.Object = "swarm"
		return []stig.Finding{f}, nil
	}
}

func swarmFact(field, answer string) []stig.Fact {
	return []stig.Fact{{Source: "engine", Asked: "GET /info Swarm." + field, Answer: answer}}
}

func judgeAutolock(_ *host.Host, s host.Swarm) stig.Finding {
	f := stig.Finding{
		Status: stig.NotAFinding, Details: "managers lock when they start again (AutoLockManagers is true)",
		Evidence: swarmFact("Cluster.Spec.EncryptionConfig.AutoLockManagers", fmt.Sprint(s.Spec.EncryptionConfig.AutoLockManagers)),
	}
	if !s.Spec.EncryptionConfig.AutoLockManagers {
		f.Status = stig.Open
		f.Details = "managers do not lock when they start again (AutoLockManagers is false), so the swarm's keys lie readable on their disks: docker swarm update --autolock=true, and keep the key that it prints"
	}
	return f
}

const maxManagers = 3 // DISA's V2R2, V-235848

func judgeManagers(_ *host.Host, s host.Swarm) stig.Finding {
	f := stig.Finding{Status: stig.NotAFinding, Details: fmt.Sprintf("the swarm has %d managers", s.Managers), Evidence: swarmFact("Managers", fmt.Sprint(s.Managers))}
	switch {
	case s.Managers < 1:
		f.Status, f.Details = stig.NotReviewed, "the engine is a manager and does not say how many there are: look at docker node ls"
	case s.Managers > maxManagers:
		f.Status, f.Details = stig.Open, fmt.Sprintf("the swarm has %d managers and should have 1 to %d: docker node demote those that are too many", s.Managers, maxManagers)
	}
	return f
}

func judgeExpiry(h *host.Host, s host.Swarm) stig.Finding {
	have := s.Spec.CAConfig.NodeCertExpiry
	f := stig.Finding{Evidence: swarmFact("Cluster.Spec.CAConfig.NodeCertExpiry", have.String())}
	if h.Site.Swarm.NodeCertExpiry == "" {
		f.Details = fmt.Sprintf("certificates of nodes live for %s; whether that is the plan's lifetime is for the site to say: set swarm.node-cert-expiry in site.yaml", have)
		return f
	}
	want, err := time.ParseDuration(h.Site.Swarm.NodeCertExpiry)
	switch {
	case err != nil:
		f.Details = fmt.Sprintf("swarm.node-cert-expiry in site.yaml is %q: want hours such as 2160h for 90 days", h.Site.Swarm.NodeCertExpiry)
	case have != want:
		f.Status, f.Details = stig.Open, fmt.Sprintf("certificates of nodes live for %s and should for %s: docker swarm update --cert-expiry %s", have, want, h.Site.Swarm.NodeCertExpiry)
	default:
		f.Status, f.Details = stig.NotAFinding, fmt.Sprintf("certificates of nodes live for %s, as the plan says", have)
	}
	return f
}

// needsSecrets: without a swarm there are no secrets of it, unless the plan
// wants some.
func needsSecrets(ctx context.Context, h *host.Host) (string, error) {
	if len(h.Site.Swarm.Secrets) > 0 {
		return "", nil
	}
	return inSwarm(ctx, h)
}

func checkSecrets(ctx context.Context, h *host.Host) ([]stig.Finding, error) {
	s, err := h.Swarm(ctx)
	switch {
	case err != nil:
		return nil, err
	case s.Role == host.Alone:
		return nil, errors.New("swarm.secrets in site.yaml names services, and the engine is in no swarm: run docker stig check on a manager of theirs")
	case s.Role != host.Manager:
		return nil, errWorker
	}
	secrets, err := h.Engine.SecretList(ctx, client.SecretListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing the swarm's secrets: %w", err)
	}
	if secrets.Items == nil || slices.ContainsFunc(secrets.Items, func(s swarm.Secret) bool { return s.ID == "" }) {
		return nil, errors.New("listing the swarm's secrets: the engine's answer is no list of them: look at docker secret ls")
	}
	evidence := []stig.Fact{{Source: "engine", Asked: "GET /secrets", Answer: fmt.Sprintf("%d secrets", len(secrets.Items))}}
	if h.Site.Swarm.Secrets == nil {
		return []stig.Finding{{Evidence: evidence, Details: fmt.Sprintf("the swarm has %d secrets; which services have to use some is for the plan to say: set swarm.secrets in site.yaml ({} if none has to)", len(secrets.Items))}}, nil
	}
	services, err := h.Engine.ServiceList(ctx, client.ServiceListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing the swarm's services: %w", err)
	}
	used := map[string][]string{} // secrets by service
	for _, service := range services.Items {
		used[service.Spec.Name] = []string{}
		if spec := service.Spec.TaskTemplate.ContainerSpec; spec != nil {
			for _, secret := range spec.Secrets {
				if secret != nil {
					used[service.Spec.Name] = append(used[service.Spec.Name], secret.SecretName)
				}
			}
		}
	}
	findings := []stig.Finding{{Status: stig.NotAFinding, Evidence: evidence, Details: fmt.Sprintf("the plan has %d services that use secrets", len(h.Site.Swarm.Secrets))}}
	for _, service := range slices.Sorted(maps.Keys(h.Site.Swarm.Secrets)) {
		findings = append(findings, judgeSecrets(service, h.Site.Swarm.Secrets[service], used))
	}
	return findings, nil
}

// judgeSecrets wants a service to use all secrets of the plan, and one at least.
func judgeSecrets(service string, want []string, used map[string][]string) stig.Finding {
	f := stig.Finding{Object: "service " + service}
	have, there := used[service]
	if !there {
		f.Details = "the swarm has no such service: run it, or take it out of swarm.secrets in site.yaml"
		return f
	}
	f.Evidence = []stig.Fact{{Source: "engine", Asked: "GET /services, secrets of " + service, Answer: listed(have)}}
	if len(want) == 0 && len(have) == 0 {
		f.Status = stig.Open
		f.Details = "it uses no secret, and the plan wants it to: docker service update --secret-add SECRET " + service
		return f
	}
	if missing := difference(want, have); len(missing) > 0 {
		f.Status = stig.Open
		f.Details = fmt.Sprintf("it does not use %s, as the plan wants: docker service update --secret-add %s %s", listed(missing), missing[0], service)
		return f
	}
	f.Status, f.Details = stig.NotAFinding, "it uses "+listed(have)
	return f
}

func hasOverlays(ctx context.Context, h *host.Host) (string, error) {
	overlays, err := h.Overlays(ctx)
	if err != nil || len(overlays) > 0 {
		return "", err
	}
	return inSwarm(ctx, h)
}

func checkOverlays(ctx context.Context, h *host.Host) ([]stig.Finding, error) {
	overlays, err := h.Overlays(ctx)
	if err != nil {
		return nil, err
	}
	var findings []stig.Finding
	var passed, left int
	for _, network := range overlays {
		if ofSystem(network) {
			left++
			continue
		}
		f := judgeOverlay(h, network)
		if f.Status == stig.NotAFinding && f.Details == "" {
			passed++
			continue
		}
		findings = append(findings, f)
	}
	slices.SortFunc(findings, func(a, b stig.Finding) int { return strings.Compare(a.Object, b.Object) })
	summary := stig.Finding{
		Status: stig.NotAFinding, Details: fmt.Sprintf("%d overlay networks are encrypted; %d of the swarm itself, UCP and DTR were left out", passed, left),
		Evidence: []stig.Fact{{Source: "engine", Asked: "GET /networks, Options of driver overlay", Answer: fmt.Sprintf("%d encrypted, %d left out", passed, left)}},
	}
	if err := knowsOverlays(ctx, h); err != nil {
		summary.Status = stig.NotReviewed
		summary.Details += "; there may be more: " + err.Error()
	}
	return append([]stig.Finding{summary}, findings...), nil
}

// knowsOverlays is nil if the engine tells all of the swarm's networks. A
// manager that cannot ask its swarm leaves them out without a word.
func knowsOverlays(ctx context.Context, h *host.Host) error {
	s, err := h.Swarm(ctx)
	switch {
	case err != nil:
		return err
	case s.Role == host.Worker:
		return errors.New("this node knows only the networks that its own containers use: run docker stig check on a manager of this swarm")
	}
	return s.Untold
}

// ofSystem knows the networks that the guide leaves out.
func ofSystem(n host.Overlay) bool {
	return n.Ingress || n.Name == "ingress" || n.Name == "dtr" || strings.HasPrefix(n.Name, "dtr-") || strings.HasSuffix(n.Name, "interlock")
}

func judgeOverlay(h *host.Host, n host.Overlay) stig.Finding {
	f := stig.Finding{Object: "network " + n.Name, Status: stig.NotAFinding}
	switch {
	case n.Pending:
		f.Status, f.Details = stig.NotReviewed, "the swarm has not set it up yet and does not tell its options: ask again in a while, or look at docker network inspect "+n.Name
		return f
	case n.Encrypted:
		return f
	}
	f.Evidence = []stig.Fact{{Source: "engine", Asked: "GET /networks, Options of " + n.Name, Answer: "without encrypted"}}
	const mend = "make a new one with docker network create --driver overlay --opt encrypted, and move its services there"
	switch by := h.Site.Swarm.EncryptedByApplication; {
	case slices.Contains(by, n.Name):
		f.Details = "it is not encrypted, and its applications encrypt what they send (swarm.encrypted-by-application in site.yaml)"
	case by == nil:
		f.Status, f.Details = stig.NotReviewed, "it is not encrypted: "+mend+"; or, if its applications encrypt what they send, name it under swarm.encrypted-by-application in site.yaml"
	default:
		f.Status, f.Details = stig.Open, "it is not encrypted, and the site does not name it among those whose applications encrypt: "+mend
	}
	return f
}

func listensForSwarm(ctx context.Context, h *host.Host) (string, error) {
	s, err := h.Swarm(ctx)
	switch {
	case err != nil:
		return "", err
	case s.Role == host.Alone:
		return noSwarm, nil
	case s.Role == host.Worker:
		return "this node is a worker, and only managers listen for the swarm", nil
	}
	return "", nil
}

func checkListener(ctx context.Context, h *host.Host) ([]stig.Finding, error) {
	s, err := h.Swarm(ctx)
	if err != nil {
		return nil, err
	}
	folder := "/proc/net"
	if d, err := h.Dockerd(ctx); err == nil {
		folder = fmt.Sprintf("/proc/%d/net", d.PID) // it may have a network of its own
	}
	listeners, err := h.Listeners(folder)
	if err != nil {
		return nil, err
	}
	var findings []stig.Finding
	for _, listener := range listeners {
		if listener.Port() == s.Port {
			findings = append(findings, judgeListener(listener, folder))
		}
	}
	if len(findings) == 0 {
		return nil, fmt.Errorf("nothing on this host listens on TCP port %d, though the engine is a manager: look for it with ss -ltnp", s.Port)
	}
	return findings, nil
}

func judgeListener(listener netip.AddrPort, folder string) stig.Finding {
	f := stig.Finding{
		Object: listener.String(), Status: stig.NotAFinding, Details: "the manager listens on this address alone",
		Evidence: []stig.Fact{{Source: "host", Asked: fmt.Sprintf("listener on port %d in %s/tcp, tcp6", listener.Port(), folder), Answer: listener.String()}},
	}
	if listener.Addr().IsUnspecified() {
		f.Status = stig.Open
		f.Details = "the manager listens on every address of this host: let it leave the swarm, and join or init again with --listen-addr ADDRESS"
	}
	return f
}
