package scenarios

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lus/test/stack"
)

// Output of a container with --log-driver none reaches whoever is attached, and
// nothing of it is kept: not to be read, nor on the disk.
func TestWithoutALog(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name := named(t, s, "nolog")
	const script = `i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; echo err >&2`
	got := s.Lus("run", "--name", name, "--log-driver", "none", "busybox", "sh", "-c", script)
	got.Want(t, 0)
	if lines := strings.Count(got.Out, "\n"); lines != 2000 || got.Err != "err\n" {
		t.Errorf("attached, it printed %d lines and said %q", lines, got.Err)
	}
	stack.Says(t, s.Fail(t, 1, "logs", name), "configured logging driver does not support reading")
	stack.Says(t, s.OK(t, "inspect", "-f", "type={{.HostConfig.LogConfig.Type}} path={{.LogPath}};", name), "type=none path=;")
	id := s.OK(t, "inspect", "-f", "{{.Id}}", name)
	nothingKept(t, s, id)

	// The next run is a new one, also for who attaches before it starts.
	got = s.Lus("start", "-a", name)
	got.Want(t, 0)
	if lines := strings.Count(got.Out, "\n"); lines != 2000 {
		t.Errorf("the second run printed %d lines", lines)
	}
	nothingKept(t, s, id)
}

func TestWithoutALogAfterTheDaemon(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	id := s.OK(t, "run", "-d", "--log-driver", "none", "busybox", "sh", "-c", "echo secret; until [ -e /go ]; do sleep 0.05; done")
	stack.Eventually(t, "the output passes", func() bool {
		files, _ := filepath.Glob(filepath.Join(s.Container(id), "output.log*"))
		return len(files) > 0
	})
	s.Kill()
	s.StartDaemon(t)
	s.OK(t, "exec", id, "touch", "/go")
	s.OK(t, "wait", id)
	nothingKept(t, s, id)
}

// nothingKept: the container's folder has no output in it any more.
func nothingKept(t *testing.T, s *stack.Stack, id string) {
	t.Helper()
	stack.Eventually(t, "what passed is gone", func() bool {
		files, err := filepath.Glob(filepath.Join(s.Container(id), "output.log*"))
		return err == nil && len(files) == 0
	})
	if _, err := os.Stat(s.Container(id)); err != nil {
		t.Errorf("the container's folder: %v", err)
	}
}

func TestParityLogDrivers(t *testing.T) {
	parity(t, []row{
		{do: "docker run --name W-a --log-driver none busybox sh -c 'echo out; echo err >&2'", out: "out\n", err: "err"},
		{do: "docker logs W-a", err: "configured logging driver does not support reading", code: 1},
		{do: "docker start -a W-a", out: "out\n", err: "err"},
		{do: "docker inspect -f '{{.HostConfig.LogConfig.Type}} {{json .LogPath}}' W-a", out: "none \"\"\n"},
		{do: "docker run --rm --log-driver none --log-opt max-size=1m busybox true", err: "invalid logging opts for driver none", code: 125},
		{do: "docker run -di --name W-i --log-driver none busybox sh -c 'read x; echo got $x; exit 3'", out: "ID\n"},
		{do: "echo word | docker attach W-i", out: "got word\n", code: 3},
		{do: "docker run --name W-l --log-driver local --log-opt max-size=1m --log-opt max-file=2 --log-opt compress=false busybox echo kept", out: "kept\n"},
		{do: "docker logs W-l", out: "kept\n"},
		{do: "docker inspect -f '{{json .HostConfig.LogConfig}}' W-l", out: `"Type":"local"`},
		{do: "docker run --rm --log-driver syslog busybox true", err: "no log driver named 'syslog'", code: 125},
		{do: "docker run --rm --log-opt compress=true busybox true", err: "compress=true is not supported", code: 125},
	})
}
