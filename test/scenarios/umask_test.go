package scenarios

import (
	"testing"

	"lus/test/stack"
)

// A shell whose new files are for their owner alone may start the daemon, as root's
// does on hosts that are set up with care: containers' users see their files the same.
func TestTheDaemonsUmaskIsItsOwn(t *testing.T) {
	t.Parallel()
	s := stack.Idle(t)
	if err := s.UpClosed(); err != nil {
		t.Fatalf("%v\n%s", err, s.DaemonLog(20))
	}
	s.ImportBusybox(t)
	const look = "cat /etc/hosts /etc/resolv.conf >/dev/null && stat -c '%a %n' / /etc /data /made"
	out := s.OK(t, "run", "--rm", "-u", "1000", "-v", "named:/data", "-v", "/made", stack.Busybox, "sh", "-c", look)
	if want := "755 /\n755 /etc\n755 /data\n755 /made"; out != want {
		t.Errorf("a user in a container sees %q, not %q", out, want)
	}
	// An image without any of the folders that a start mounts on.
	s.Build(t, "bare", map[string]string{"Dockerfile": "FROM " + stack.Busybox + " AS b\nFROM scratch\nCOPY --from=b /bin /bin\n"}).Want(t, 0)
	out = s.OK(t, "run", "--rm", "-u", "1000", "bare", "sh", "-c", "cat /etc/hosts >/dev/null && stat -c '%a %n' / /etc /etc/hosts")
	if want := "755 /\n755 /etc\n644 /etc/hosts"; out != want {
		t.Errorf("in an image without /etc a user sees %q, not %q", out, want)
	}
}
