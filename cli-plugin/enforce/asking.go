package enforce

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
)

// maxAnswer bounds what is read of one answer.
const maxAnswer = 1 << 20 // bytes

// over makes a client whose connections go to a unix socket, one a request: a
// daemon that was replaced in between must not be asked on an old one.
func over(socket string) *http.Client {
	return &http.Client{
		Timeout: answerWithin,
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}},
	}
}

// call asks over a unix socket and gives the status and the whole answer.
func call(ctx context.Context, socket, method, path, body string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://docker-stig"+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "docker-stig")
	resp, err := over(socket).Do(req)
	if err != nil {
		return 0, nil, cause(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, raw, err
}

// errNoAnswer says that somebody is there who says nothing.
var errNoAnswer = errors.New("no answer in time")

// cause is what went wrong with a connection, without the addresses that the
// libraries put in front of it: the caller says whom it asked.
func cause(err error) error {
	if isTimeout(err) {
		return errNoAnswer
	}
	if asked := new(url.Error); errors.As(err, &asked) {
		err = asked.Err
	}
	if reached := new(net.OpError); errors.As(err, &reached) {
		err = reached.Err
	}
	if called := new(os.SyscallError); errors.As(err, &called) {
		err = called.Err
	}
	return err
}

// The probe is a create that no engine carries out, because it says neither
// which image nor which command, and that the plugin refuses before the engine
// has seen that.
const (
	probePath = "/v1.40/containers/create"
	probeBody = `{"Image":""}`
	// refusedBy is how the engine and the plugin begin what they say to it.
	refusedBy = "authorization denied by plugin " + PluginName + ": docker-stig: "
)

// Refuses reports whether a request to the engine comes to the plugin, and the
// plugin enforces.
func Refuses(ctx context.Context, socket string) (bool, error) {
	status, raw, err := call(ctx, socket, http.MethodPost, probePath, probeBody)
	if err != nil {
		return false, fmt.Errorf("asking the engine: %w", err)
	}
	if status == http.StatusCreated {
		return false, errors.Join(errors.New("the engine made a container of nothing"), removeMade(ctx, socket, raw))
	}
	var answer struct {
		Message string `json:"message"`
	}
	_ = json.Unmarshal(raw, &answer) // no message: not the plugin's
	return status == http.StatusForbidden && strings.HasPrefix(answer.Message, refusedBy), nil
}

// removeMade removes what no engine known today would have made.
func removeMade(ctx context.Context, socket string, raw []byte) error {
	var made struct{ ID string }
	if err := json.Unmarshal(raw, &made); err != nil {
		return err
	}
	_, _, err := call(ctx, socket, http.MethodDelete, "/v1.40/containers/"+made.ID+"?force=1&v=1", "")
	return err
}

// Answers wants the engine to answer what harms nobody.
func Answers(ctx context.Context, socket string) error {
	for _, path := range []string{"/_ping", "/v1.40/info"} {
		status, raw, err := call(ctx, socket, http.MethodGet, path, "")
		if err != nil {
			return fmt.Errorf("asking the engine: %w", err)
		}
		if status != http.StatusOK {
			return fmt.Errorf("the engine answers %s with %d: %s", path, status, bytes.TrimSpace(raw[:min(len(raw), 300)]))
		}
	}
	return nil
}

// A Silent error says that docker-stig-authz does not answer.
type Silent struct{ Err error }

func (e *Silent) Error() string { return fmt.Sprintf("%s (%s); %s", e.what(), e.detail(), e.next()) }

func (e *Silent) Unwrap() error { return e.Err }

func (*Silent) what() string     { return "docker-stig-authz does not answer" }
func (e *Silent) detail() string { return fmt.Sprintf("%s: %v", pluginSocket, e.Err) }
func (*Silent) next() string {
	return "start it: systemctl enable --now docker-stig-authz.socket"
}

// ask puts one authorization question to the plugin itself.
func ask(ctx context.Context, socket, question string) (bool, error) {
	status, raw, err := call(ctx, socket, http.MethodPost, "/AuthZPlugin.AuthZReq", question)
	if err != nil {
		return false, &Silent{err}
	}
	var verdict struct{ Allow *bool }
	if err := json.Unmarshal(raw, &verdict); err != nil || status != http.StatusOK || verdict.Allow == nil && bytes.Contains(raw, []byte(`"Err"`)) {
		return false, fmt.Errorf("docker-stig-authz answers a question with %d and no verdict: see its log (journalctl -u docker-stig-authz)", status)
	}
	return verdict.Allow != nil && *verdict.Allow, nil
}

// Prove wants a plugin behind the socket that does what the engine needs, and
// denies a question about nothing: an engine that is told of a plugin which does
// not answer ends itself.
func Prove(ctx context.Context, socket string) error {
	if err := present(ctx, socket); err != nil {
		return err
	}
	if allowed, err := ask(ctx, socket, "{}"); err != nil || allowed {
		return errors.Join(errors.New("docker-stig-authz lets an empty question through: it is not the plugin it should be"), err)
	}
	return nil
}

// present wants a plugin that answers.
func present(ctx context.Context, socket string) error {
	status, raw, err := call(ctx, socket, http.MethodPost, "/Plugin.Activate", "")
	if err != nil {
		return &Silent{err}
	}
	var manifest struct{ Implements []string }
	if err := json.Unmarshal(raw, &manifest); err != nil || status != http.StatusOK || !slices.Contains(manifest.Implements, "authz") {
		return fmt.Errorf("what answers in the place of docker-stig-authz is no authorization plugin: see who listens on %s", pluginSocket)
	}
	if allowed, err := ask(ctx, socket, `{"RequestMethod":"GET","RequestUri":"/_ping"}`); err != nil || !allowed {
		return errors.Join(errors.New("docker-stig-authz denies GET /_ping: see its log (journalctl -u docker-stig-authz)"), err)
	}
	return nil
}

// Enforces reports whether the plugin, asked itself, refuses the probe.
func Enforces(ctx context.Context, socket string) (bool, error) {
	question, err := json.Marshal(map[string]any{
		"RequestMethod": http.MethodPost, "RequestUri": probePath, "RequestBody": []byte(probeBody),
		"RequestHeaders": map[string]string{"Content-Type": "application/json"},
	})
	if err != nil {
		return false, err
	}
	allowed, err := ask(ctx, socket, string(question))
	return err == nil && !allowed, err
}

// SpeaksHTTP2 reports whether a socket serves HTTP/2 without TLS, which
// authorization never sees. An older engine answers the preface with an
// HTTP/1.1 error, and the guard with GOAWAY (RFC 9113, 6.8).
func SpeaksHTTP2(ctx context.Context, socket string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	conn, err := dial(ctx, "unix", socket)
	if err != nil {
		return false, cause(err)
	}
	defer conn.Close()
	// The preface, and the client's own empty SETTINGS (RFC 9113, 3.4).
	_, err = io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	var kinds [2]byte
	for i := 0; i < len(kinds) && err == nil; i++ {
		kinds[i], err = frame(conn)
	}
	if isTimeout(err) {
		return false, errNoAnswer
	}
	// An error else: closed on us, or HTTP/1.1.
	return err == nil && kinds[0] == frameSettings && kinds[1] != frameGoAway, nil
}

// Kinds of frames (RFC 9113, 6).
const (
	frameSettings = 0x4
	frameGoAway   = 0x7
)

// frame reads one frame and gives its kind.
func frame(r io.Reader) (byte, error) {
	var header [9]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, err
	}
	length := int64(binary.BigEndian.Uint32(header[:4]) >> 8)
	if length > 16<<10 { // bytes; no frame may be longer unless we say so (6.5.2)
		return 0, errors.New("no HTTP/2 frame")
	}
	_, err := io.CopyN(io.Discard, r, length)
	return header[3], err
}
