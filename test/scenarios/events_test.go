package scenarios

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"lus/internal/model/event"
	"lus/test/stack"
)

// happened lists what a stack's daemon told of since a moment, up to now.
func happened(t *testing.T, s *stack.Stack, since string, filters ...string) (out []event.Event) {
	t.Helper()
	args := []string{"events", "--since", since, "--until", stamp(), "--format", "json"}
	for _, f := range filters {
		args = append(args, "--filter", f)
	}
	for line := range strings.Lines(s.OK(t, args...)) {
		var e event.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		out = append(out, e)
	}
	return out
}

// stamp is this moment as clients take it.
func stamp() string { return time.Now().UTC().Format(time.RFC3339Nano) }

func TestEventsTellWhatDockerDocuments(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	client := dockerClient(t)
	since := stamp()
	s.OK(t, "network", "create", "net")
	s.OK(t, "create", "--name", "one", "--network", "net", "-v", "data:/data:ro", "--label", "l=m", "busybox",
		"sh", "-c", "trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done")
	s.OK(t, "start", "one")
	stack.Eventually(t, "its trap", func() bool { return strings.Contains(s.OK(t, "logs", "one"), "up") })
	s.OK(t, "exec", "one", "true")
	s.OK(t, "top", "one")
	s.OK(t, "pause", "one")
	s.OK(t, "unpause", "one")
	s.OK(t, "update", "--cpu-shares", "512", "one")
	s.OK(t, "rename", "one", "two")
	s.OK(t, "kill", "-s", "CONT", "two")
	s.OK(t, "stop", "two")
	s.OK(t, "restart", "two")
	s.OK(t, "rm", "-f", "two")
	s.OK(t, "volume", "rm", "data")
	s.OK(t, "network", "rm", "net")
	s.OK(t, "tag", "busybox", "other:1")
	s.OK(t, "rmi", "other:1")
	s.OK(t, "rmi", "busybox")
	s.OK(t, "container", "prune", "-f")

	want := strings.Fields(strings.NewReplacer("exec_create: true", "exec_create:_true", "exec_start: true", "exec_start:_true").Replace(`
		network/create volume/create container/create
		network/connect volume/mount container/start
		container/exec_create: true container/exec_start: true container/exec_die
		container/top container/pause container/unpause container/update container/rename
		container/kill
		container/kill container/die network/disconnect volume/unmount container/stop
		network/connect volume/mount container/start container/restart
		container/kill container/die network/disconnect volume/unmount container/destroy
		volume/destroy network/destroy
		image/tag image/untag image/untag image/delete
		container/prune`))
	all := happened(t, s, since)
	var got []string
	detail := map[string]map[string]string{} // the last of each kind
	for _, e := range all {
		name := e.Type + "/" + e.Action
		got = append(got, strings.ReplaceAll(name, " ", "_"))
		detail[name] = e.Actor.Attributes
		if e.Type == "container" && e.Action != "prune" && (e.Actor.Attributes["image"] != "busybox" || e.Actor.Attributes["l"] != "m" || len(e.Actor.ID) != 64) {
			t.Errorf("%s of %s: %v", name, e.Actor.ID, e.Actor.Attributes)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the events are\n%s\nwant\n%s", strings.Join(got, " "), strings.Join(want, " "))
	}
	for of, attributes := range map[string]string{
		"container/die":      "exitCode execDuration name",
		"container/kill":     "signal",
		"container/rename":   "oldName",
		"container/exec_die": "execID exitCode",
		"network/connect":    "container name type",
		"volume/mount":       "container destination driver propagation read/write",
		"volume/unmount":     "container driver",
		"container/prune":    "reclaimed",
		"image/tag":          "name",
	} {
		for _, key := range strings.Fields(attributes) {
			if _, ok := detail[of][key]; !ok {
				t.Errorf("%s has no %s: %v", of, key, detail[of])
			}
		}
	}
	if detail["volume/mount"]["read/write"] != "false" || detail["container/rename"]["oldName"] != "/one" || detail["container/die"]["exitCode"] != "137" {
		t.Errorf("what they say: %v", detail)
	}

	t.Run("each filter", func(t *testing.T) {
		for filter, want := range map[string]int{
			"type=network": 6, "type=volume": 6, "type=image": 4, "event=die": 2, "event=exec_create": 1, "event=rename": 1,
			"container=two": 10, "volume=data": 6, "network=net": 6, "label=l=m": 19, "label=l=no": 0, "image=other:1": 2,
			"scope=local": len(all), "scope=swarm": 0,
		} {
			ours := happened(t, s, since, filter)
			theirs := s.Do(nil, client, "events", "--since", since, "--until", stamp(), "--filter", filter, "--format", "json").Want(t, 0)
			if len(ours) != want && want != -1 || len(strings.Fields(strings.ReplaceAll(theirs, " ", ""))) != len(ours) {
				t.Errorf("%s: %d events, docker %q, want %d", filter, len(ours), theirs, want)
			}
		}
		stack.Says(t, s.Fail(t, 1, "events", "--until", stamp(), "--filter", "colour=red"), "invalid filter 'colour'")
	})
	t.Run("both clients print the same", func(t *testing.T) {
		until := stamp()
		for _, format := range []string{"", "json", "{{.Type}} {{.Action}} {{.Status}} {{.Actor.ID}} {{.ID}} {{.From}} {{.Scope}} {{.Time}} {{.TimeNano}} {{index .Actor.Attributes \"name\"}}", "{{json .Actor}}"} {
			args := []string{"events", "--since", since, "--until", until, "--format", format}
			if ours, theirs := s.OK(t, args...), s.Do(nil, client, args...).Want(t, 0); ours != theirs {
				t.Errorf("%q\nlus:\n%s\ndocker:\n%s", format, ours, theirs)
			}
		}
	})
}

func TestEventsOfATerminalAndOfHealth(t *testing.T) {
	t.Parallel()
	s := shared(t)
	since := stamp()
	name, sick := named(t, s, "term"), named(t, s, "sick")
	s.OK(t, "run", "-dit", "--name", name, stack.Busybox, "sh")
	term := s.Terminal(t, "attach", "--detach-keys", "ctrl-x,q", name)
	term.Type("echo he''re\n")
	term.Sees("here")
	term.Resize(30, 90)
	wait := func(action, container string) {
		t.Helper()
		stack.Eventually(t, action, func() bool { return len(happened(t, s, since, "container="+container, "event="+action)) > 0 })
	}
	wait("attach", name)
	stack.Eventually(t, "the size", func() bool {
		list := happened(t, s, since, "container="+name, "event=resize")
		return len(list) > 0 && list[len(list)-1].Actor.Attributes["height"] == "30" && list[len(list)-1].Actor.Attributes["width"] == "90"
	})
	term.Type("\x18q")
	if code := term.Ends(); code != 0 {
		t.Errorf("detaching ended with %d", code)
	}
	wait("detach", name)
	inner := s.Terminal(t, "exec", "-it", "--detach-keys", "ctrl-x,q", name, "sh")
	inner.Type("echo the''re\n")
	inner.Sees("there")
	inner.Type("\x18q")
	if code := inner.Ends(); code != 0 {
		t.Errorf("detaching an exec ended with %d", code)
	}
	wait("exec_detach", name)

	// The keys of the configuration file are taken where none are typed.
	config := stack.Folder(t, map[string]string{"config.json": `{"detachKeys": "ctrl-e,e"}`})
	third := s.Terminal(t, "--config", config, "attach", name)
	third.Type("echo a''gain\n")
	third.Sees("again")
	third.Type("\x05e")
	if code := third.Ends(); code != 0 {
		t.Errorf("detaching by the file's keys ended with %d", code)
	}

	s.OK(t, "run", "-d", "--name", sick, "--health-cmd", "false", "--health-interval", "100ms", "--health-retries", "1", stack.Busybox, "sleep", "300")
	wait("health_status", sick)
	if got := happened(t, s, since, "container="+sick, "event=health_status"); got[0].Action != "health_status: unhealthy" {
		t.Errorf("the event is %q", got[0].Action)
	}
}
