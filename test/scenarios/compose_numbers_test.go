package scenarios

import (
	"path/filepath"
	"strings"
	"testing"

	"lus/test/stack"
)

const sleeping = `
services:
  web: {image: busybox, command: sleep 300, init: true}
`

// As docker compose: what runs stays, whatever number it has.
func TestScaleKeepsTheContainerThatThereIs(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{"compose.yaml": sleeping})
	p.ok("up", "-d", "--scale", "web=2")
	second := p.OK(t, "inspect", "-f", "{{.Id}}", p.name+"-web-2")
	p.OK(t, "rm", "-f", p.name+"-web-1")
	for _, scale := range [][]string{{"scale", "web=1"}, {"up", "-d", "--scale", "web=1"}, {"up", "-d"}} {
		p.ok(scale...)
		if got := strings.TrimSpace(p.ok("ps", "-a", "-q", "--no-trunc")); got != second {
			t.Errorf("after %v there is %q, not %s", scale, got, second)
		}
	}
	if got := p.ok("exec", "-T", "web", "echo", "reached"); got != "reached" {
		t.Errorf("exec printed %q", got)
	}
	r := p.do("exec", "-T", "--index", "1", "web", "true")
	r.Want(t, 1)
	stack.Says(t, r.Err, "no running container 1")
	p.ok("scale", "web=2")
	if got := p.ok("ps", "--format", "{{.Name}}"); !strings.Contains(got, p.name+"-web-2") || !strings.Contains(got, p.name+"-web-3") {
		t.Errorf("scaled up again there are %q", got)
	}
}

func TestUpAndStartDoNotTakeAPausedContainerForARunningOne(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{"compose.yaml": sleeping})
	p.ok("up", "-d")
	p.ok("pause")
	for _, verb := range [][]string{{"up", "-d"}, {"create"}, {"start"}} {
		r := p.do(verb...)
		r.Want(t, 1)
		stack.Says(t, r.Err, "container "+p.name+"-web-1 is paused", "lus compose unpause")
	}
	p.ok("unpause")
	p.ok("up", "-d")
	if got := p.OK(t, "inspect", "-f", "{{.State.Status}}", p.name+"-web-1"); got != "running" {
		t.Errorf("it is %s", got)
	}
}

// Who asks whether to remove waits for an answer, and somebody may start meanwhile
// what was to go.
func TestRmRemovesNothingThatWasStartedSince(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{"compose.yaml": sleeping})
	p.ok("up", "-d", "--scale", "web=2")
	p.ok("stop", "-t", "0")
	r := p.DoIn(p.dir, nil, "sh", "-c", `mkfifo answer
"$0" compose -p "$1" rm <answer 2>said &
exec 3>answer
until grep -q sure said; do sleep 0.05; done
"$0" start "$1-web-1"
echo y >&3
wait $!; code=$?
cat said >&2; exit $code`, filepath.Join(p.Bin, "lus"), p.name)
	r.Want(t, 1)
	if got := p.ok("ps", "-a", "--format", "{{.Name}} {{.State}}"); got != p.name+"-web-1 running" {
		t.Errorf("there are %q:\n%s", got, r.Err)
	}
}
