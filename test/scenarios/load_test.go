package scenarios

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"lus/test/stack"
)

// load is what people do while the daemon is killed. A command may fail,
// because the daemon just died; what one was told must hold.
type load struct {
	s     *stack.Stack
	kinds []string // of commands that count
	dir   string   // scratch
	port  string   // that the container that is stopped and started publishes
	pulls []pulled

	mu      sync.Mutex
	through map[string]int  // kind -> how many got through
	told    map[string]bool // ids of containers that people were told of
	built   map[string]string
	wrong   []string
}

// pulled is an image in the registry.
type pulled struct {
	ref  string
	sum  string // of the file in it
	blob string // the digest of the layer with the file
}

func newLoad(t *testing.T, s *stack.Stack) *load {
	l := &load{
		s: s, kinds: []string{"run", "exec", "logs", "stop", "start", "build", "pull"},
		dir: t.TempDir(), port: stack.Port(t),
		through: map[string]int{}, told: map[string]bool{}, built: map[string]string{},
	}
	registry := stack.Registry(t)
	for i := range 3 {
		data := make([]byte, 2<<20)
		_, _ = rand.Read(data)
		sum := sha256.Sum256(data)
		ref := fmt.Sprintf("%s/team/pulled:%d", registry, i)
		l.pulls = append(l.pulls, pulled{ref: ref, sum: hex.EncodeToString(sum[:]), blob: stack.PushFile(t, ref, "data", data)})
	}
	// Its n-th life says so at both ends, and a stop ends it with 7.
	s.OK(t, "run", "-d", "--name", "mover", "-p", l.port+":80", stack.Busybox, "sh", "-c",
		`n=$(($(cat /n 2>/dev/null) + 1)); trap 'echo end $n; exit 7' TERM; echo $n >/n; echo begin $n; while :; do sleep 1000 & wait $!; done`)
	return l
}

// start begins the load and returns what ends it.
func (l *load) start() (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	for _, work := range []func(i int) bool{l.run, l.exec, l.logs, l.move, l.build, l.pull} {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				if !work(i) {
					time.Sleep(5 * time.Millisecond) // the daemon is dead for a moment
				}
			}
		})
	}
	return func() {
		close(done)
		wg.Wait()
	}
}

// got counts a command that got through.
func (l *load) got(kind string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.through[kind]++
}

func (l *load) count(kind string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.through[kind]
}

// awaitOne waits until one more command of a kind got through.
func (l *load) awaitOne(t *testing.T, kind string) {
	t.Helper()
	had := l.count(kind)
	stack.Eventually(t, "another "+kind+" to get through", func() bool { return l.count(kind) > had })
}

// lie notes that what somebody was told does not hold.
func (l *load) lie(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
}

// run: a container is labelled with the code it must end with, so that those
// that nobody was told of are known, too.
func (l *load) run(i int) bool {
	code := 1 + i%200
	r := l.s.Lus("run", "-d", "--label", "code="+strconv.Itoa(code), stack.Busybox, "sh", "-c",
		fmt.Sprintf("echo begin %d; usleep 40000; echo end %d; exit %d", code, code, code))
	id := strings.TrimSpace(r.Out)
	if r.Code != 0 || len(id) != 64 {
		return false
	}
	l.mu.Lock()
	l.told[id] = true
	l.mu.Unlock()
	l.got("run")
	return true
}

func (l *load) exec(int) bool {
	r := l.s.Lus("exec", "server", "sh", "-c", "echo in; exit 42")
	switch {
	case r.Code == 42 && r.Out == "in\n":
		l.got("exec")
		return true
	case r.Code == 0 || r.Code == 42:
		l.lie("exec gave code %d and %q", r.Code, r.Out)
	}
	return false
}

func (l *load) logs(int) bool {
	r := l.s.Lus("logs", "--tail", "50", "writer1")
	out := strings.Fields(r.Out)
	for i := 1; i < len(out); i++ {
		a, _ := strconv.Atoi(out[i-1])
		if b, _ := strconv.Atoi(out[i]); b != a+1 && (i < len(out)-1 || r.Code == 0) {
			l.lie("logs gave %d after %d", b, a)
		}
	}
	if r.Code == 0 {
		l.got("logs")
	}
	return r.Code == 0
}

// move stops and starts one container. Nobody else does, so it must be as the
// last command that got through has left it.
func (l *load) move(i int) bool {
	kind, want := "stop", "exited 7"
	if i%2 == 1 {
		kind, want = "start", "running 0"
	}
	for l.s.Lus(kind, "mover").Code != 0 {
		time.Sleep(5 * time.Millisecond)
	}
	var got stack.Result
	for got.Code = -1; got.Code != 0; {
		got = l.s.Lus("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", "mover")
	}
	if state := strings.TrimSpace(got.Out); state != want {
		l.lie("after a %s it is %q, want %q", kind, state, want)
	}
	// A signal that comes before its trap is set would be lost on it.
	for kind == "start" && !strings.HasPrefix(l.s.Lus("logs", "--tail", "1", "mover").Out, "begin") {
		time.Sleep(5 * time.Millisecond)
	}
	l.got(kind)
	return true
}

