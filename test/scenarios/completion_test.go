package scenarios

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"lus/internal/base/ids"
	"lus/test/need"
	"lus/test/stack"
)

func TestBashCompletesCommandsFlagsAndLiveNames(t *testing.T) {
	t.Parallel()
	s := shared(t)
	bash := need.Program(t, "bash", "bash")
	name, net, v := named(t, s, "complete"), network(t, s), volume(t, s)
	s.OK(t, "create", "--name", name, "-v", v+":/v", stack.Busybox, "true")
	for line, want := range completions(name, net, v, configNetwork(t, s)) {
		script := `source <(lus completion bash); COMP_LINE=$1; COMP_POINT=${#1}; $(complete -p lus | grep -o '_lus') ; printf '%s\n' "${COMPREPLY[@]}"`
		got := s.Do(nil, bash, "-c", script, "bash", line).Want(t, 0)
		found := false
		for _, g := range strings.Fields(got) {
			found = found || g == want || strings.HasSuffix(want, ":"+g) // bash takes the colon for a word's end
		}
		if !found {
			t.Errorf("%q completes to %q, not %q", line, got, want)
		}
	}
	if got := s.Do(nil, bash, "-c", "lus __complete start no-such-name-").Want(t, 0); got != "" {
		t.Errorf("nothing begins so, and it says %q", got)
	}
}

// configNetwork is a network of settings alone, which goes with the test. Its name
// begins with a k.
func configNetwork(t *testing.T, s *stack.Stack) string {
	t.Helper()
	name := "k-" + ids.Short(ids.New())[:6]
	s.OK(t, "network", "create", "--config-only", name)
	t.Cleanup(func() { s.Lus("network", "rm", name) })
	return name
}

// completions are lines that are half typed, and what they become with one TAB.
func completions(name, net, v, configured string) map[string]string {
	return map[string]string{
		"lus contai":                         "container",
		"lus container star":                 "start",
		"lus system d":                       "df",
		"lus run --restart-un":               "--restart-unhealthy",
		"lus start " + name[:len(name)-1]:    name,
		"lus container rm " + name[:11]:      name,
		"lus run busyb":                      "busybox:latest",
		"lus run --network " + net:           net,
		"lus network create --config-o":      "--config-only",
		"lus network create --config-from k": configured,
		"lus run busybox:la":                 "busybox:latest",
		"lus network rm " + net:              net,
		"lus volume inspect " + v[:len(v)-1]: v,
	}
}

func TestFishCompletesCommandsFlagsAndLiveNames(t *testing.T) {
	t.Parallel()
	s := shared(t)
	fish := need.Program(t, "fish", "fish")
	name, net, v := named(t, s, "complete"), network(t, s), volume(t, s)
	s.OK(t, "create", "--name", name, "-v", v+":/v", stack.Busybox, "true")
	for line, want := range completions(name, net, v, configNetwork(t, s)) {
		got := s.Do(nil, fish, "--no-config", "-c", "lus completion fish | source; complete -C $argv[1]", line).Want(t, 0)
		if !slices.Contains(strings.Fields(got), want) {
			t.Errorf("%q completes to %q, not %q", line, got, want)
		}
	}
	folder := stack.Folder(t, map[string]string{"a-file": ""})
	got := s.DoIn(folder, nil, fish, "--no-config", "-c", "lus completion fish | source; complete -C 'lus build a-f'").Want(t, 0)
	stack.Says(t, got, "a-file")
}

// zshTypes is a zsh that types into another, on a terminal between them, and
// prints what each line was after the TAB.
const zshTypes = `
zmodload zsh/zpty
zpty typed "zsh -f -i"
zpty -w typed 'autoload -Uz compinit; compinit -u -d "$HOME/.zcompdump"; source <(lus completion zsh)'
zpty -w typed 'shown() { print -r -- "LINE=<$BUFFER>"; BUFFER= }; zle -N shown; bindkey "^X" shown; print RE''ADY'
zpty -r -m typed seen '*READY*'
for line; do
	zpty -w -n typed "$line"$'\t\x18'
	zpty -r -m typed seen '*LINE=<*>*'
	print -r -- "$seen"
done
zpty -d typed
`

func TestZshCompletesCommandsFlagsAndLiveNames(t *testing.T) {
	t.Parallel()
	s := shared(t)
	zsh := need.Program(t, "zsh", "zsh")
	name, net, v := named(t, s, "complete"), network(t, s), volume(t, s)
	s.OK(t, "create", "--name", name, "-v", v+":/v", stack.Busybox, "true")
	args := []string{"HOME=" + t.TempDir(), "TERM=dumb", "timeout", "600", zsh, "-f", "-c", zshTypes, "zsh"}
	wanted := completions(name, net, v, configNetwork(t, s))
	got := s.Do(nil, "env", append(args, slices.Collect(maps.Keys(wanted))...)...).Want(t, 0)
	got = strings.ReplaceAll(got, "\\:", ":")
	for line, want := range wanted {
		if whole := line[:strings.LastIndexByte(line, ' ')+1] + want; !strings.Contains(got, "LINE=<"+whole) {
			t.Errorf("%q does not complete to %q in:\n%q", line, whole, got)
		}
	}
}
