package bypass

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// logAttempts have the engine, which is root, write to where no container gets,
// or in lines that look like others'. What arrives is kept in a file.
var logAttempts = []attempt{
	{name: "socket of the host by way of a log", about: says("syslog-address"), proof: arrived, do: func(ctx context.Context, a *try) error {
		return a.logs(ctx, "unixgram", filepath.Join(a.scratch, a.nonce), "syslog", object{})
	}},
	{name: "socket of the host by way of a log, as a stream", about: says("fluentd-address"), proof: arrived, do: func(ctx context.Context, a *try) error {
		return a.logs(ctx, "unix", filepath.Join(a.scratch, a.nonce), "fluentd", object{})
	}},
	{name: "socket of the host by way of a service's log", about: says("syslog-address"), slow: true, before: inSwarm, after: endServices, proof: arrived, do: func(ctx context.Context, a *try) error {
		address, err := a.listens(ctx, "unixgram", filepath.Join(a.scratch, a.nonce))
		if err != nil {
			return err
		}
		spec := a.spec(a.repository()+"@"+a.signed.Digest, a.saysOwn())
		spec["TaskTemplate"].(object)["LogDriver"] = object{"Name": "syslog", "Options": object{"syslog-address": address}}
		return a.service(ctx, spec)
	}},
	{name: "log with a line of one's own", about: says("ends a line"), proof: forged, do: func(ctx context.Context, a *try) error {
		return a.logs(ctx, "udp", "127.0.0.1:0", "syslog", object{"tag": "x\n<0>forged\n"})
	}},
	{name: "log with a line of one's own, by a template", about: says("several lines"), proof: forged, do: func(ctx context.Context, a *try) error {
		return a.logs(ctx, "udp", "127.0.0.1:0", "syslog", object{"tag": `x{{"\n"}}<0>forged{{"\n"}}`})
	}},
}

// logs runs a program of which the engine writes the log to a listener.
func (a *try) logs(ctx context.Context, network, address, driver string, options object) error {
	at, err := a.listens(ctx, network, address)
	if err != nil {
		return err
	}
	options[driver+"-address"] = at
	return a.run(ctx, container(a.signed.Ref, a.saysOwn(), object{"LogConfig": object{"Type": driver, "Config": options}}))
}

func (a *try) saysOwn() []string { return a.script("echo says-" + a.nonce + "; sleep 1") }

// listens keeps what arrives as long as there is an engine, and gives the address as the
// engine takes it.
func (a *try) listens(ctx context.Context, network, address string) (string, error) {
	file, err := os.Create(filepath.Join(a.scratch, a.nonce+".arrived"))
	if err != nil {
		return "", err
	}
	if network == "unix" {
		l, err := new(net.ListenConfig).Listen(ctx, network, address)
		if err != nil {
			return "", err
		}
		a.atEnd(func() { _ = l.Close() })
		go func() {
			if conn, err := l.Accept(); err == nil {
				_, _ = file.ReadFrom(conn) // until the log's end
			}
		}()
		return "unix://" + address, nil
	}
	conn, err := a.listenPacket(ctx, network, address)
	if err != nil {
		return "", err
	}
	a.atEnd(func() { _ = conn.Close() })
	go func() {
		packet := make([]byte, 64<<10) // bytes, the most of a datagram
		for {
			n, _, err := conn.ReadFrom(packet)
			if err != nil {
				return
			}
			_, _ = file.Write(packet[:n])
		}
	}()
	return network + "://" + conn.LocalAddr().String(), nil
}

// listenPacket listens in the engine's network, which is not ours.
func (a *try) listenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	pid, err := a.EnginePID()
	if err != nil {
		return nil, err
	}
	theirs, err := os.Open("/proc/" + strconv.Itoa(pid) + "/ns/net")
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	type listening struct {
		conn net.PacketConn
		err  error
	}
	done := make(chan listening)
	go func() {
		runtime.LockOSThread() // and not given back: the thread ends with this
		if err := unix.Setns(int(theirs.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- listening{nil, err}
			return
		}
		conn, err := new(net.ListenConfig).ListenPacket(ctx, network, address)
		done <- listening{conn, err}
	}()
	got := <-done
	return got.conn, got.err
}

// arrived shows what the engine wrote of the program's.
func arrived(_ context.Context, a *try) string { return a.arrival("says-" + a.nonce) }

func forged(_ context.Context, a *try) string { return a.arrival("\n<0>forged\n") }

func (a *try) arrival(what string) string {
	got, err := os.ReadFile(filepath.Join(a.scratch, a.nonce+".arrived"))
	if err != nil || !bytes.Contains(got, []byte(what)) {
		return ""
	}
	return what
}
