package rules_test

import (
	"errors"
	"testing"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/hosttest"
	"github.com/docker-stig/docker-stig/shared/stig"
	"github.com/moby/moby/api/types/image"
)

func TestImagesSigned(t *testing.T) {
	t.Parallel()
	ucp, app := held("docker/ucp:3.2.1", signedDigest), held("dtr.example.com/prod/app:v1", signedDigest)
	both := []image.Summary{ucp, app}
	signed := vouching{"docker.io/docker/ucp:3.2.1": signedDigest, "dtr.example.com/prod/app:v1": signedDigest}
	for name, test := range map[string]struct {
		engine  *hosttest.Engine
		trust   host.Verifier
		want    stig.Status
		details string
	}{
		"no UCP":         {&hosttest.Engine{Images: []image.Summary{app}}, signed, stig.NotApplicable, "no image of UCP"},
		"all signed":     {&hosttest.Engine{Images: both}, signed, stig.NotAFinding, "2 of 2 images"},
		"signed, expire": {&hosttest.Engine{Images: both}, expiring{signed}, stig.NotAFinding, "2 have to be signed again within 14 days"},
		"one unsigned":   {&hosttest.Engine{Images: []image.Summary{ucp, held("dtr.example.com/prod/app:v2", otherDigest)}}, signed, stig.Open, "image dtr.example.com/prod/app:v2: Open: "},
		"moved tag":      {&hosttest.Engine{Images: []image.Summary{ucp, held("dtr.example.com/prod/app:v1", otherDigest)}}, signed, stig.Open, "digest-mismatch"},
		"no name":        {&hosttest.Engine{Images: []image.Summary{ucp, {ID: "sha256:5"}}}, signed, stig.Open, "image sha256:5: Open: it has no name"},
		"no scope":       {&hosttest.Engine{Images: []image.Summary{ucp, held("other.example.com/app:1", signedDigest)}}, signed, stig.NotReviewed, "no root key for other.example.com/app"},
		"silent Notary":  {&hosttest.Engine{Images: both}, vouching{"docker.io/docker/ucp:3.2.1": signedDigest, "dtr.example.com/prod/app:v1": ""}, stig.NotReviewed, "silence"},
		"no policy":      {&hosttest.Engine{Images: both}, nil, stig.NotReviewed, "--policy"},
		"silent engine":  {&hosttest.Engine{Err: errors.New("gone")}, signed, stig.NotReviewed, "gone"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost()
			h.Engine, h.Trust = test.engine, test.trust
			judge(t, "DKER-EE-003610", h, test.want, test.details)
		})
	}
}

// TestImagesOfAnotherNode: an engine that is no node of the UCP or DTR that was
// given tells nothing of the cluster's images.
func TestImagesOfAnotherNode(t *testing.T) {
	t.Parallel()
	_, client := managedCase{}.startUCP(t)
	for _, id := range []stig.ID{"DKER-EE-003610", "DKER-EE-004130"} {
		h := newHost()
		h.UCP = client
		judge(t, id, h, stig.NotReviewed, "no node of the cluster that was given")
	}
	h := newHost()
	h.Engine = engineWith("registry.mirantis.com/msr/msr-api:2.9.1", signedDigest)
	judge(t, "DKER-EE-004130", h, stig.NotReviewed, "holds 1 images of DTR and runs none")
}
