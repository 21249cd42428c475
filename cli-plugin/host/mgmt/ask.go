package mgmt

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"slices"
)

// A Request is one question to a server.
type Request struct {
	Method string
	Path   []string // unescaped segments, such as "api", "ucp", "config-toml"
	Query  url.Values
	Body   []byte
	Type   string // media type of Body
	Accept string // media type wanted
	Limit  int64  // bytes; a longer answer is an error

	authorization string
}

// Bearer is the request with a token to sign in.
func (r Request) Bearer(token string) Request {
	r.authorization = "Bearer " + token
	return r
}

// Basic is the request with a user name and a password to sign in.
func (r Request) Basic(username, password string) Request {
	r.authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(username+":"+password))
	return r
}

// An Answer is what a server said with a status of success.
type Answer struct {
	Header http.Header
	Body   []byte

	asked question
}

// question names a request in errors: no query, no header, no body.
type question struct {
	service Service
	text    string // "GET https://ucp.example.com/api/ucp/config-toml"
	host    string
}

// Do asks, once there are few enough questions under way, and reads the whole
// answer. Its error is an *Error.
func (c *Conn) Do(ctx context.Context, r Request) (Answer, error) {
	if err := c.enter(ctx, r); err != nil {
		return Answer{}, err
	}
	defer c.leave()
	limited, cancel := context.WithTimeoutCause(ctx, c.timeout, errSilence)
	defer cancel()

	target := c.base.JoinPath(escaped(r.Path)...)
	asked := c.question(r)
	if slices.ContainsFunc(r.Path, func(s string) bool { return s == "" || s == "." || s == ".." }) {
		return Answer{}, asked.failed(Malformed, "a name in the request is none", nil)
	}
	target.RawQuery = r.Query.Encode()
	req, err := http.NewRequestWithContext(limited, r.Method, target.String(), bytes.NewReader(r.Body))
	if err != nil {
		return Answer{}, asked.failed(Malformed, "the request cannot be made", nil)
	}
	c.setHeader(req, r)

	resp, err := c.client.Do(req)
	if err != nil {
		return Answer{}, c.unanswered(ctx, limited, asked, r, err)
	}
	defer resp.Body.Close()
	if err := asked.refused(resp); err != nil {
		return Answer{}, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, r.Limit+1))
	// Out of time, net/http hangs up, and a server may then end its body
	// properly at the place it has come to, which reads as a whole one.
	if err != nil || limited.Err() != nil {
		return Answer{}, c.unanswered(ctx, limited, asked, r, err)
	}
	if int64(len(body)) > r.Limit {
		return Answer{}, asked.failed(TooLarge, fmt.Sprintf("the answer is longer than %d bytes", r.Limit), nil)
	}
	if looksLikeHTML(resp.Header, body) {
		return Answer{}, asked.failed(HTML, "the answer is a web page", nil)
	}
	return Answer{Header: resp.Header, Body: body, asked: asked}, nil
}

// enter waits until there is room for one more question. The time limit of an
// answer begins behind it.
func (c *Conn) enter(ctx context.Context, r Request) error {
	select {
	case c.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return c.question(r).failed(Interrupted, "the question was given up", ctx.Err())
	}
}

func (c *Conn) leave() { <-c.slots }

// question is how errors name a request.
func (c *Conn) question(r Request) question {
	return question{service: c.service, text: r.Method + " " + c.base.JoinPath(escaped(r.Path)...).String(), host: c.base.Host}
}

func (c *Conn) setHeader(req *http.Request, r Request) {
	req.Header.Set("User-Agent", c.userAgent)
	if r.Accept != "" {
		req.Header.Set("Accept", r.Accept)
	}
	if r.Type != "" {
		req.Header.Set("Content-Type", r.Type)
	}
	if r.authorization != "" {
		req.Header.Set("Authorization", r.authorization)
	}
}

// escaped makes path segments that a name from outside cannot break out of.
func escaped(segments []string) []string {
	out := make([]string, len(segments))
	for i, segment := range segments {
		out[i] = url.PathEscape(segment)
	}
	return out
}

// looksLikeHTML recognizes the page of a login form, a proxy or a load
// balancer. Neither JSON nor TOML can begin with '<'.
func looksLikeHTML(header http.Header, body []byte) bool {
	media, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err == nil && media == "text/html" {
		return true
	}
	return bytes.HasPrefix(bytes.TrimLeft(body, "\ufeff \t\r\n"), []byte("<"))
}

// JSON decodes the answer into v. Its error is an *Error, and repeats nothing
// of the answer but the name of a field.
func (a Answer) JSON(v any) error {
	err := json.Unmarshal(a.Body, v)
	if err == nil {
		if name, twice := nameTwice(a.Body); twice {
			return a.Malformed(fmt.Sprintf("an object has the field %s twice", quoted(name)))
		}
		return nil
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		if endsEarly(a.Body) {
			return a.asked.failed(Truncated, fmt.Sprintf("the JSON ends in the middle, after %d bytes", len(a.Body)), nil)
		}
		return a.asked.failed(Malformed, fmt.Sprintf("the answer is no JSON from byte %d on", syntax.Offset), nil)
	}
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return a.Malformed(fmt.Sprintf("field %q is no %s", wrong.Field, kindName(wrong.Type)))
	}
	return a.Malformed("the JSON is not of the documented shape")
}

// kindName is how a person calls a type of JSON.
func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Slice, reflect.Array:
		return "list"
	case reflect.Struct, reflect.Map:
		return "object"
	default:
		return t.String()
	}
}

// endsEarly tells JSON that stops too soon from what is none. A SyntaxError
// does not: one of the two may come with any message.
func endsEarly(body []byte) bool {
	var value json.RawMessage
	err := json.NewDecoder(bytes.NewReader(body)).Decode(&value)
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}

// Malformed says that the answer is not of the documented shape.
func (a Answer) Malformed(what string) error { return a.asked.failed(Malformed, what, nil) }
