package scenarios

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"lus/test/stack"
)

// TestIntents carries out the intents of testdata/intents: one a paragraph, one
// invariant each. A paragraph reads
//
//	=== what is promised
//	services:
//	  web: {$idle}
//	---
//	up -d
//	  says p-web-1  Started
//
// The compose.yaml stands between the title and ---, then come the steps. What
// is not one of the words below is given to lus compose and has to succeed; what
// is indented looks at what the step before it printed.
//
//	! STEP               the step has to fail
//	lus ARGS, sh LINE    another command, the latter in the project's folder
//	until STEP           again until it succeeds
//	file NAME            the indented lines after it are written to that file
//	edit OLD => NEW      in compose.yaml; edit @NAME OLD => NEW in another file
//	mark                 remembers the containers
//	same, new A-1 ...    since the mark: the same containers, others
//	runs, ended, gone A-1 ...
//	page PORT TEXT       what is served there contains the text
//	  says TEXT, lacks TEXT, code N
//
// $idle is a container that sleeps and ends at once when stopped, $ok a health
// check that holds; $P is the project, $PORT and $PORT2 are free ports and $RANGE
// is three of them. p-web-1 in what is printed stands for the project's real name.
func TestIntents(t *testing.T) {
	files, err := filepath.Glob("testdata/intents/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no intents", err)
	}
	total := 0
	for _, f := range files {
		for _, i := range intents(t, f) {
			total++
			t.Run(i.title, func(t *testing.T) {
				t.Parallel()
				i.run(t, shared(t))
			})
		}
	}
	t.Logf("%d intents", total)
}

type intent struct {
	title, yaml string
	steps       []string // with the indented lines below each
	where       string
}

// intents reads one file.
func intents(t *testing.T, path string) []intent {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []intent
	var now *intent
	inSteps := false
	line := 0
	for sc := bufio.NewScanner(strings.NewReader(string(data))); sc.Scan(); {
		line++
		text := sc.Text()
		switch title, ok := strings.CutPrefix(text, "=== "); {
		case ok:
			out = append(out, intent{title: title, where: fmt.Sprintf("%s:%d", path, line)})
			now, inSteps = &out[len(out)-1], false
		case now == nil || strings.HasPrefix(text, "# "): // what stands above the first, and notes
		case text == "---":
			inSteps = true
		case !inSteps:
			now.yaml += text + "\n"
		case strings.HasPrefix(text, "  "):
			now.steps[len(now.steps)-1] += "\n" + text[2:]
		case text != "":
			now.steps = append(now.steps, text)
		}
	}
	return out
}

// attempt is an intent being carried out.
type attempt struct {
	*project
	words  *strings.Replacer
	marked map[string]string // container -> id
	last   stack.Result
}

func (i intent) run(t *testing.T, s *stack.Stack) {
	p := compose(t, s, map[string]string{})
	first := stack.Ports(t, 3)
	a := &attempt{project: p, words: strings.NewReplacer(
		"$idle", "image: busybox, command: sleep 10000, stop_signal: KILL",
		"$ok", "healthcheck: {test: 'true', interval: 100ms, start_interval: 100ms, start_period: 10m}",
		"$LUS", filepath.Join(s.Bin, "lus"), "$RANGE", fmt.Sprintf("%d-%d", first, first+2), "$PORT2", stack.Port(t), "$PORT", stack.Port(t), "$P", p.name, "$DIR", p.dir)}
	a.project.write("compose.yaml", a.words.Replace(i.yaml))
	for _, step := range i.steps {
		head, below, _ := strings.Cut(step, "\n")
		a.step(i.where+": "+head, a.words.Replace(head), a.words.Replace(below))
		if t.Failed() {
			return
		}
	}
}

