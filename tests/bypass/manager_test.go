package bypass

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// managerAttempts make a manager of the swarm out of somebody, who then has
// this host run what he likes, and nobody is asked; and one has the engine
// itself delete what it is told to.
var managerAttempts = each("requests.swarm-join", []attempt{
	{name: "tokens of the swarm", before: inSwarm, do: func(ctx context.Context, a *try) error {
		got, err := a.call(ctx, http.MethodGet, "/swarm", nil)
		if bytes.Contains(got.body, []byte("SWMTKN-")) {
			a.made["tokens"] = "told"
		}
		return err
	}, proof: made("tokens")},
	{name: "authority of the swarm replaced", slow: true, before: func(ctx context.Context, a *try) error {
		if err := inSwarm(ctx, a); err != nil {
			return err
		}
		got, err := a.call(ctx, http.MethodGet, "/swarm", nil)
		a.made["swarm"] = string(got.body)
		return err
	}, do: func(ctx context.Context, a *try) error {
		var swarm struct {
			Version struct{ Index int }
			Spec    object
		}
		if err := json.Unmarshal([]byte(a.made["swarm"]), &swarm); err != nil {
			return err
		}
		key, cert, err := authority()
		if err != nil {
			return err
		}
		a.made["authority"] = cert
		swarm.Spec["CAConfig"] = object{"SigningCACert": cert, "SigningCAKey": key, "ForceRotate": 1, "NodeCertExpiry": (90 * 24 * time.Hour).Nanoseconds()}
		_, err = a.call(ctx, http.MethodPost, fmt.Sprintf("/swarm/update?version=%d", swarm.Version.Index), swarm.Spec)
		return err
	}, proof: func(_ context.Context, a *try) string {
		trusted, err := os.ReadFile(filepath.Join(a.data(), "swarm", "certificates", "swarm-root-ca.crt"))
		if err != nil || a.made["authority"] == "" || !bytes.Contains(trusted, bytes.TrimSpace([]byte(a.made["authority"]))) {
			return ""
		}
		return "trusted"
	}},
	{name: "folder deleted as a checkpoint", about: says("a checkpoint is"), do: func(ctx context.Context, a *try) error {
		if err := os.MkdirAll(filepath.Join(a.scratch, a.nonce, "state", "deep"), 0o700); err != nil {
			return err
		}
		id, err := a.create(ctx, "c", container(a.signed.Ref, a.script("true"), nil))
		if err != nil {
			return err
		}
		a.made["folder"] = filepath.Join(a.scratch, a.nonce, "state")
		_, err = a.call(ctx, http.MethodDelete, "/containers/"+id+"/checkpoints/state?dir="+filepath.Dir(a.made["folder"]), nil)
		return err
	}, proof: func(_ context.Context, a *try) string {
		if a.made["folder"] == "" {
			return ""
		}
		if _, err := os.Stat(a.made["folder"]); err == nil {
			return ""
		}
		return "gone"
	}},
})

// authority makes a key and a certificate of its own, as a swarm takes them.
func authority() (key, cert string, err error) {
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "swarm-ca"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	certDER, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		return "", "", err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		return "", "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certDER})), nil
}
