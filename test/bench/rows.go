package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// row is one line of the table: what was measured, the goals, and each side's
// samples.
type row struct {
	Name    string               `json:"name"`
	Unit    string               `json:"unit"`
	Goals   []goal               `json:"goals,omitempty"` // the first, then the tightened one
	Samples map[string][]float64 `json:"samples"`
}

// goal is how much the median may be, and how many times the floor's.
type goal struct {
	Value   float64 `json:"value"`
	Floors  float64 `json:"floors,omitempty"`
	AtLeast bool    `json:"at_least,omitempty"` // more is better
	Share   float64 `json:"share,omitempty"`    // at most this part of what Of takes
	Of      string  `json:"of,omitempty"`
}

func atMost(values ...float64) (goals []goal) {
	for _, v := range values {
		goals = append(goals, goal{Value: v})
	}
	return goals
}

func atLeast(value float64) []goal { return []goal{{Value: value, AtLeast: true}} }

// group is what is measured together, and its word for -only.
type group struct {
	name    string
	measure func() ([]*row, error)
}

func (b *suite) groups() []group {
	one := func(name string, f func() (*row, error)) group {
		return group{name, func() ([]*row, error) {
			r, err := f()
			return []*row{r}, err
		}}
	}
	return []group{
		{"bridge", b.bridge},
		one("none", b.none),
		one("port", b.port),
		{"exec", b.exec},
		{"detached", b.detached},
		one("hundred", b.hundred),
		one("twenty", b.twenty),
		{"tcp", b.tcp},
		{"logs", b.logs},
		{"memory", b.memory},
		{"many", b.many},
		{"grown", b.grown},
		{"build", b.build},
		{"big", b.big},
		one("context", b.context),
		one("stages", b.stages),
		one("commit", b.commit),
		one("first", b.firstRun),
		{"compose", b.compose},
		{"composeHundred", b.composeHundred},
		one("config", b.config),
		{"registry", b.registry},
	}
}

// rest is how long the machine is left alone before a sample of a few
// milliseconds. What the side before set going ends after its answer (the kernel
// takes a network namespace down, which others wait for), and is not the next
// one's to pay.
const rest = 100 * time.Millisecond

// rested is timed after a rest.
func (r *row) rested(side string, f func() error) error {
	time.Sleep(rest)
	return r.timed(side, f)
}

// timed runs f and adds its milliseconds to the row.
func (r *row) timed(side string, f func() error) error {
	begin := time.Now()
	if err := f(); err != nil {
		return err
	}
	r.add(side, float64(time.Since(begin).Microseconds())/1000)
	return nil
}

func (r *row) add(side string, sample float64) {
	if r.Samples == nil {
		r.Samples = map[string][]float64{}
	}
	r.Samples[side] = append(r.Samples[side], sample)
}

// only runs a command whose output does not matter.
func only(s *side, args ...string) func() error {
	return func() error {
		_, err := s.do(args...)
		return err
	}
}

func (b *suite) bridge() ([]*row, error) {
	goals := []goal{{Value: 12, Floors: 3.5}, {Value: 9, Floors: 2.7}}
	contenders := append(running(b.engines(), "run", "--rm", "busybox", "true"), b.bareFloor(b.lower, b.dir, "/bin/true"))
	return b.both("`run --rm busybox true`, bridge", goals, contenders)
}

// inARow is the name of a row whose samples have no rest before them.
const inARow = "the same, one right after the other"

// inARow times one run right after the other, each contender apart: as a script
// runs them, and as most benchmarks do.
func (b *suite) inARow(r *row, contenders []contender) (*row, error) {
	r.Unit = "ms"
	for _, c := range contenders {
		for i := range b.samples + 3 {
			into := r
			if i < 3 {
				into = &row{} // to warm up
			}
			if err := into.timed(c.name, c.run); err != nil {
				return nil, err
			}
			if err := c.tidy(); err != nil {
				return nil, err
			}
		}
	}
	return r, nil
}

// none has the runtimes beside it, which make no network either.
func (b *suite) none() (*row, error) {
	engines := running(b.engines(), "run", "--rm", "--network", "none", "busybox", "true")
	return b.short(&row{Name: "the same, `--network none`"}, append(engines, b.bundles...))
}

func (b *suite) port() (*row, error) {
	return b.short(&row{Name: "the same, `-p 18999:80`"}, running(b.sides(), "run", "--rm", "-p", "18999:80", "busybox", "true"))
}

// running is the same command by each side.
func running(sides []*side, args ...string) (out []contender) {
	for _, s := range sides {
		out = append(out, contender{name: s.name, run: only(s, args...)})
	}
	return out
}

// bareFloor is the kernel's work alone.
func (b *suite) bareFloor(args ...string) contender {
	return contender{name: "floor", run: func() error {
		if err := exec.Command(b.floor, args...).Run(); err != nil {
			return fmt.Errorf("floor: %w", err)
		}
		return nil
	}}
}

// short times one run of each, and the floor, in turn.
func (b *suite) short(r *row, contenders []contender) (*row, error) {
	return b.inTurn(r, append(contenders, b.bareFloor(b.lower, b.dir, "/bin/true")))
}

