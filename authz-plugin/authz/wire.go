package authz

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"

	"github.com/docker-stig/docker-stig/authz-plugin/engineapi"
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
	buf := buffers.Get().(*bytes.Buffer)
	defer putBack(buf)
	buf.Grow(int(min(max(r.ContentLength, 0), limit)) + bytes.MinRead)
	if _, err := buf.ReadFrom(http.MaxBytesReader(w, r.Body, limit)); err != nil {
		return Request{}, fmt.Errorf("reading the question: %w", err)
	}
	if buf.Len() == 0 {
		return Request{}, errors.New("the engine sent an empty question, as it does when a connection was cut; try again")
	}
	var req Request
	if err := engineapi.ReadObject(buf.Bytes(), requestShape, req.member); err != nil {
		return Request{}, fmt.Errorf("decoding the question: %w", err)
	}
	if req.RequestMethod == "" || req.RequestURI == "" {
		return Request{}, errors.New("the engine's question names no request")
	}
	return req, nil
}

// buffers are for questions as they come. Nothing of a Request is in them: a
// decision may outlast its answer.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// putBack keeps a buffer, unless it grew for one of the few large questions.
func putBack(buf *bytes.Buffer) {
	if buf.Cap() <= small {
		buf.Reset()
		buffers.Put(buf)
	}
}

var requestShape = engineapi.ShapeOf[Request]()

// member takes in one member of a question. What it does not know is passed
// over: certificates, and the headers of the answer.
func (r *Request) member(inside, key string, value []byte) (err error) {
	switch {
	case inside == "REQUESTHEADERS":
		return r.header(key, value)
	case inside != "":
		return nil
	}
	switch key {
	case "USER":
		r.User, err = text(value)
	case "REQUESTMETHOD":
		r.RequestMethod, err = text(value)
	case "REQUESTURI":
		r.RequestURI, err = text(value)
	case "REQUESTBODY":
		r.RequestBody, err = content(value)
	case "REQUESTHEADERS":
		if value[0] != '{' && string(value) != "null" {
			err = errors.New("it is no object")
		}
	case "RESPONSESTATUSCODE":
		err = json.Unmarshal(value, &r.ResponseStatusCode)
	case "RESPONSEBODY":
		r.ResponseBody, err = content(value)
	}
	if err != nil {
		return fmt.Errorf("its member %s: %w", key, err)
	}
	return nil
}

func (r *Request) header(key string, value []byte) error {
	got, err := text(value)
	if err != nil {
		return fmt.Errorf("its request's header %q: %w", key, err)
	}
	if r.RequestHeaders == nil {
		r.RequestHeaders = map[string]string{}
	}
	r.RequestHeaders[key] = got
	return nil
}

// plain gives a string in which nothing is escaped, as nearly all are.
func plain(value []byte) ([]byte, bool) {
	if value[0] != '"' || bytes.IndexByte(value, '\\') >= 0 {
		return nil, false
	}
	return value[1 : len(value)-1], true
}

func text(value []byte) (string, error) {
	if inner, ok := plain(value); ok {
		return string(inner), nil
	}
	var got string
	err := json.Unmarshal(value, &got)
	return got, err
}

// content reads what came in base64.
func content(value []byte) ([]byte, error) {
	inner, ok := plain(value)
	if !ok {
		var got []byte
		err := json.Unmarshal(value, &got)
		return got, err
	}
	got := make([]byte, base64.StdEncoding.DecodedLen(len(inner)))
	n, err := base64.StdEncoding.Decode(got, inner)
	return got[:n], err
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
	if d.late {
		header["Connection"] = []string{"close"}
	}
	_, _ = w.Write(body) // an engine that went away needs no answer
	if d.late {
		_ = http.NewResponseController(w).Flush()
	}
}
