package scenarios

import (
	"os"
	"strings"
	"testing"

	"lus/test/stack"
)

// A volume that is a file system of its own is mounted with the first container
// that runs with it, shared by all, and unmounted after the last: a tmpfs is
// empty again then.
func TestAVolumeThatIsATmpfs(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	s.OK(t, "volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m,uid=7,mode=0700", "fast")
	where := s.OK(t, "volume", "inspect", "-f", "{{.Mountpoint}}", "fast")
	if mountedAt(t, where) {
		t.Error("nobody uses it yet, and it is mounted")
	}
	const sleep = "exec sleep 300"
	s.OK(t, "run", "-d", "--name", "one", "-v", "fast:/v", "busybox", "sh", "-c", sleep)
	s.OK(t, "run", "-d", "--name", "two", "-v", "fast:/v:ro", "busybox", "sh", "-c", sleep)
	if got := s.OK(t, "exec", "one", "sh", "-c", "echo hi >/v/f; stat -c '%u %a' /v; df -k /v | tail -1 | awk '{print $1, $2}'"); got != "7 700\ntmpfs 1024" {
		t.Errorf("the volume is %q", got)
	}
	if got := s.OK(t, "exec", "two", "cat", "/v/f"); got != "hi" {
		t.Errorf("the other reads %q", got)
	}
	s.OK(t, "stop", "-t", "0", "one")
	if got := s.OK(t, "exec", "two", "cat", "/v/f"); got != "hi" {
		t.Errorf("with one of two stopped, the other reads %q", got)
	}

	// The daemon that comes back knows that it is in use, and by whom.
	s.Kill()
	s.StartDaemon(t)
	if got := s.OK(t, "exec", "two", "cat", "/v/f"); got != "hi" {
		t.Errorf("after the daemon's death the other reads %q", got)
	}
	s.OK(t, "start", "one")
	s.OK(t, "stop", "-t", "0", "one", "two")
	stack.Eventually(t, "the volume to be unmounted", func() bool { return !mountedAt(t, where) })
	s.OK(t, "start", "one")
	if got := s.OK(t, "exec", "one", "ls", "/v"); got != "" {
		t.Errorf("it is to be new, and has %q", got)
	}

	// What ends while the daemon is dead is unmounted by the next one.
	s.Kill()
	s.StartDaemon(t)
	s.OK(t, "rm", "-f", "one", "two")
	stack.Eventually(t, "the volume to be unmounted after a removal", func() bool { return !mountedAt(t, where) })
	s.OK(t, "volume", "rm", "fast")
}

// Files are copied in and out of a container that does not run: its volumes are
// mounted for that long.
func TestFilesOfAVolumeThatIsMounted(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	s.OK(t, "volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "fast")
	where := s.OK(t, "volume", "inspect", "-f", "{{.Mountpoint}}", "fast")
	s.OK(t, "create", "--name", "one", "-v", "fast:/v", "busybox", "true")
	file := stack.Folder(t, map[string]string{"f": "x"}) + "/f"
	s.OK(t, "cp", file, "one:/v/f")
	if mountedAt(t, where) {
		t.Error("it is still mounted")
	}
	if entries, err := os.ReadDir(where); err != nil || len(entries) > 0 {
		t.Errorf("below the mount lie %v, %v", entries, err)
	}
}

// What cannot be mounted fails the start, and what makes no sense the creation.
func TestVolumeOptionsThatAreWrong(t *testing.T) {
	t.Parallel()
	s := shared(t)
	for options, why := range map[string]string{
		"-o nonsense=x":                          `invalid option: "nonsense"`,
		"-o type=tmpfs":                          `missing required option: "device"`,
		"-o o=size=1m -o device=tmpfs":           `missing required option: "type"`,
		"-o type=none -o o=bind -o device=a":     "the absolute path of a folder",
		"-o type=nfs -o device=:/x -o o=addr=h":  "mount it on the host and use type=none",
		"-o type=tmpfs -o device=x -o o=remount": `invalid mount option "remount"`,
	} {
		stack.Says(t, s.Fail(t, 1, append([]string{"volume", "create"}, strings.Fields(options)...)...), why)
	}
	name, v := named(t, s, "unmountable"), volume(t, s)
	s.OK(t, "volume", "create", "-o", "type=ext4", "-o", "device=/dev/null", v)
	stack.Says(t, s.Fail(t, 125, "run", "--name", name, "-v", v+":/v", "busybox", "true"), "failed to mount local volume "+v)
	s.OK(t, "rm", name)
	s.OK(t, "volume", "rm", v)
	// As a mount's own option, for a volume that is made with the container.
	v = volume(t, s)
	got := s.OK(t, "run", "--rm", "--mount", "type=volume,source="+v+",target=/v,volume-driver=local,volume-opt=type=tmpfs,volume-opt=device=tmpfs,volume-opt=o=size=2m",
		"busybox", "sh", "-c", "df -k /v | tail -1 | awk '{print $2}'")
	if got != "2048" {
		t.Errorf("the volume has %s kB", got)
	}
}

func mountedAt(t *testing.T, path string) bool {
	t.Helper()
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(table), " "+path+" ")
}