// inTurn times one run of each after a rest, in turn.
func (b *suite) inTurn(r *row, contenders []contender) (*row, error) {
	r.Unit = "ms"
	for i := range b.samples + 3 {
		into := r
		if i < 3 {
			into = &row{} // to warm up
		}
		for _, c := range contenders {
			if err := into.rested(c.name, c.run); err != nil {
				return nil, err
			}
			if err := c.tidy(); err != nil {
				return nil, err
			}
		}
	}
	return r, nil
}

// both are a row of samples after a rest and one of samples right after the other.
func (b *suite) both(name string, goals []goal, contenders []contender) ([]*row, error) {
	r, err := b.inTurn(&row{Name: name, Goals: goals}, contenders)
	if err != nil {
		return nil, err
	}
	again, err := b.inARow(&row{Name: inARow, Goals: goals}, contenders)
	return []*row{r, again}, err
}

func (b *suite) exec() ([]*row, error) {
	for _, s := range b.engines() {
		if _, err := s.do("run", "-d", "--name", "bench-exec", "busybox", "sleep", "3600"); err != nil {
			return nil, err
		}
		defer func() { _, _ = s.do("rm", "-f", "bench-exec") }()
	}
	pid, err := b.lus.do("inspect", "-f", "{{.State.Pid}}", "bench-exec")
	if err != nil {
		return nil, err
	}
	contenders := append(running(b.engines(), "exec", "bench-exec", "true"), b.bareFloor("--join", pid, "/bin/true"))
	return b.both("`exec C true`", atMost(8, 6), contenders)
}

func (b *suite) detached() ([]*row, error) {
	contenders := running(b.engines(), "run", "-d", "--name", "bench-d", "busybox", "sleep", "3600")
	for i, s := range b.engines() {
		contenders[i].after = only(s, "rm", "-f", "bench-d")
	}
	return b.both("`run -d`", atMost(10, 8), contenders)
}

func (b *suite) hundred() (*row, error) {
	r := &row{Name: "100 x `run -d`, one by one", Unit: "ms"}
	return r, b.each(func(s *side) error {
		var ids []string
		err := r.timed(s.name, func() (err error) {
			ids, err = s.sleepers(100)
			return err
		})
		_, rmErr := s.do(append([]string{"rm", "-f"}, ids...)...)
		return first(err, rmErr)
	})
}

func (b *suite) twenty() (*row, error) {
	r := &row{Name: "20 x `run --rm busybox true` at once", Unit: "ms"}
	for range 3 {
		if err := b.each(func(s *side) error {
			return r.timed(s.name, func() error {
				errs := make([]error, 20)
				var wg sync.WaitGroup
				for i := range errs {
					wg.Go(func() { _, errs[i] = s.do("run", "--rm", "busybox", "true") })
				}
				wg.Wait()
				return first(errs...)
			})
		}); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// each does the same with each side, one after the other.
func (b *suite) each(f func(*side) error) error {
	for _, s := range b.sides() {
		if err := f(s); err != nil {
			return err
		}
	}
	return nil
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *suite) firstRun() (*row, error) {
	r := &row{Name: "first run of an image just built, 500 MB layer", Unit: "ms", Goals: atMost(15)}
	for i := range 5 {
		dockerfile := "FROM busybox\nRUN dd if=/dev/urandom of=/big bs=1M count=500 2>/dev/null # " + strconv.Itoa(i) + "\n"
		dir, err := folder(b.dir, "first"+strconv.Itoa(i), dockerfile)
		if err != nil {
			return nil, err
		}
		if err := b.each(func(s *side) error {
			if _, err := s.do("build", "-q", "-t", "bench-big", dir); err != nil {
				return err
			}
			err := r.timed(s.name, only(s, "run", "--rm", "bench-big", "true"))
			_, rmErr := s.do("rmi", "-f", "bench-big")
			return first(err, rmErr)
		}); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (b *suite) compose() ([]*row, error) {
	up := &row{Name: "`compose up -d`, 20 services", Unit: "ms", Goals: atMost(400)}
	again := &row{Name: "the same again, nothing to do", Unit: "ms", Goals: atMost(30)}
	down := &row{Name: "`compose down`", Unit: "ms", Goals: atMost(300)}
	file := filepath.Join(b.stack.Repo, "test/bench/compose20/compose.yaml")
	for range 5 {
		if err := b.each(func(s *side) error {
			if !s.compose {
				return nil
			}
			if err := up.timed(s.name, only(s, "compose", "-f", file, "up", "-d")); err != nil {
				return err
			}
			running, err := s.do("ps", "-q", "--filter", "label=com.docker.compose.project=bench20")
			if n := len(strings.Fields(running)); err == nil && n != 20 {
				err = fmt.Errorf("%s: %d of 20 services run", s.name, n)
			}
			return first(err,
				again.timed(s.name, only(s, "compose", "-f", file, "up", "-d")),
				down.timed(s.name, only(s, "compose", "-f", file, "down")))
		}); err != nil {
			return nil, err
		}
	}
	return []*row{up, again, down}, nil
}
