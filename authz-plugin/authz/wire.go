package authz

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// Names of Docker's plugin protocol, as in docker/go-plugins-helpers at
// 45e2431, packages sdk and authorization.
const (
	activatePath = "/Plugin.Activate"
	requestPath  = "/AuthZPlugin.AuthZReq"
	responsePath = "/AuthZPlugin.AuthZRes"
	contentType  = "application/vnd.docker.plugins.v1.1+json"
	manifest     = `{"Implements":["authz"]}` + "\n"
)

// Bounds of a question of the engine. A body is 4 MiB at most and comes in
// base64, headers 1 MiB, in which "<" takes six bytes. The question about an
// answer repeats all of it and adds the answer, 64 KiB: it has more room, so
// that what was let in can be read again.
const (
	maxRequest  = 12 << 20 // bytes
	maxResponse = 16 << 20 // bytes
)

// A Request is a question of the engine. Certificates and the headers of the
// answer are not read.
type Request struct {
	User               string            `json:"User,omitempty"`
	RequestMethod      string            `json:"RequestMethod,omitempty"`
	RequestURI         string            `json:"RequestUri,omitempty"`
	RequestBody        []byte            `json:"RequestBody,omitempty"`
	RequestHeaders     map[string]string `json:"RequestHeaders,omitempty"`
	ResponseStatusCode int               `json:"ResponseStatusCode,omitempty"`
	ResponseBody       []byte            `json:"ResponseBody,omitempty"`
}

// A Response is the verdict. The engine allows when Allow is true even if Err
// is set, so Err is never used: a fault is a denial with a message.
type Response struct {
	Allow bool   `json:"Allow"`
	Msg   string `json:"Msg,omitempty"`
}

// decodeRequest reads a question. After a dropped connection the engine sends
// the same question again with an empty body, which is an error here.
func decodeRequest(w http.ResponseWriter, r *http.Request, limit int64) (Request, error) {
	if r.Method != http.MethodPost {
		return Request{}, fmt.Errorf("a question comes by POST, not %s", r.Method)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		return Request{}, fmt.Errorf("reading the question: %w", err)
	}
	if len(body) == 0 {
		return Request{}, errors.New("the engine sent an empty question, as it does when a connection was cut; try again")
	}
	var req Request
	if err := json.Unmarshal(body, &req); err != nil {
		return Request{}, fmt.Errorf("decoding the question: %w", err)
	}
	if req.RequestMethod == "" || req.RequestURI == "" {
		return Request{}, errors.New("the engine's question names no request")
	}
	return req, nil
}

var allowed = []byte(`{"Allow":true}` + "\n")

// respond writes the verdict. The status is always 200: anything else is an
// error of the plugin to the engine, and the message would be lost.
func respond(w http.ResponseWriter, d Decision) {
	body := allowed
	if !d.Allow {
		encoded, err := json.Marshal(Response{Msg: d.Msg})
		if err != nil {
			encoded = []byte(`{"Allow":false}`)
		}
		body = append(encoded, '\n')
	}
	header := w.Header()
	header["Content-Type"] = []string{contentType}
	header["Content-Length"] = []string{strconv.Itoa(len(body))}
	_, _ = w.Write(body) // an engine that went away needs no answer
}
