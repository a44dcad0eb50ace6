package network

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// holderOf names who has a host port, for the message of a conflict: a
// container of ours, else a process.
func (m *Manager) holderOf(proto uint8, at netip.AddrPort) string {
	if id := m.publisher(proto, at); id != "" {
		return "container " + m.who(id)
	}
	inode := socketInode(proto, at)
	if inode == "" {
		return "another program"
	}
	if inode == "0" {
		return "a connection that is being closed (it goes away within a minute)"
	}
	return processWith(inode)
}

// publisher returns the container that has published the port.
func (m *Manager) publisher(proto uint8, at netip.AddrPort) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	overlap := func(ip netip.Addr) bool {
		return ip.Is6() == at.Addr().Is6() && (ip.IsUnspecified() || at.Addr().IsUnspecified() || ip == at.Addr())
	}
	for h, mappings := range m.ports {
		for _, p := range mappings {
			if p.Proto == proto && p.HostPort == at.Port() && overlap(p.HostIP) {
				return h.container
			}
		}
	}
	for s, members := range m.shared {
		if s.proto == proto && s.port == at.Port() && overlap(s.hostIP) {
			return members[0].container
		}
	}
	return ""
}

// socketInode finds a socket bound to the port in the kernel's lists. Bound
// sockets that do not listen are in none of them: those of another instance.
func socketInode(proto uint8, at netip.AddrPort) string {
	versions := []string{"", "6"}
	if at.Addr().Is6() {
		versions = versions[1:]
	}
	for _, version := range versions {
		f, err := os.Open("/proc/thread-self/net/" + protocolName(proto) + version)
		if err != nil {
			continue
		}
		inode := scanSockets(f, at)
		_ = f.Close()
		if inode != "" {
			return inode
		}
	}
	return ""
}

// scanSockets reads lines like "0: 0100007F:1F90 00000000:0000 0A ... inode".
func scanSockets(f *os.File, at netip.AddrPort) string {
	found := ""
	for sc := bufio.NewScanner(f); sc.Scan(); {
		fields := strings.Fields(sc.Text())
		if len(fields) < 10 {
			continue
		}
		address, port, ok := strings.Cut(fields[1], ":")
		n, err := strconv.ParseUint(port, 16, 16)
		if !ok || err != nil || uint16(n) != at.Port() || !sameHost(address, at.Addr()) {
			continue
		}
		const listening, unconnected = "0A", "07"
		if fields[3] == listening || fields[3] == unconnected {
			return fields[9]
		}
		found = fields[9]
	}
	return found
}

// sameHost compares an address as /proc writes it: words in the host's order.
func sameHost(hexWords string, ip netip.Addr) bool {
	raw, err := hex.DecodeString(hexWords)
	if err != nil || (len(raw) != 4 && len(raw) != 16) {
		return false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.BigEndian.PutUint32(raw[i:], binary.NativeEndian.Uint32(raw[i:]))
	}
	have, _ := netip.AddrFromSlice(raw)
	have = have.Unmap()
	return ip.IsUnspecified() || have.IsUnspecified() || have == ip
}

// processWith finds the process that has the socket open.
func processWith(inode string) string {
	want := "socket:[" + inode + "]"
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range procs {
		fds, err := os.ReadDir(dir + "/fd")
		if err != nil {
			continue
		}
		for _, fd := range fds {
			if link, err := os.Readlink(dir + "/fd/" + fd.Name()); err != nil || link != want {
				continue
			}
			comm, _ := os.ReadFile(dir + "/comm")
			return fmt.Sprintf("process %s (pid %s)", strings.TrimSpace(string(comm)), filepath.Base(dir))
		}
	}
	return "another program"
}
