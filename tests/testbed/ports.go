package testbed

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports are looked for below those that the kernel hands out by itself
// (net.ipv4.ip_local_port_range begins at 32768), so that no connection takes
// one while the notary's door is closed.
const (
	firstPort = 20000
	lastPort  = 32767
)

// freePorts finds ports on loopback that nobody listens on.
func freePorts(count int) ([]int, error) {
	var ports []int
	for range 1000 {
		if len(ports) == count {
			return ports, nil
		}
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		if err != nil {
			continue
		}
		defer func() { _ = listener.Close() }() // held to the end, so that no port is found twice
		ports = append(ports, port)
	}
	return nil, fmt.Errorf("no free port between %d and %d on loopback", firstPort, lastPort)
}
