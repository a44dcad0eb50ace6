package network

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/linux/firewall"
	"lus/internal/model/container"
)

// sharedPort is a port of the host that the containers of one service share.
type sharedPort struct {
	group  string
	proto  uint8
	hostIP netip.Addr // 0.0.0.0 or ::: every address of its version
	port   uint16
}

// member is a container behind a shared port.
type member struct {
	container string
	to        netip.AddrPort
	waiting   bool // others are preferred
}

const sharePrefix = "share/"

// holdKey is the name under which the port's socket is held. Groups are named
// by users, so their names are not part of it.
func (s sharedPort) holdKey() string {
	sum := sha256.Sum256([]byte(s.group))
	return sharePrefix + hex.EncodeToString(sum[:12]) + "/" + protocolName(s.proto) + "/" + s.hostIP.String() + "/" + strconv.Itoa(int(s.port))
}

// rule is where the port leads: to those that are ready; where none is, to all.
func (s sharedPort) rule(members []member) firewall.Shared {
	r := firewall.Shared{Proto: s.proto, HostIP: s.hostIP, HostPort: s.port}
	nobody := !slices.ContainsFunc(members, func(m member) bool { return !m.waiting })
	for _, m := range members {
		if nobody || !m.waiting {
			r.To = append(r.To, m.to)
		}
	}
	return r
}

// join puts a container behind a port of its service's, on one address of the
// host. The first one takes the port.
func (m *Manager) join(ctx context.Context, containerID string, ip, on netip.Addr, p container.PublishedPort) error {
	number, _, err := protocol(p.Proto)
	if err != nil {
		return err
	}
	s := sharedPort{group: p.Group, proto: number, hostIP: on, port: p.HostLo}
	to := netip.AddrPortFrom(ip, p.Number)
	m.shareMu.Lock()
	defer m.shareMu.Unlock()
	members := m.members(s)
	if len(members) >= firewall.Slots {
		return errs.New(errs.Unsupported, "port %d is shared by %d containers already, which is the most", p.HostLo, firewall.Slots)
	}
	if len(members) == 0 {
		files, _, err := m.take(publication{PublishedPort: p, on: []netip.Addr{on}})
		if err != nil {
			return err
		}
		err = m.holdAs(ctx, s.holdKey(), files)
		if m.cfg.Holder != nil || err != nil {
			closeAll(files)
		}
		if err != nil {
			return fmt.Errorf("publishing ports: %w", err)
		}
	}
	now := append(slices.Clone(members), member{containerID, to, p.Waiting})
	if err := m.fw.share(s.rule(now)); err != nil {
		if len(members) == 0 {
			_ = m.dropAs(context.WithoutCancel(ctx), s.holdKey())
		}
		return err
	}
	m.setMembers(s, now)
	return nil
}

func (m *Manager) members(s sharedPort) []member {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.shared[s]
}

func (m *Manager) setMembers(s sharedPort, members []member) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(members) == 0 {
		delete(m.shared, s)
		return
	}
	m.shared[s] = members
}

// joined are the shared ports that a container is behind.
func (m *Manager) joined(containerID string) []sharedPort {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []sharedPort
	for s, members := range m.shared {
		if slices.ContainsFunc(members, func(o member) bool { return o.container == containerID }) {
			out = append(out, s)
		}
	}
	return out
}

// leave takes a container from behind all shared ports of these versions of IP. The last one gives the
// port of the host back.
func (m *Manager) leave(ctx context.Context, containerID string, families []Family) error {
	m.shareMu.Lock()
	defer m.shareMu.Unlock()
	for _, s := range m.joined(containerID) {
		if !slices.Contains(families, familyOf(s.hostIP)) {
			continue
		}
		var gone member
		left := slices.DeleteFunc(slices.Clone(m.members(s)), func(o member) bool {
			if o.container == containerID {
				gone = o
				return true
			}
			return false
		})
		if err := m.fw.share(s.rule(left)); err != nil {
			return err
		}
		if s.proto == unix.IPPROTO_UDP {
			if err := m.ct.flush(match{reply: true, src: gone.to.Addr()}); err != nil {
				m.log.Warn("flushing connections of a container", "container", containerID, "err", err)
			}
		}
		m.setMembers(s, left)
		if len(left) > 0 {
			continue
		}
		if err := m.dropAs(ctx, s.holdKey()); err != nil && !errs.Is(err, errs.NotFound) {
			return fmt.Errorf("freeing port %d of the host: %w", s.port, err)
		}
	}
	return nil
}

