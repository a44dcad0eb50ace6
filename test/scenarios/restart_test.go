package scenarios

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"lus/test/stack"
)

// A container that fails at once is started again after a tenth of a second,
// then after twice as long each time; the events tell it, and RestartCount how
// often.
func TestRestartsBackOff(t *testing.T) {
	t.Parallel()
	s := shared(t)
	name, begun := named(t, s, "again"), time.Now()
	s.OK(t, "run", "-d", "--name", name, "--restart", "on-failure:4", "busybox", "false")
	stack.Eventually(t, "four restarts and the end", func() bool {
		return s.Lus("inspect", "-f", "{{.State.Status}} {{.RestartCount}}", name).Out == "exited 4\n"
	})
	out := s.OK(t, "events", "--since", fmt.Sprint(begun.Unix()-1), "--until", fmt.Sprint(time.Now().Unix()+1),
		"--filter", "container="+name, "--filter", "event=die", "--filter", "event=start", "--format", "{{.Action}} {{.TimeNano}}")
	var actions []string
	var at []time.Duration
	for line := range strings.Lines(out) {
		action, nano, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.ParseInt(nano, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		actions, at = append(actions, action), append(at, time.Duration(n))
	}
	if got, want := strings.Join(actions, " "), strings.TrimSpace(strings.Repeat("start die ", 5)); got != want {
		t.Fatalf("the events are %s, want %s", got, want)
	}
	for i, least := 1, 100*time.Millisecond; i < len(at)-1; i, least = i+2, 2*least {
		if gap := at[i+1] - at[i]; gap < least {
			t.Errorf("restart %d came after %v, want at least %v", (i+1)/2, gap, least)
		}
	}
}

func TestParityRestart(t *testing.T) {
	parity(t, []row{
		{do: "docker run -d --name W-a --restart on-failure:2 busybox sh -c 'exit 4'; until [ \"$(docker inspect -f '{{.State.Status}} {{.RestartCount}}' W-a)\" = 'exited 2' ]; do sleep .1; done", out: "ID\n"},
		{do: "docker inspect -f '{{.State.ExitCode}} {{.RestartCount}} {{.State.Restarting}}' W-a", out: "4 2 false\n"},
		{do: "until [ $(docker events --since 1h --until 0s --filter container=W-a --filter event=die | wc -l) -ge 3 ]; do sleep .1; done; docker events --since 1h --until 0s --filter container=W-a --filter event=die --format '{{.Action}} {{.Actor.Attributes.exitCode}}'", out: "die 4\ndie 4\ndie 4\n"},
		{do: "docker start W-a; until [ \"$(docker inspect -f '{{.State.Status}} {{.RestartCount}}' W-a)\" = 'exited 2' ]; do sleep .1; done", out: "W-a\n"},
		{do: "docker run -d --name W-always --restart always busybox true; until [ $(docker inspect -f '{{.RestartCount}}' W-always) -ge 2 ]; do sleep .1; done", out: "ID\n"},
		{do: "docker stop W-always; docker inspect -f '{{.State.Status}}' W-always", out: "W-always\nexited\n"},
		{do: "docker run -d --name W-ok --restart on-failure busybox true; docker wait W-ok; docker inspect -f '{{.RestartCount}} {{.State.Status}}' W-ok", out: "ID\n0\n0 exited\n"},
		{do: "docker update --restart no W-always; docker start -a W-always; docker inspect -f '{{.HostConfig.RestartPolicy.Name}} {{.State.Status}}' W-always", out: "W-always\nno exited\n"},
	})
}
