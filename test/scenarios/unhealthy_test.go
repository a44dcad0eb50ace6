package scenarios

import (
	"strings"
	"testing"

	"lus/test/stack"
)

func TestAnUnhealthyContainerIsRestartedWhereItAsksForIt(t *testing.T) {
	t.Parallel()
	s := shared(t)
	for asked, args := range map[string][]string{
		"by lus's flag":          {s.Bin + "/lus", "run", "--restart-unhealthy"},
		"by docker's label":      {dockerClient(t), "run", "--label", "org.lus.restart-unhealthy=true"},
		"by docker's annotation": {dockerClient(t), "run", "--annotation", "org.lus.restart-unhealthy=true"},
		"not at all":             {s.Bin + "/lus", "run"},
	} {
		t.Run(asked, func(t *testing.T) {
			t.Parallel()
			name := named(t, s, "unwell")
			// Its first life is sick, the second well; nothing is said of a life
			// before it is counted.
			args := append(args, "-d", "--name", name, "--health-cmd", "until [ -e /dev/shm/counted ]; do sleep 0.05; done; test $(wc -l </lives) -gt 1", "--health-timeout", "10m",
				"--health-interval", "100ms", "--health-retries", "2", stack.Busybox, "sh", "-c", "trap 'exit 0' TERM; echo life >>/lives; : >/dev/shm/counted; while :; do sleep 0.05; done")
			s.Do(nil, args[0], args[1:]...).Want(t, 0)
			want := "healthy"
			if asked == "not at all" {
				want = "unhealthy"
			}
			stack.Eventually(t, "it to be "+want, func() bool { return s.OK(t, "inspect", "-f", "{{.State.Health.Status}}", name) == want })
			if lives := strings.Count(s.OK(t, "exec", name, "cat", "/lives"), "life"); lives != map[string]int{"healthy": 2, "unhealthy": 1}[want] {
				t.Errorf("it is %s in its life number %d", want, lives)
			}
			stack.Says(t, s.OK(t, "ps", "--filter", "name="+name), "("+want+")")
		})
	}
}
