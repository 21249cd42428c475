package bypass

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/solver/pb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
)

// buildAttempts run the unsigned image as a step of a build, by each of the
// ways on which an engine takes builds.
var buildAttempts = each("requests.build", []attempt{
	{name: "build", do: func(ctx context.Context, a *try) error { return a.build(ctx, "version=1") }},
	{name: "build by BuildKit", do: func(ctx context.Context, a *try) error { return a.build(ctx, "version=2&buildid="+a.nonce) }},
	{name: "build by the docker client", do: func(ctx context.Context, a *try) error {
		context, err := a.folder(map[string]string{"Dockerfile": a.dockerfile()})
		if err != nil {
			return err
		}
		_, err = a.Docker(ctx, "build", "--network", "none", context)
		return a.client(err)
	}},
	{name: "BuildKit by an upgrade", do: func(ctx context.Context, a *try) error {
		conn, err := a.upgrade(ctx, "/grpc")
		if err != nil {
			return err
		}
		return a.solve(ctx, conn)
	}},
	{name: "session for BuildKit", do: func(ctx context.Context, a *try) error {
		conn, err := a.upgrade(ctx, "/session", "X-Docker-Expose-Session-Uuid: "+a.nonce)
		if err != nil {
			return err
		}
		a.made["session"] = "open"
		return conn.Close()
	}, proof: func(_ context.Context, a *try) string { return a.made["session"] }},
})

func (a *try) dockerfile() string {
	return "FROM " + a.unsigned.Ref + "\nRUN " + a.program()[2] + "\n"
}

func (a *try) build(ctx context.Context, query string) error {
	q := ask{
		method: http.MethodPost, target: "/build?networkmode=none&rm=0&" + query, header: []string{"Content-Type: application/x-tar"},
		body: archive(map[string][]byte{"Dockerfile": []byte(a.dockerfile())}),
	}
	got, err := a.raw(ctx, q)
	if err != nil {
		return err
	}
	return errors.New("the build said: " + string(got.body[max(0, len(got.body)-300):]))
}

// upgrade has the engine turn a connection into something else.
func (a *try) upgrade(ctx context.Context, target string, header ...string) (net.Conn, error) {
	conn, err := a.dial(ctx)
	if err != nil {
		return nil, err
	}
	q := ask{method: http.MethodPost, target: target, header: header}
	text := "POST " + target + " HTTP/1.1\r\nHost: engine\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
	for _, line := range header {
		text += line + "\r\n"
	}
	if _, err := conn.Write([]byte(text + "\r\n")); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	reader := bufio.NewReader(conn)
	resp, err := http.ReadResponse(reader, nil)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return buffered{conn, reader}, conn.SetDeadline(time.Time{})
	}
	got, err := rest(resp)
	return nil, errors.Join(a.heard(got, told(q, got, err)), conn.Close())
}

// buffered is a connection of which something was read already.
type buffered struct {
	net.Conn
	reader *bufio.Reader
}

func (b buffered) Read(p []byte) (int, error) { return b.reader.Read(p) }

// solve has BuildKit run the unsigned image. It is what a build comes to, told
// in BuildKit's own words.
func (a *try) solve(ctx context.Context, conn net.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, asked)
	defer cancel()
	once := make(chan net.Conn, 1)
	once <- conn
	client, err := grpc.NewClient("passthrough:///localhost", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			select {
			case conn := <-once:
				return conn, nil
			default:
				return nil, errors.New("the connection is gone")
			}
		}))
	if err != nil {
		return err
	}
	defer client.Close()
	definition, err := a.definition()
	if err != nil {
		return err
	}
	_, err = moby_buildkit_v1.NewControlClient(client).Solve(ctx, &moby_buildkit_v1.SolveRequest{Ref: a.nonce, Definition: definition})
	return err
}

// definition is the image, the program in it, and its result.
func (a *try) definition() (*pb.Definition, error) {
	here := &pb.Platform{OS: "linux", Architecture: "amd64"}
	ops := []*pb.Op{
		{Platform: here, Op: &pb.Op_Source{Source: &pb.SourceOp{Identifier: "docker-image://" + a.unsigned.Ref}}},
		{Platform: here, Op: &pb.Op_Exec{Exec: &pb.ExecOp{
			Meta: &pb.Meta{Args: a.program(), Cwd: "/"}, Network: pb.NetMode_NONE,
			Mounts: []*pb.Mount{{Dest: "/"}},
		}}},
		{},
	}
	definition := &pb.Definition{Metadata: map[string]*pb.OpMetadata{}}
	digest := ""
	for _, op := range ops {
		if digest != "" {
			op.Inputs = []*pb.Input{{Digest: digest}}
		}
		raw, err := proto.Marshal(op)
		if err != nil {
			return nil, err
		}
		digest = "sha256:" + digestOf(raw)
		definition.Def = append(definition.Def, raw)
		definition.Metadata[digest] = &pb.OpMetadata{}
	}
	return definition, nil
}
