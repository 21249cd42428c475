package bypass

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// An ask is a request as it goes over the wire, with nothing corrected.
type ask struct {
	method  string
	target  string   // as it stands in the first line
	header  []string // whole lines, beside Host, Connection and the body's length
	body    []byte
	chunked bool
	before  string // goes before it on the same connection
}

var jsonHeader = []string{"Content-Type: application/json"}

// asked bounds one request; a build or a plugin takes seconds.
const asked = 40 * time.Second

func (a ask) bytes() []byte {
	var out bytes.Buffer
	out.WriteString(a.before)
	fmt.Fprintf(&out, "%s %s HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n", a.method, a.target)
	for _, line := range a.header {
		out.WriteString(line + "\r\n")
	}
	if a.chunked {
		fmt.Fprintf(&out, "Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(a.body), a.body)
		return out.Bytes()
	}
	fmt.Fprintf(&out, "Content-Length: %d\r\n\r\n%s", len(a.body), a.body)
	return out.Bytes()
}

// An answer is the engine's.
type answer struct {
	code int
	body []byte
}

// denied reports whether it was the plugin that said no.
func (a answer) denied() bool {
	return a.code == http.StatusForbidden && bytes.Contains(a.body, []byte("denied by plugin docker-stig-authz"))
}

// send puts a request on a connection of its own and reads the last answer.
func (b *bed) send(ctx context.Context, a ask) (answer, error) {
	conn, err := b.dial(ctx)
	if err != nil {
		return answer{}, err
	}
	defer conn.Close()
	// An engine that says no before it has read everything closes; what it
	// said can be read all the same.
	_, written := conn.Write(a.bytes())
	reader := bufio.NewReader(conn)
	if a.before != "" {
		if _, err := read(reader, http.MethodGet); err != nil {
			return answer{}, err
		}
	}
	got, err := read(reader, a.method)
	if err != nil && written != nil {
		return got, written
	}
	return got, err
}

func (b *bed) dial(ctx context.Context) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", b.socket)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(asked)
	if sooner, ok := ctx.Deadline(); ok && sooner.Before(deadline) {
		deadline = sooner
	}
	return conn, conn.SetDeadline(deadline)
}

func read(reader *bufio.Reader, method string) (answer, error) {
	for {
		resp, err := http.ReadResponse(reader, &http.Request{Method: method})
		if err != nil {
			return answer{}, err
		}
		if resp.StatusCode == http.StatusContinue {
			continue
		}
		return rest(resp)
	}
}

// rest reads an answer to its end.
func rest(resp *http.Response) (answer, error) {
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, body}, errors.Join(err, resp.Body.Close())
}

// call sends a body as JSON, or none, and makes an answer other than a yes an
// error.
func (b *bed) call(ctx context.Context, method, target string, body any) (answer, error) {
	a := ask{method: method, target: target}
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return answer{}, err
		}
		a.body, a.header = raw, jsonHeader
	}
	got, err := b.send(ctx, a)
	return got, told(a, got, err)
}

// told is the error of a request that was not answered with a yes.
func told(a ask, got answer, err error) error {
	if err != nil {
		return fmt.Errorf("%s %.80s: %w", a.method, a.target, err)
	}
	if got.code < 200 || got.code > 299 {
		return fmt.Errorf("%s %.80s: %d %.300s", a.method, a.target, got.code, strings.TrimSpace(string(got.body)))
	}
	return nil
}