func (l *load) build(i int) bool {
	tag, dir := fmt.Sprintf("built:%d", i), filepath.Join(l.dir, strconv.Itoa(i))
	if err := os.Mkdir(dir, 0o755); err != nil {
		l.lie("%v", err)
	}
	text := fmt.Sprintf("FROM %s\nRUN echo %d >/number\n", stack.Busybox, i)
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(text), 0o644); err != nil {
		l.lie("%v", err)
	}
	if l.s.Lus("build", "-q", "-t", tag, dir).Code != 0 {
		return false
	}
	l.mu.Lock()
	l.built[tag] = strconv.Itoa(i)
	l.mu.Unlock()
	l.got("build")
	return true
}

// pull: the image is removed first, so that there is something to get.
func (l *load) pull(i int) bool {
	p := l.pulls[i%len(l.pulls)]
	l.s.Lus("rmi", "-f", p.ref)
	if l.s.Lus("pull", "-q", p.ref).Code != 0 {
		return false
	}
	if r := l.s.Lus("run", "--rm", p.ref, "sha256sum", "/data"); r.Code == 0 && !strings.HasPrefix(r.Out, p.sum) {
		l.lie("the file in %s is %q", p.ref, r.Out)
	}
	l.got("pull")
	return true
}

// check holds what people were told against what is. Each kind of command must
// have got through as often as it was waited for.
func (l *load) check(t *testing.T, least int) {
	t.Helper()
	for _, w := range l.wrong {
		t.Error(w)
	}
	for _, kind := range l.kinds {
		if l.through[kind] < least || l.through[kind] == 0 {
			t.Errorf("only %d times %s got through", l.through[kind], kind)
		}
	}
	l.checkContainers(t)
	l.checkLives(t)
	for tag, number := range l.built {
		if got := l.s.OK(t, "run", "--rm", tag, "cat", "/number"); got != number {
			t.Errorf("%s holds %q", tag, got)
		}
	}
	for _, p := range l.pulls {
		l.s.OK(t, "pull", "-q", p.ref)
		if got := l.s.OK(t, "run", "--rm", p.ref, "sha256sum", "/data"); !strings.HasPrefix(got, p.sum) {
			t.Errorf("the file in %s is %q", p.ref, got)
		}
	}
	t.Logf("got through: %v; %d containers with their exit codes", l.through, len(l.told))
}

// checkContainers looks at every container that the load started, told of or not.
func (l *load) checkContainers(t *testing.T) {
	t.Helper()
	const format = `{{.Id}} {{.State.Status}} {{.State.ExitCode}} {{index .Config.Labels "code"}}`
	look := func() string { return inspectAll(l.s, format, "--filter", "label=code") }
	stack.Eventually(t, "the containers' ends", func() bool { return !strings.Contains(look(), " running ") })
	seen := map[string]bool{}
	for line := range strings.Lines(look()) {
		f := strings.Fields(line)
		id, status, code, want := f[0], f[1], f[2], f[3]
		seen[id] = true
		if status == "created" && !l.told[id] {
			continue // its start did not get through
		}
		if status != "exited" || code != want {
			t.Errorf("%s, which people were told of (%v), is %s with code %s, want %s", id[:12], l.told[id], status, code, want)
		}
		if log, want := l.s.OK(t, "logs", id), fmt.Sprintf("begin %s\nend %s", want, want); log != want {
			t.Errorf("%s: its log is %q, want %q", id[:12], log, want)
		}
	}
	for id := range l.told {
		if !seen[id] {
			t.Errorf("there is no container %s, which people were told of", id[:12])
		}
	}
}

// checkLives checks that each life of the container that was stopped and
// started has left its two lines.
func (l *load) checkLives(t *testing.T) {
	t.Helper()
	l.s.OK(t, "stop", "mover")
	lines := strings.Split(l.s.OK(t, "logs", "mover"), "\n")
	for i, line := range lines {
		want := fmt.Sprintf("begin %d", i/2+1)
		if i%2 == 1 {
			want = fmt.Sprintf("end %d", i/2+1)
		}
		if line != want {
			t.Fatalf("line %d of its %d lives is %q, want %q", i, len(lines)/2, line, want)
		}
	}
	if len(lines)%2 == 1 {
		t.Errorf("its log ends with %q", lines[len(lines)-1])
	}
	l.s.OK(t, "start", "mover")
}

// filesLeft are the files of containers, of half a download, and of images that
// were pulled and removed, that are still there.
func (l *load) filesLeft() string {
	blobs := map[string]bool{}
	for _, p := range l.pulls {
		blobs[p.blob] = true
	}
	var out []string
	_ = filepath.WalkDir(l.s.Root, func(path string, d fs.DirEntry, err error) error {
		rel := strings.TrimPrefix(path, l.s.Root)
		if err == nil && (blobs[d.Name()] || strings.Contains(rel, "/ingest/") || strings.HasPrefix(rel, "/containers/")) {
			out = append(out, "left: "+rel)
		}
		return nil
	})
	records, _ := filepath.Glob(filepath.Join(l.s.Run, "keeper", "*"))
	return strings.Join(append(out, records...), "\n")
}
