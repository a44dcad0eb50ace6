// Package network holds the words for networks that every part of Lus shares.
// The JSON names are those of the Docker Engine API 1.51.
package network

import (
	"strings"
	"time"
)

// The names of the networks that are always there.
const (
	Bridge = "bridge"
	Host   = "host"
	None   = "none"
)

// Network is one network, as kept and as inspected.
type Network struct {
	Name       string              `json:"Name"`
	ID         string              `json:"Id"`
	Created    time.Time           `json:"Created"`
	Scope      string              `json:"Scope"`
	Driver     string              `json:"Driver"` // bridge, host, null, macvlan, ipvlan
	EnableIPv4 bool                `json:"EnableIPv4"`
	EnableIPv6 bool                `json:"EnableIPv6"`
	IPAM       IPAM                `json:"IPAM"`
	Internal   bool                `json:"Internal"`
	Attachable bool                `json:"Attachable"`
	Ingress    bool                `json:"Ingress"`
	ConfigFrom ConfigReference     `json:"ConfigFrom"`
	ConfigOnly bool                `json:"ConfigOnly"`
	Containers map[string]Attached `json:"Containers"` // by container id; filled in by inspect
	Options    map[string]string   `json:"Options"`
	Labels     map[string]string   `json:"Labels"`
	// SubnetChosen: Lus chose the subnet, nobody asked for it. Docker's API does not show it.
	SubnetChosen bool `json:"SubnetChosen,omitempty"`
	// Subnet6Chosen: the same of the subnet of IPv6.
	Subnet6Chosen bool `json:"Subnet6Chosen,omitempty"`
}

// ConfigReference names the network a configuration is taken from.
type ConfigReference struct {
	Network string `json:"Network"`
}

// IPAM says which addresses a network gives out.
type IPAM struct {
	Driver  string            `json:"Driver"`
	Options map[string]string `json:"Options"`
	Config  []Pool            `json:"Config"`
}

// Pool is one subnet of a network.
type Pool struct {
	Subnet  string            `json:"Subnet,omitempty"`
	IPRange string            `json:"IPRange,omitempty"`
	Gateway string            `json:"Gateway,omitempty"`
	Aux     map[string]string `json:"AuxiliaryAddresses,omitempty"`
}

// IsIPv6 reports whether the pool is of IPv6; what names no subnet is of IPv4.
func (p Pool) IsIPv6() bool { return strings.Contains(p.Subnet, ":") }

// AskedPools are the pools that somebody asked for; the others Lus chose.
func (n *Network) AskedPools() []Pool {
	var out []Pool
	for _, p := range n.IPAM.Config {
		if p.IsIPv6() && !n.Subnet6Chosen || !p.IsIPv6() && !n.SubnetChosen {
			out = append(out, p)
		}
	}
	return out
}

// Attached is a running container on a network.
type Attached struct {
	Name        string `json:"Name"`
	EndpointID  string `json:"EndpointID"`
	MacAddress  string `json:"MacAddress"`
	IPv4Address string `json:"IPv4Address"` // with prefix length
	IPv6Address string `json:"IPv6Address"`
}
