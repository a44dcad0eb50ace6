package scenarios

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lus/test/stack"
)

func TestS33APublishedPageFromEverywhere(t *testing.T) {
	t.Parallel()
	s := shared(t)
	image, name, port := s.StandIn(t, "nginx"), named(t, s, "w1"), stack.Port(t)
	s.OK(t, "run", "-d", "--name", name, "-p", port+":80", image)
	stack.Says(t, stack.Page(t, port, "/"), "Welcome to nginx!")
	stack.Says(t, s.OK(t, "ps", "--filter", "name="+name), "0.0.0.0:"+port+"->80/tcp")
	for _, host := range hostAddresses(t) {
		c, err := net.DialTimeout("tcp", net.JoinHostPort(host, port), 2*time.Minute)
		if err != nil {
			t.Errorf("from the host's own address: %v", err)
			continue
		}
		_ = c.Close()
	}
	stack.Eventually(t, "the request in the logs", func() bool { return strings.Contains(s.OK(t, "logs", name), "GET / HTTP/1.1") })
}

// hostAddresses are this host's IPv4 addresses on interfaces that are not a
// bridge or one end of a pair.
func hostAddresses(t *testing.T) (out []string) {
	t.Helper()
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range interfaces {
		if _, err := os.Stat("/sys/class/net/" + i.Name + "/device"); err != nil {
			continue
		}
		addrs, _ := i.Addrs()
		for _, a := range addrs {
			if ip, _, err := net.ParseCIDR(a.String()); err == nil && ip.To4() != nil {
				out = append(out, ip.String())
			}
		}
	}
	return out
}

func TestS34ATakenPortNamesItsHolder(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	port, other := stack.Port(t), stack.Port(t)
	s.OK(t, "run", "-d", "--name", "w1", "-p", port+":80", stack.Busybox, "httpd", "-f", "-h", "/etc")
	stack.Page(t, port, "/passwd")

	before := s.Still()
	said := s.Fail(t, 125, "run", "-d", "--name", "w2", "-p", port+":80", stack.Busybox, "sleep", "300")
	stack.Says(t, said, port, "w1")
	// As with Docker the container that could not start is there to be started.
	s.Lus("rm", "-f", "w2")
	s.Unchanged(t, before)

	s.OK(t, "run", "-d", "--name", "w2", "-p", other+":80", stack.Busybox, "httpd", "-f", "-h", "/etc")
	stack.Page(t, other, "/passwd")
	stack.Page(t, port, "/passwd")
}

func TestK5APortHeldByAnotherProgram(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	before := s.Still()
	said := s.Fail(t, 125, "run", "--rm", "-p", port+":80", stack.Busybox, "true")
	self, _ := os.Executable()
	stack.Says(t, said, port, filepath.Base(self)[:10])
	s.Unchanged(t, before)
}

func TestS35AFreeHostPortIsShownAndAnswers(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name := named(t, s, "any")
	s.OK(t, "run", "-d", "--name", name, "-p", "80", stack.Busybox, "httpd", "-f", "-h", "/etc")
	shown, _, _ := strings.Cut(s.OK(t, "port", name, "80"), "\n")
	_, port, err := net.SplitHostPort(shown)
	if err != nil {
		t.Fatalf("port shows %q", shown)
	}
	stack.Says(t, stack.Page(t, port, "/passwd"), "root:")
}

func TestPublishedPortsGoWithTheContainer(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	port := stack.Port(t)
	before := s.Still()
	for range 3 {
		s.OK(t, "run", "-d", "--rm", "--name", "web", "-p", port+":80", "-p", port+":53/udp", stack.Busybox, "httpd", "-f", "-h", "/etc")
		stack.Page(t, port, "/passwd")
		s.OK(t, "rm", "-f", "web")
	}
	s.Unchanged(t, before)
}

