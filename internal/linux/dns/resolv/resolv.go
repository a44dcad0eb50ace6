// Package resolv reads resolv.conf files.
package resolv

import (
	"bufio"
	"net/netip"
	"os"
	"strings"
)

// Conf is what a resolv.conf says.
type Conf struct {
	Nameservers []netip.Addr
	Search      []string
	Options     []string
}

// Host is the host's own file.
const Host = "/etc/resolv.conf"

// Read reads a file; one that is not there says nothing.
func Read(path string) Conf {
	f, err := os.Open(path)
	if err != nil {
		return Conf{}
	}
	defer f.Close()
	var c Conf
	for sc := bufio.NewScanner(f); sc.Scan(); {
		fields := strings.Fields(sc.Text())
		if len(fields) < 2 {
			continue
		}
		switch fields[0] {
		case "nameserver":
			if ip, err := netip.ParseAddr(fields[1]); err == nil {
				c.Nameservers = append(c.Nameservers, ip.Unmap())
			}
		case "domain", "search":
			c.Search = fields[1:]
		case "options":
			c.Options = append(c.Options, fields[1:]...)
		}
	}
	return c
}
