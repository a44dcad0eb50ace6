// Package network gives containers their networks: bridges with addresses, a
// virtual cable for each container, published ports, and the way out. It works
// on the network namespace its Manager was made in.
//
// What must be fast is Attach and Publish, which every start waits for; what
// may be slow (the removal of cables, for which the kernel waits) is done
// afterwards by the Manager's own goroutine. Nothing is kept on disk: after a
// crash Reconcile learns from the kernel and from the caller what there is.
package network

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/linux/firewall"
	"lus/internal/linux/network/internal/rtnl"
	model "lus/internal/model/network"
)

// Holder keeps sockets open beyond the daemon's life, by key. The keeper's
// client is one; with none the Manager keeps them itself.
type Holder interface {
	Hold(ctx context.Context, key string, files []*os.File) error
	Drop(ctx context.Context, key string) error
	Held(ctx context.Context) ([]string, error)
}

// Config is what a Manager needs. Only Instance is required.
type Config struct {
	// Instance is six hexadecimal digits, part of every name in the kernel.
	Instance string
	Log      *slog.Logger
	Holder   Holder
	// Pools are cut into subnets for networks that name none, Pool6 into those of
	// IPv6.
	Pools []netip.Prefix
	Pool6 netip.Prefix
	// LockDir holds the lock under which instances choose subnets.
	LockDir string
	// Name tells a container's name by its id, for messages; nil: the short id.
	Name func(containerID string) string
}

// Address is what a container has on a network. The gateways are the zero Addr
// on an internal network, and what is of IPv6 on a network without it.
type Address struct {
	IP       netip.Prefix
	Gateway  netip.Addr
	IP6      netip.Prefix
	Gateway6 netip.Addr
	MAC      net.HardwareAddr
}

// Endpoint is one end of a cable to make: the container's interface and its address.
type Endpoint struct {
	NetworkID   string
	ContainerID string
	IfName      string // in the container: eth0; empty: the first that is free
	Address
	Default  bool // the default route goes here
	Default6 bool // that of IPv6 does
}

// bridge is one network as the Manager knows it.
type bridge struct {
	id       string
	name     string // of the interface
	index    int32
	mtu      uint32
	gateway  netip.Prefix
	internal bool
	talk     bool // containers may talk to each other
	pool     *pool
	pool6    *pool      // nil: no IPv6
	hostIP   netip.Addr // where ports are published that name no address
	direct   *direct    // on macvlan and ipvlan, which have no bridge
}

// cable is the host's end of a container's interface.
type cable struct{ network, container string }

// Manager owns the networks of one instance in one network namespace.
type Manager struct {
	cfg  Config
	log  *slog.Logger
	home *os.File // the namespace it works in
	rt   *rtnl.Conn
	// slow is for what makes the kernel wait, so that starts need not queue
	// behind it for the connection.
	slow *rtnl.Conn
	sync *rtnl.Carrier
	fw   *rules
	ct   *conntrack
	v6   bool // the kernel has IPv6

	mu       sync.Mutex
	bridges  map[string]*bridge // by network id
	cables   map[cable]string   // the host end's name
	serial   uint32             // for the names of cables
	ports    map[half][]firewall.Mapping
	shared   map[sharedPort][]member
	own      map[string][]*os.File // sockets, where there is no Holder
	warnings map[string][]string   // by bridge
	missing  map[string]error      // why a network could not be made again, by its id

	shareMu sync.Mutex // one change of who shares a port at a time

	upMu      sync.Mutex // one look at the uplinks at a time
	foreignMu sync.Mutex // one change of other firewalls at a time
	work      *worker
	watching6 sync.Once
}

// DefaultPools are private ranges that leave 172.17.0.0/16, Docker's own, alone.
func DefaultPools() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("172.18.0.0/15"), netip.MustParsePrefix("172.20.0.0/14"),
		netip.MustParsePrefix("172.24.0.0/13"), netip.MustParsePrefix("192.168.0.0/16"),
		netip.MustParsePrefix("10.128.0.0/9"),
	}
}

