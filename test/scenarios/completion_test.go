package scenarios

import (
	"strings"
	"testing"

	"lus/test/need"
	"lus/test/stack"
)

func TestBashCompletesCommandsFlagsAndLiveNames(t *testing.T) {
	t.Parallel()
	s := shared(t)
	bash := need.Program(t, "bash", "bash")
	name, net, v := named(t, s, "complete"), network(t, s), volume(t, s)
	s.OK(t, "create", "--name", name, "-v", v+":/v", stack.Busybox, "true")
	for line, want := range map[string]string{
		"lus contai":                         "container",
		"lus container st":                   "start",
		"lus system d":                       "df",
		"lus run --restart-un":               "--restart-unhealthy",
		"lus start complete-":                name,
		"lus container rm " + name[:11]:      name,
		"lus run busyb":                      "busybox:latest",
		"lus run busybox:la":                 "latest", // bash takes the colon for a word's end
		"lus network rm " + net:              net,
		"lus volume inspect " + v[:len(v)-1]: v,
	} {
		script := `source <(lus completion bash); COMP_LINE=$1; COMP_POINT=${#1}; $(complete -p lus | grep -o '_lus') ; printf '%s\n' "${COMPREPLY[@]}"`
		got := s.Do(nil, bash, "-c", script, "bash", line).Want(t, 0)
		found := false
		for _, g := range strings.Fields(got) {
			found = found || g == want
		}
		if !found {
			t.Errorf("%q completes to %q, not %q", line, got, want)
		}
	}
	if got := s.Do(nil, bash, "-c", "lus __complete start no-such-name-").Want(t, 0); got != "" {
		t.Errorf("nothing begins so, and it says %q", got)
	}
}