func TestNamesResolveOnAUserNetworkOnly(t *testing.T) {
	t.Parallel()
	s := shared(t)
	net1, server, plain := network(t, s), named(t, s, "server"), named(t, s, "plain")
	s.OK(t, "run", "-d", "--name", server, "--network", net1, "--network-alias", "web", stack.Busybox, "httpd", "-f", "-h", "/etc")
	s.Listens(t, server, 80)
	for _, name := range []string{server, "web"} {
		stack.Says(t, s.OK(t, "run", "--rm", "--network", net1, stack.Busybox, "wget", "-qO-", "http://"+name+"/passwd"), "root:")
	}
	s.OK(t, "run", "-d", "--name", plain, stack.Busybox, "httpd", "-f", "-h", "/etc")
	s.Listens(t, plain, 80)
	s.Fail(t, 2, "run", "--rm", stack.Debian, "getent", "hosts", plain)
	address := s.OK(t, "inspect", "--format", "{{.NetworkSettings.IPAddress}}", plain)
	stack.Says(t, s.OK(t, "run", "--rm", stack.Busybox, "wget", "-qO-", "http://"+address+"/passwd"), "root:")
}

// A container that is a name server itself has port 53 for itself, also on a
// network whose names it is told at 127.0.0.11.
func TestPort53IsTheContainersOwn(t *testing.T) {
	t.Parallel()
	s := shared(t)
	net1, server := network(t, s), named(t, s, "names")
	s.OK(t, "run", "-d", "--name", server, "--network", net1, stack.Busybox, "sh", "-c", "httpd -h /etc; exec httpd -f -p 53 -h /etc")
	stack.Eventually(t, "a server on port 53", func() bool {
		return s.Lus("run", "--rm", "--network", net1, stack.Busybox, "wget", "-qO-", "http://"+server+":53/passwd").Code == 0
	})
	stack.Says(t, s.OK(t, "exec", server, "wget", "-qO-", "http://"+server+"/passwd"), "root:")
}

func TestNoneAndHostNetworks(t *testing.T) {
	t.Parallel()
	s := shared(t)
	if got := s.OK(t, "run", "--rm", "--network", "none", stack.Busybox, "ls", "/sys/class/net"); got != "lo" {
		t.Errorf("none has %q", got)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if got := s.OK(t, "run", "--rm", "--network", "host", stack.Busybox, "hostname"); got != host {
		t.Errorf("the host's network has the name %q, want %q", got, host)
	}
}

func TestTheOutsideByName(t *testing.T) {
	t.Parallel()
	s := shared(t)
	out := s.Lus("run", "--rm", stack.Debian, "apt-get", "update")
	out.Want(t, 0)
	if strings.Contains(out.All(), "Err:") {
		t.Errorf("apt-get update: %s", out.All())
	}
}

// An old client's link gives one container a name of its own for another.
func TestALinkIsKnownToOneContainerAlone(t *testing.T) {
	t.Parallel()
	s := shared(t)
	net1, target, linked, other := network(t, s), named(t, s, "target"), named(t, s, "linked"), named(t, s, "other")
	docker := dockerClient(t)
	s.OK(t, "run", "-d", "--name", target, "--network", net1, stack.Busybox, "sleep", "300")
	s.OK(t, "run", "-d", "--name", other, "--network", net1, stack.Busybox, "sleep", "300")
	s.Do(nil, docker, "run", "-d", "--name", linked, stack.Busybox, "sleep", "300").Want(t, 0)
	s.Do(nil, docker, "network", "connect", "--link", target+":friend", net1, linked).Want(t, 0)
	asks := func(who string) int { return s.Lus("exec", who, "nslookup", "friend").Code }
	if asks(linked) != 0 || asks(other) == 0 {
		t.Errorf("friend: asked by the linked %d, by another %d", asks(linked), asks(other))
	}
	s.OK(t, "stop", "-t", "0", target)
	if asks(linked) == 0 {
		t.Error("a stopped container is still known by the link")
	}
	s.OK(t, "start", target)
	stack.Eventually(t, "the link to the restarted container", func() bool { return asks(linked) == 0 })
	s.OK(t, "restart", "-t", "0", linked)
	if asks(linked) != 0 {
		t.Error("a restarted container has lost its link")
	}
}