func (a *attempt) step(where, head, below string) {
	a.t.Helper()
	word, rest, _ := strings.Cut(head, " ")
	switch word {
	case "file":
		a.project.write(rest, below+"\n")
		return
	case "edit":
		a.edit(where, rest)
		return
	case "mark":
		a.marked = a.ids()
		return
	case "same", "new", "gone", "runs", "ended":
		a.look(where, word, strings.Fields(rest))
		return
	case "page":
		port, text, _ := strings.Cut(rest, " ")
		stack.Says(a.t, stack.Page(a.t, port, "/"), text)
		return
	case "until":
		stack.Eventually(a.t, where, func() bool { a.last = a.command(rest); return a.last.Code == 0 && a.missing(below) == "" })
		return
	case "!":
		a.last = a.command(rest)
		if a.last.Code == 0 {
			a.t.Fatalf("%s: it succeeded:\n%s", where, a.last.All())
		}
	default:
		a.last = a.command(head)
		if a.last.Code != 0 && !strings.Contains("\n"+below, "\ncode ") {
			a.t.Fatalf("%s: exit code %d:\n%s", where, a.last.Code, a.last.All())
		}
	}
	if what := a.missing(below); what != "" {
		a.t.Errorf("%s: %s in:\n%s", where, what, a.last.All())
	}
}

func (a *attempt) command(line string) stack.Result {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "lus":
		return a.Lus(fields(rest)...)
	case "sh":
		return a.DoIn(a.dir, nil, "sh", "-ec", rest)
	}
	return a.do(fields(line)...)
}

// missing tells which of the lines below a step does not hold.
func (a *attempt) missing(below string) string {
	said := strings.ReplaceAll(a.last.All(), a.name, "p")
	for line := range strings.Lines(below) {
		word, text, _ := strings.Cut(strings.TrimRight(line, "\n"), " ")
		text = strings.ReplaceAll(text, a.name, "p")
		switch {
		case word == "says" && !strings.Contains(said, text):
			return fmt.Sprintf("nothing says %q", text)
		case word == "lacks" && strings.Contains(said, text):
			return fmt.Sprintf("%q stands", text)
		case word == "code" && fmt.Sprint(a.last.Code) != text:
			return fmt.Sprintf("the exit code is %d", a.last.Code)
		case !slices.Contains([]string{"says", "lacks", "code"}, word):
			return fmt.Sprintf("%q is no word of an intent", word)
		}
	}
	return ""
}

func (a *attempt) edit(where, what string) {
	a.t.Helper()
	name := "compose.yaml"
	if rest, ok := strings.CutPrefix(what, "@"); ok {
		name, what, _ = strings.Cut(rest, " ")
	}
	old, now, ok := strings.Cut(what, " => ")
	data, err := os.ReadFile(filepath.Join(a.dir, name))
	if err != nil || !ok || !strings.Contains(string(data), old) {
		a.t.Fatalf("%s: nothing to edit: %v\n%s", where, err, data)
	}
	a.project.write(name, strings.ReplaceAll(string(data), old, now))
}

// ids are the project's containers: web-1 -> "id state".
func (a *attempt) ids() map[string]string {
	out := map[string]string{}
	list := a.OK(a.t, "ps", "-a", "--no-trunc", "--filter", "label=com.docker.compose.project="+a.name, "--format", "{{.Names}} {{.ID}} {{.State}}")
	for line := range strings.Lines(list) {
		name, id, _ := strings.Cut(strings.TrimSpace(line), " ")
		out[strings.TrimPrefix(name, a.name+"-")] = id
	}
	return out
}

func (a *attempt) look(where, word string, names []string) {
	a.t.Helper()
	now := a.ids()
	for _, n := range names {
		id, state, _ := strings.Cut(now[n], " ")
		was, _, _ := strings.Cut(a.marked[n], " ")
		holds := map[string]bool{
			"same": id != "" && id == was, "new": id != "" && id != was, "gone": id == "",
			"runs": state == "running", "ended": state == "exited" || state == "created",
		}[word]
		if !holds {
			a.t.Errorf("%s: not so of %s: was %q, is %q of %v", where, n, a.marked[n], now[n], now)
		}
	}
}

// fields cuts a line at spaces, but not within 'quotes'.
func fields(line string) []string {
	var out []string
	for _, m := range regexp.MustCompile(`(?:'[^']*'|\S)+`).FindAllString(line, -1) {
		out = append(out, strings.ReplaceAll(m, "'", ""))
	}
	return out
}