// New opens the connections to the kernel, makes or takes over the instance's
// nftables table and begins to watch the outward interfaces.
func New(cfg Config) (*Manager, error) {
	if len(cfg.Instance) != 6 {
		return nil, errs.New(errs.Invalid, "network: the instance must be six characters, not %q", cfg.Instance)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if len(cfg.Pools) == 0 {
		cfg.Pools = DefaultPools()
	}
	if !cfg.Pool6.IsValid() {
		cfg.Pool6 = DefaultPool6(cfg.Instance)
	}
	if cfg.LockDir == "" {
		cfg.LockDir = "/run/lus-pools"
	}
	m := &Manager{cfg: cfg, log: cfg.Log, bridges: map[string]*bridge{}, cables: map[cable]string{},
		ports: map[half][]firewall.Mapping{}, shared: map[sharedPort][]member{}, own: map[string][]*os.File{}, warnings: map[string][]string{}, missing: map[string]error{}}
	_, err := os.Stat("/proc/sys/net/ipv6")
	m.v6 = err == nil
	if err := m.open(); err != nil {
		m.closeConns()
		return nil, err
	}
	m.work = newWorker(m)
	return m, nil
}

func (m *Manager) open() (err error) {
	if m.home, err = os.Open("/proc/thread-self/ns/net"); err != nil {
		return fmt.Errorf("opening the host's network namespace: %w", err)
	}
	if m.rt, err = rtnl.Dial(unix.NETLINK_ROUTE); err != nil {
		return err
	}
	if m.slow, err = rtnl.Dial(unix.NETLINK_ROUTE); err != nil {
		return err
	}
	if m.sync, err = rtnl.NewCarrier(); err != nil {
		return fmt.Errorf("opening a socket: %w", err)
	}
	if m.ct, err = newConntrack(); err != nil {
		return err
	}
	m.fw, err = openRules("lus_" + m.cfg.Instance)
	return err
}

func (m *Manager) closeConns() {
	if m.fw != nil {
		_ = m.fw.Close()
	}
	if m.ct != nil {
		_ = m.ct.Close()
	}
	if m.sync != nil {
		_ = m.sync.Close()
	}
	for _, c := range []*rtnl.Conn{m.rt, m.slow} {
		if c != nil {
			_ = c.Close()
		}
	}
	if m.home != nil {
		_ = m.home.Close()
	}
}

// Close finishes what was deferred and closes the connections. Networks,
// cables and published ports stay: containers run on.
func (m *Manager) Close() error {
	m.work.stop()
	m.mu.Lock()
	for _, files := range m.own {
		closeAll(files)
	}
	clear(m.own)
	m.mu.Unlock()
	m.closeConns()
	return nil
}

// Settle returns once everything deferred is done.
func (m *Manager) Settle(ctx context.Context) error { return m.work.settle(ctx) }

// Warnings lists what stands in the way of the networks, each with the command
// that clears it: foreign rule sets that drop forwarded traffic.
func (m *Manager) Warnings() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	for _, bridge := range slices.Sorted(maps.Keys(m.warnings)) {
		out = append(out, m.warnings[bridge]...)
	}
	return out
}

// UserChain names the chain in which an administrator filters the traffic of
// containers, as nft does: "ip lus_ab12cd user".
func (m *Manager) UserChain() string { return m.fw.v4.Where() }

// UserChain6 is UserChain for IPv6; empty as long as no network speaks it.
func (m *Manager) UserChain6() string {
	if v6 := m.fw.six(); v6 != nil {
		return v6.Where()
	}
	return ""
}

// bridgeOf returns the network's bridge, which Ensure has made.
func (m *Manager) bridgeOf(networkID string) (*bridge, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.bridges[networkID]
	switch why := m.missing[networkID]; {
	case b == nil && why != nil:
		return nil, errs.New(errs.Unavailable, "the network could not be made when the daemon started: %w", why)
	case b == nil:
		return nil, errs.New(errs.NotFound, "network %s has no bridge: it was not set up", networkID)
	}
	return b, nil
}

// who names a container for people.
func (m *Manager) who(containerID string) string {
	if m.cfg.Name != nil {
		if n := m.cfg.Name(containerID); n != "" {
			return n
		}
	}
	return containerID[:min(12, len(containerID))]
}

// isBridge reports whether the network is one that this package makes.
func isBridge(n *model.Network) bool { return n.Driver == "" || n.Driver == "bridge" }
