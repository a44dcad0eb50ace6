package network_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	model "lus/internal/model/network"
	"lus/test/need"
)

// withFirewalls lays ufw and firewalld, as Debian packs them, over the system
// of the tests' own mount namespace, with a /run of its own.
func withFirewalls(t *testing.T) {
	t.Helper()
	tools := filepath.Join(need.Tools(t), "firewalls")
	if _, err := os.Stat(tools); err != nil {
		need.Unmet(t, "ufw and firewalld: scripts/need test takes them out of Debian's packages")
	}
	need.Program(t, "dbus-daemon", "dbus-daemon")
	scratch := t.TempDir()
	mount(t, "tmpfs", scratch, "tmpfs", "mode=0755")
	mount(t, "tmpfs", "/run", "tmpfs", "mode=0755")
	for _, dir := range []string{"usr", "etc"} {
		upper, work := filepath.Join(scratch, dir), filepath.Join(scratch, dir+".work")
		for _, d := range []string{upper, work} {
			if err := os.Mkdir(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		mount(t, "overlay", "/"+dir, "overlay", "lowerdir="+filepath.Join(tools, dir)+":/"+dir+",upperdir="+upper+",workdir="+work)
	}
}

func mount(t *testing.T, source, target, kind, options string) {
	t.Helper()
	if err := unix.Mount(source, target, kind, 0, options); err != nil {
		need.Unmet(t, "mounting a %s on %s: %v", kind, target, err)
	}
	t.Cleanup(func() { _ = unix.Unmount(target, unix.MNT_DETACH) })
}

// flushed takes away what a firewall leaves in the kernel.
func flushed(t *testing.T) {
	t.Helper()
	t.Cleanup(func() { _ = exec.Command("nft", "flush", "ruleset").Run() })
}

func TestBesideUfw(t *testing.T) {
	besideUfw(t, "iptables", "10.99.0.2", "10.99.0.2:80", "10.99.0.1:8080")
}

// ufw keeps rules for each version of IP; one command changes both.
func TestIPv6BesideUfw(t *testing.T) {
	besideUfw(t, "ip6tables", "fd99::2", "[fd99::2]:80", "[fd99::1]:8080", six)
}

func besideUfw(t *testing.T, iptables, remoteIP, outside, published string, change ...func(*model.Network)) {
	needRoot(t)
	remote := lan(t)
	remote.serve(t, "remote", 80)
	withFirewalls(t)
	flushed(t)
	// What the package's configuration does.
	run(t, "sh", "-ec", `cp /usr/share/ufw/iptables/*.rules /usr/share/ufw/*.init /usr/share/ufw/ufw.conf /etc/ufw/`)
	if out, err := exec.Command("ufw", "--force", "enable").CombinedOutput(); err != nil {
		t.Skipf("this kernel lacks what ufw needs: %s", out)
	}
	run(t, "sysctl", "-qw", "net.bridge.bridge-nf-call-"+iptables+"=1")
	t.Cleanup(func() { run(t, "sysctl", "-qw", "net.bridge.bridge-nf-call-"+iptables+"=0") })
	h := newHouse(t, remote, change...)
	if _, err := h.web.ask("tcp", outside); err == nil {
		t.Fatal("ufw does not drop; the test proves nothing")
	}
	remedy := h.remedy(t)
	if !strings.HasPrefix(remedy, "ufw route allow ") {
		t.Errorf("the remedy goes around ufw: %s", remedy)
	}
	run(t, "sh", "-c", remedy)
	h.works(t)
	if err := h.m.Ensure(t.Context(), h.n); err != nil {
		t.Fatal(err)
	}
	if w := h.m.Warnings(); len(w) > 0 {
		t.Errorf("still warned after the remedy: %v", w)
	}
	run(t, "ufw", "reload")
	h.works(t)
	run(t, "ufw", "route", "prepend", "deny", "from", remoteIP)
	if _, err := remote.ask("tcp", published); err == nil {
		t.Error("what ufw denies comes through to us")
	}
}

// firewalld's bus lets everybody speak and starts nobody.
const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy>
</busconfig>
`

// startFirewalld runs firewalld on a bus of its own.
func startFirewalld(t *testing.T) {
	t.Helper()
	config := filepath.Join(t.TempDir(), "bus.conf")
	if err := os.WriteFile(config, []byte(busConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir("/run/dbus", 0o755); err != nil {
		t.Fatal(err)
	}
	background(t, "dbus-daemon", "--config-file="+config, "--nofork", "--nopidfile")
	until(t, "a bus", func() bool { _, err := os.Stat("/run/dbus/system_bus_socket"); return err == nil })
	background(t, "firewalld", "--nofork", "--nopid")
	until(t, "firewalld", func() bool { return exec.Command("firewall-cmd", "--state").Run() == nil })
}

func background(t *testing.T, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		need.Unmet(t, "%s: %v", name, err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * long); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("minutes later there is still not: ", what)
		}
	}
}

// reaches reports whether something answers; where it is to, it has a long time.
func reaches(from ns, at string, wanted bool) bool {
	ask := from.ask
	if wanted {
		ask = from.answers
	}
	_, err := ask("tcp", at)
	return err == nil
}

func TestBesideFirewalld(t *testing.T) { besideFirewalld(t, "10.99.0.2:80") }

// A zone of firewalld is one for both versions of IP.
func TestIPv6BesideFirewalld(t *testing.T) { besideFirewalld(t, "[fd99::2]:80", six) }

func besideFirewalld(t *testing.T, outside string, change ...func(*model.Network)) {
	needRoot(t)
	remote := lan(t)
	remote.serve(t, "remote", 80)
	withFirewalls(t)
	flushed(t)
	startFirewalld(t)
	h := newHouse(t, remote, change...)
	h.works(t)
	if w := h.m.Warnings(); len(w) > 0 {
		t.Errorf("warned: %v", w)
	}
	interfaces := func() []string {
		return strings.Fields(run(t, "firewall-cmd", "--zone=trusted", "--list-interfaces"))
	}
	mine := interfaces()
	if len(mine) != 1 {
		t.Errorf("in the trusted zone: %v", mine)
	}
	// A reload forgets the zone of our bridge; it is told again.
	run(t, "firewall-cmd", "--reload")
	until(t, "the way out after a reload", func() bool { return reaches(h.web.ns, outside, true) })
	h.works(t)

	run(t, "firewall-cmd", "--zone=trusted", "--remove-interface="+mine[0])
	until(t, "the bridge in its zone again", func() bool { return slices.Contains(interfaces(), mine[0]) })
	h.works(t)

	for _, b := range []*box{h.web, h.another} {
		if err := h.m.Detach(t.Context(), h.n.ID, b.id); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.m.Remove(t.Context(), h.n); err != nil {
		t.Fatal(err)
	}
	if left := interfaces(); slices.Contains(left, mine[0]) {
		t.Errorf("left in the trusted zone: %v", left)
	}
}
