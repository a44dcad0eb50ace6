package network

import (
	"net/netip"
	"strings"
)

// Way is where published ports lead to: a container's address on a network.
type Way struct {
	NetworkID string
	IP        netip.Addr
}

// Ways are those of both versions of IP; the zero Way: there is none.
type Ways struct{ V4, V6 Way }

// Family is a version of IP.
type Family bool

// The versions.
const (
	V4 Family = false
	V6 Family = true
)

// half is what a container has published of one version of IP.
type half struct {
	container string
	family    Family
}

// Names under which a container's sockets are held begin so.
const (
	portPrefix  = "ports/"
	portPrefix6 = "ports6/"
)

// key is the name under which the sockets are held.
func (h half) key() string {
	if h.family == V6 {
		return portPrefix6 + h.container
	}
	return portPrefix + h.container
}

// halfOf reads a key.
func halfOf(key string) (half, bool) {
	if id, ok := strings.CutPrefix(key, portPrefix); ok {
		return half{id, V4}, true
	}
	id, ok := strings.CutPrefix(key, portPrefix6)
	return half{id, V6}, ok
}

func (w Ways) to(f Family) Way {
	if f == V6 {
		return w.V6
	}
	return w.V4
}

func familyOf(ip netip.Addr) Family { return Family(ip.Is6()) }