// alter changes what a container is behind its shared ports.
func (m *Manager) alter(containerID string, change func(*member)) error {
	m.shareMu.Lock()
	defer m.shareMu.Unlock()
	for _, s := range m.joined(containerID) {
		now := slices.Clone(m.members(s))
		for i := range now {
			if now[i].container == containerID {
				change(&now[i])
			}
		}
		if err := m.fw.share(s.rule(now)); err != nil {
			return err
		}
		m.setMembers(s, now)
	}
	return nil
}

// SetReady says whether a container takes new connections on the ports that it
// shares: one that does not is left out as long as another does. What is
// established goes on.
func (m *Manager) SetReady(_ context.Context, containerID string, ready bool) error {
	return m.alter(containerID, func(o *member) { o.waiting = !ready })
}

// adoptShared learns who is behind which shared port after a restart.
func (m *Manager) adoptShared(running []Running) error {
	m.mu.Lock()
	clear(m.shared)
	for _, r := range running {
		mappings, err := mappingsOf(r)
		if err != nil {
			m.mu.Unlock()
			return err
		}
		for _, p := range mappings {
			if s, waiting, ok := r.sharing(p); ok {
				m.shared[s] = append(m.shared[s], member{r.ContainerID, p.To, waiting})
			}
		}
	}
	var rules []firewall.Shared
	for s, members := range m.shared {
		rules = append(rules, s.rule(members))
	}
	m.mu.Unlock()
	return m.fw.retainShared(rules)
}

// sharedAlone are the rules of shared ports behind which one container is: they
// are like those of ports that nobody shares.
func (m *Manager) sharedAlone() []firewall.Mapping {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []firewall.Mapping
	for s, members := range m.shared {
		if r := s.rule(members); len(r.To) == 1 {
			out = append(out, firewall.Mapping{Proto: s.proto, HostIP: s.hostIP, HostPort: s.port, To: r.To[0]})
		}
	}
	return out
}

// sharing tells which shared port a rule of the container's stands for.
func (r *Running) sharing(p firewall.Mapping) (s sharedPort, waiting, ok bool) {
	for _, asked := range r.Asked {
		number, _, err := protocol(asked.Proto)
		if err == nil && asked.Sharable() && number == p.Proto && asked.HostLo == p.HostPort && asked.Number == p.To.Port() {
			return sharedPort{group: asked.Group, proto: number, hostIP: p.HostIP, port: p.HostPort}, asked.Waiting, true
		}
	}
	return s, false, false
}

// adoptSharedHolds drops the sockets of ports that nobody shares any more, and
// takes those again that were lost with their keeper.
func (m *Manager) adoptSharedHolds(ctx context.Context, held []string) error {
	m.mu.Lock()
	wanted := map[string]sharedPort{}
	for s := range m.shared {
		if key := s.holdKey(); m.own[key] == nil {
			wanted[key] = s
		}
	}
	m.mu.Unlock()
	for _, key := range held {
		if _, ok := wanted[key]; ok {
			delete(wanted, key)
			continue
		}
		if err := m.cfg.Holder.Drop(ctx, key); err != nil && !errs.Is(err, errs.NotFound) {
			return err
		}
	}
	for key, s := range wanted {
		_, kind, _ := protocol(protocolName(s.proto))
		f, _, err := bind(s.hostIP, s.port, kind, int(s.proto))
		if err != nil {
			m.log.Warn("a published port cannot be held", "group", s.group, "port", s.port, "err", err)
			continue
		}
		if err := m.holdAs(ctx, key, []*os.File{f}); err != nil {
			m.log.Warn("a published port cannot be held", "group", s.group, "port", s.port, "err", err)
		}
		if m.cfg.Holder != nil {
			_ = f.Close()
		}
	}
	return nil
}
