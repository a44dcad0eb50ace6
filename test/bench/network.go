package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"lus/test/stack"
)

// The remote host is at the other end of a cable; the addresses are those that
// are set aside for benchmarks.
const (
	hostAddress   = "198.18.0.1"
	remoteAddress = "198.18.0.2"
)

// remoteHost makes another host, which sends what it does not know to this one.
// The returned function unplugs the cable.
func remoteHost() (*apart, string, func(), error) {
	n, err := newNetwork()
	if err != nil {
		return nil, "", nil, err
	}
	cable := fmt.Sprintf("lb%d", os.Getpid())
	unplug := func() {
		_ = exec.Command("ip", "link", "delete", cable).Run()
		n.close()
	}
	err = lines(
		[]string{"ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", strconv.Itoa(n.pid)},
		[]string{"ip", "addr", "add", hostAddress + "/30", "dev", cable},
		[]string{"ip", "link", "set", cable, "up"},
		n.inside("ip", "addr", "add", remoteAddress+"/30", "dev", "eth0"),
		n.inside("ip", "link", "set", "eth0", "up"),
		n.inside("ip", "route", "add", "default", "via", hostAddress),
		// What one connection learned of an address must not slow the next.
		n.inside("sh", "-c", "echo 1 >/proc/sys/net/ipv4/tcp_no_metrics_save"),
	)
	if err == nil { // forwarding for this cable alone; it goes with it
		err = os.WriteFile("/proc/sys/net/ipv4/conf/"+cable+"/forwarding", []byte("1"), 0o644)
	}
	if err != nil {
		unplug()
		return nil, "", nil, err
	}
	return n, cable, unplug, nil
}

// tcp measures how fast a remote host sends to a container: through a published
// port, and, in turn with it, to the container's own address, which is the same
// way without the translation of addresses.
func (b *suite) tcp() ([]*row, error) {
	published := &row{Name: "TCP from another host, through `-p`", Unit: "Gbit/s"}
	direct := &row{Name: "the same container by its own address, routed", Unit: "Gbit/s"}
	share := &row{Name: "the first as a share of the second", Unit: "%", Goals: atLeast(95)}
	remote, cable, unplug, err := remoteHost()
	if err != nil {
		return nil, err
	}
	defer unplug()
	server, err := b.iperf()
	if err != nil {
		return nil, err
	}
	err = b.each(func(s *side) error {
		port, err := freePort()
		if err != nil {
			return err
		}
		if _, err := s.do(append([]string{"run", "-d", "--name", "bench-tcp", "-p", port + ":5201"}, server...)...); err != nil {
			return err
		}
		defer func() { _, _ = s.do("rm", "-f", "bench-tcp") }()
		if err := remote.awaitServer(hostAddress, port); err != nil {
			return err
		}
		address := ""
		if s == b.lus { // others would need their own firewall's leave
			defer b.unroute()
			if address, err = b.route(cable); err != nil {
				return err
			}
		}
		return remote.alternate(s.name, port, address, published, direct, share)
	})
	return []*row{published, direct, share}, err
}

// alternate takes samples of both ways in turn; of the published one alone where
// there is no address.
func (n *apart) alternate(side, port, address string, published, direct, share *row) error {
	ways := []func() (float64, error){func() (float64, error) { return n.send(hostAddress, port, "-t", "2") }}
	if address != "" {
		ways = append(ways, func() (float64, error) { return n.send(address, "5201", "-t", "2") })
	}
	for i := range 6 {
		rates := make([]float64, len(ways))
		for k := range ways {
			way := (i + k) % len(ways) // neither is always the first
			var err error
			if rates[way], err = ways[way](); err != nil {
				return err
			}
		}
		published.add(side, rates[0])
		if address != "" {
			direct.add(side, rates[1])
			share.add(side, 100*rates[0]/rates[1])
		}
	}
	return nil
}

// iperf copies iperf3 with its libraries into a folder and returns what runs it
// as a server in a busybox.
func (b *suite) iperf() ([]string, error) {
	program, err := exec.LookPath("iperf3")
	if err != nil {
		return nil, errors.New("there is no iperf3: scripts/need bench installs it")
	}
	out, err := exec.Command("ldd", program).Output()
	if err != nil {
		return nil, fmt.Errorf("ldd %s: %w", program, err)
	}
	dir := filepath.Join(b.dir, "iperf3")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	libraries := paths(string(out))
	if err := lines(slices.Concat([]string{"cp", "-L", program}, libraries, []string{dir})); err != nil {
		return nil, err
	}
	serve := []string{"-v", dir + ":/iperf3:ro", "busybox"}
	for _, l := range libraries { // the loader among them starts the program
		if strings.HasPrefix(filepath.Base(l), "ld-") {
			serve = append(serve, "/iperf3/"+filepath.Base(l), "--library-path", "/iperf3")
		}
	}
	return append(serve, "/iperf3/iperf3", "-s"), nil
}

// paths are the files that ldd names.
func paths(ldd string) (out []string) {
	for _, word := range strings.Fields(ldd) {
		if strings.HasPrefix(word, "/") {
			out = append(out, word)
		}
	}
	return out
}

// route lets the remote host speak to the container itself, which the firewall
// of Lus drops unless its administrator says otherwise, and returns its address.
func (b *suite) route(cable string) (string, error) {
	address, err := b.lus.do("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", "bench-tcp")
	if err != nil {
		return "", err
	}
	// A new connection alone is let in here: all else goes the way that what was
	// translated goes.
	return address, b.userChain("add", "rule", "iifname", cable, "ct", "state", "new", "accept")
}

// unroute takes the rule of route away again: it would keep the table.
func (b *suite) unroute() { _ = b.userChain("flush", "chain") }

// userChain has nft do something with the chain that is the administrator's.
func (b *suite) userChain(verb, object string, words ...string) error {
	chain, err := b.lus.do("info", "--format", "{{index (index .FirewallBackend.Info 0) 1}}")
	if err != nil {
		return err
	}
	return lines(slices.Concat([]string{"nft", verb, object}, strings.Fields(chain), words))
}

// awaitServer returns once the server takes connections.
func (n *apart) awaitServer(address, port string) (err error) {
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if _, err = n.send(address, port, "-n", "64K"); err == nil {
			return nil
		}
	}
	return err
}

// send has iperf3 send from the remote host, as long or as much as the options
// say, and returns Gbit/s as the receiver counted them.
func (n *apart) send(address, port string, options ...string) (float64, error) {
	args := append([]string{"-c", address, "-p", port, "-J", "--connect-timeout", "3000"}, options...)
	var out []byte
	err := stack.InNet(n.pid, func() (err error) {
		out, err = exec.Command("iperf3", args...).Output()
		return err
	})
	rate, sayErr := received(out)
	if err = errors.Join(err, sayErr); err != nil {
		return 0, fmt.Errorf("iperf3 to %s:%s: %w", address, port, err)
	}
	return rate, nil
}

// received reads what iperf3 -J says.
func received(result []byte) (float64, error) {
	var r struct {
		Error string
		End   struct {
			Received struct {
				BitsPerSecond float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		}
	}
	if err := json.Unmarshal(result, &r); err != nil {
		return 0, err
	}
	if r.Error != "" {
		return 0, errors.New(r.Error)
	}
	return r.End.Received.BitsPerSecond / 1e9, nil
}

// freePort is a port of this host that is free now.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}
