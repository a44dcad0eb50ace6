package stack

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
)

// The ports that tests get lie below those that the kernel hands out to whoever
// connects or wants any: what is free when a test asks is not taken by chance
// before the test has used it.
const (
	firstPort = 20000
	lastPort  = 32767
)

// given are the ports that tests of this process have got.
var given = struct {
	sync.Mutex
	ports map[int]bool
}{ports: map[int]bool{}}

// Port is a port of this host that is free, and that no other test gets.
func Port(t testing.TB) string {
	t.Helper()
	return strconv.Itoa(Ports(t, 1))
}

// Ports are n such ports beside each other; it returns the first.
func Ports(t testing.TB, n int) int {
	t.Helper()
	given.Lock()
	defer given.Unlock()
	for range 10_000 {
		first := firstPort + rand.IntN(lastPort-firstPort-n)
		if free(first, n) {
			for i := range n {
				given.ports[first+i] = true
			}
			return first
		}
	}
	t.Fatalf("no %d ports beside each other are free", n)
	return 0
}

// free reports whether nobody has these ports, by TCP or by UDP.
func free(first, n int) bool {
	for port := first; port < first+n; port++ {
		if given.ports[port] {
			return false
		}
		at := fmt.Sprintf("0.0.0.0:%d", port)
		l, err := net.Listen("tcp", at)
		if err != nil {
			return false
		}
		defer l.Close()
		p, err := net.ListenPacket("udp", at)
		if err != nil {
			return false
		}
		defer p.Close()
	}
	return true
}
