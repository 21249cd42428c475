package guard

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"time"
)

// firstBytes is how many of them decide. No HTTP/1 request is as short, and
// HTTP/2's preface, "PRI * HTTP/2.0", is told from every one by then.
const firstBytes = 4

// A beginning is that of a connection. The zero one is turned away.
type beginning int

const (
	unknown beginning = iota
	http1
	http2
)

// beginnings are those of HTTP/1 requests that the engine's API knows,
// and of the preface. Anything else, empty lines and a TLS handshake included,
// is nothing that an engine without TLS would serve.
var beginnings = map[[firstBytes]byte]beginning{
	{'G', 'E', 'T', ' '}: http1,
	{'H', 'E', 'A', 'D'}: http1,
	{'P', 'O', 'S', 'T'}: http1,
	{'P', 'U', 'T', ' '}: http1,
	{'D', 'E', 'L', 'E'}: http1, // DELETE
	{'O', 'P', 'T', 'I'}: http1, // OPTIONS
	{'P', 'A', 'T', 'C'}: http1, // PATCH
	{'P', 'R', 'I', ' '}: http2,
}

func judge(first [firstBytes]byte) beginning { return beginnings[first] }

// refusals are what becomes of connections that are not passed on.
var refusals = map[beginning]struct {
	because string
	answer  []byte
}{
	unknown: {
		because: "it begins with no HTTP/1 request",
		answer: answer("400 Bad Request", true,
			"docker-stig: this connection begins with no HTTP/1 request, and is closed by the guard of the engine's socket"),
	},
	http2: {
		because: "HTTP/2 on the engine's socket is not seen by authorization plugins",
		answer: goAway("docker-stig: the guard of the engine's socket lets HTTP/1.1 through only, since authorization " +
			"plugins do not see HTTP/2; reach gRPC by an upgrade of POST /grpc"),
	},
}

// unavailable is the answer to a request when there is no engine.
func unavailable(engine string, first [firstBytes]byte) []byte {
	return answer("503 Service Unavailable", first != [firstBytes]byte{'H', 'E', 'A', 'D'},
		fmt.Sprintf("docker-stig: the engine does not answer on %s, behind the guard of its socket: see systemctl status docker.socket docker.service", engine))
}

// answer is an HTTP/1 response as the engine writes its errors.
func answer(status string, withBody bool, message string) []byte {
	body, err := json.Marshal(struct {
		Message string `json:"message"`
	}{message})
	if err != nil {
		body = []byte("{}")
	}
	text := fmt.Appendf(nil, "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", status, len(body))
	if !withBody {
		return text
	}
	return append(text, body...)
}

// goAway is what an HTTP/2 server says that wants HTTP/1.1: an empty SETTINGS
// frame, since every server begins with one, and GOAWAY (RFC 9113, 6.5, 6.8).
// A gRPC client shows its text.
func goAway(text string) []byte {
	const (
		settings       = 0x4
		goaway         = 0x7
		http11Required = 0xd
	)
	frame := func(kind byte, payload []byte) []byte {
		header := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind)) //nolint:gosec // a sentence long
		header = append(header, 0)                                                         // no flags
		return append(append(header, 0, 0, 0, 0), payload...)                              // of the connection, stream 0
	}
	payload := binary.BigEndian.AppendUint32(nil, 0) // no stream was served
	payload = binary.BigEndian.AppendUint32(payload, http11Required)
	return append(frame(settings, nil), frame(goaway, append(payload, text...))...)
}

// turnAway says why, and takes what the client still sends for a moment: one
// that cannot write does not read either.
func turnAway(client *net.UnixConn, answer []byte) {
	if err := client.SetDeadline(time.Now().Add(partingWithin)); err != nil {
		return
	}
	if _, err := client.Write(answer); err != nil {
		return
	}
	if err := client.CloseWrite(); err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, client)
}
