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

// row is one line of the table: what was measured, the goal, and each side's
// samples.
type row struct {
	Name    string               `json:"name"`
	Unit    string               `json:"unit"`
	Goal    float64              `json:"goal,omitempty"` // at most; 0 where none is set
	Floors  float64              `json:"floors,omitempty"`
	Samples map[string][]float64 `json:"samples"`
}

// group is what is measured together.
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
		one("run bridge", func() (*row, error) {
			return b.short(&row{Name: "`run --rm busybox true`, bridge", Goal: 12, Floors: 3.5}, "run", "--rm", "busybox", "true")
		}),
		one("run none", func() (*row, error) {
			return b.short(&row{Name: "the same, `--network none`"}, "run", "--rm", "--network", "none", "busybox", "true")
		}),
		one("run published", func() (*row, error) {
			return b.short(&row{Name: "the same, `-p 18999:80`"}, "run", "--rm", "-p", "18999:80", "busybox", "true")
		}),
		one("exec", b.exec),
		one("run -d", b.detached),
		one("100 starts", b.hundred),
		one("20 at once", b.twenty),
		{"memory", b.memory},
		{"500 containers", b.many},
		{"starts and stops", b.grown},
		{"build", b.build},
		one("first run", b.firstRun),
		{"compose", b.compose},
	}
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

// short times one command, the floor and docker's in turn.
func (b *suite) short(r *row, args ...string) (*row, error) {
	r.Unit = "ms"
	for i := range b.samples + 3 {
		into := r
		if i < 3 {
			into = &row{} // to warm up
		}
		for _, s := range b.sides() {
			if err := into.timed(s.name, only(s, args...)); err != nil {
				return nil, err
			}
		}
		if err := into.timed("floor", exec.Command(b.floor, b.lower, b.dir, "/bin/true").Run); err != nil {
			return nil, fmt.Errorf("floor: %w", err)
		}
	}
	return r, nil
}

func (b *suite) exec() (*row, error) {
	r := &row{Name: "`exec C true`", Unit: "ms", Goal: 8}
	for _, s := range b.sides() {
		if _, err := s.do("run", "-d", "--name", "bench-exec", "busybox", "sleep", "3600"); err != nil {
			return nil, err
		}
		defer func() { _, _ = s.do("rm", "-f", "bench-exec") }()
	}
	for range b.samples {
		for _, s := range b.sides() {
			if err := r.timed(s.name, only(s, "exec", "bench-exec", "true")); err != nil {
				return nil, err
			}
		}
	}
	return r, nil
}

func (b *suite) detached() (*row, error) {
	r := &row{Name: "`run -d`", Unit: "ms", Goal: 10}
	for range b.samples {
		for _, s := range b.sides() {
			if err := r.timed(s.name, only(s, "run", "-d", "--name", "bench-d", "busybox", "sleep", "3600")); err != nil {
				return nil, err
			}
			if _, err := s.do("rm", "-f", "bench-d"); err != nil {
				return nil, err
			}
		}
	}
	return r, nil
}

func (b *suite) hundred() (*row, error) {
	r := &row{Name: "100 x `run -d`, one by one", Unit: "ms"}
	return r, b.each(func(s *side) error {
		var ids []string
		err := r.timed(s.name, func() error {
			for range 100 {
				id, err := s.do("run", "-d", "busybox", "sleep", "3600")
				if err != nil {
					return err
				}
				ids = append(ids, id)
			}
			return nil
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

func (b *suite) build() ([]*row, error) {
	cold := &row{Name: "small build, 4 stages, cold", Unit: "ms", Goal: 300}
	cached := &row{Name: "the same, cached", Unit: "ms", Goal: 50}
	dir := filepath.Join(b.stack.Repo, "test/bench/build")
	for range max(5, b.samples/3) {
		if err := b.each(func(s *side) error {
			if err := cold.timed(s.name, only(s, "build", "-q", "--no-cache", "-t", "bench-build", dir)); err != nil {
				return err
			}
			// The build without cache left its own results: one more fills the cache.
			if _, err := s.do("build", "-q", "-t", "bench-build", dir); err != nil {
				return err
			}
			return cached.timed(s.name, only(s, "build", "-q", "-t", "bench-build", dir))
		}); err != nil {
			return nil, err
		}
	}
	return []*row{cold, cached}, nil
}

func (b *suite) firstRun() (*row, error) {
	r := &row{Name: "first run of an image just built, 500 MB layer", Unit: "ms", Goal: 15}
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
	up := &row{Name: "`compose up -d`, 20 services", Unit: "ms", Goal: 600}
	again := &row{Name: "the same again, nothing to do", Unit: "ms", Goal: 50}
	down := &row{Name: "`compose down`", Unit: "ms", Goal: 400}
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
