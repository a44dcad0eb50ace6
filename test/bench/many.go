package main

import (
	"fmt"
	"strings"
	"time"
)

// many measures what grows with the number of containers: what our processes
// hold, listing them, and the daemon's return to them. It is of Lus alone: others
// take minutes to start so many.
func (b *suite) many() ([]*row, error) {
	const n = 500
	each := &row{Name: "500 sleeping containers, our processes, each", Unit: "MB", Goals: atMost(0.15)}
	list := &row{Name: "`ps -a`, 500 containers", Unit: "ms", Goals: atMost(30)}
	restart := &row{Name: "restart of the daemon, 500 containers run, to the first answer", Unit: "ms", Goals: atMost(1000)}
	s := b.lus
	before, err := b.afresh()
	if err != nil {
		return nil, err
	}
	ids, err := s.sleepers(n)
	defer func() { _, _ = s.do(append([]string{"rm", "-f"}, ids...)...) }()
	if err != nil {
		return nil, err
	}
	time.Sleep(settle)
	each.add(s.name, (b.held(s).total-before.total)/n)
	for range b.samples {
		if err := list.timed(s.name, only(s, "ps", "-a")); err != nil {
			return nil, err
		}
	}
	for range 5 {
		b.stack.Kill()
		if err := restart.timed(s.name, func() error { return b.back(n) }); err != nil {
			return nil, err
		}
	}
	return []*row{each, list, restart}, nil
}

// back starts the daemon and returns once it tells of n running containers.
func (b *suite) back(n int) error {
	if err := b.stack.Up(); err != nil {
		return err
	}
	ids, err := b.lus.do("ps", "-q")
	if got := len(strings.Fields(ids)); err == nil && got != n {
		err = fmt.Errorf("%d of %d containers run after a restart", got, n)
	}
	return err
}

// grown measures whether the daemon grows with what it has done: its memory
// after a hundred starts and stops, and after a thousand.
func (b *suite) grown() ([]*row, error) {
	hundred := &row{Name: "the daemon, after 100 starts and stops", Unit: "MB"}
	thousand := &row{Name: "the daemon, after 1,000", Unit: "MB"}
	share := &row{Name: "the second as a share of the first", Unit: "%", Goals: atMost(105)}
	if _, err := b.afresh(); err != nil {
		return nil, err
	}
	s := b.lus
	if _, err := s.do("create", "--name", "bench-grown", "busybox", "sleep", "3600"); err != nil {
		return nil, err
	}
	defer func() { _, _ = s.do("rm", "-f", "bench-grown") }()
	for i := 1; i <= 1000; i++ {
		for _, verb := range [][]string{{"start", "bench-grown"}, {"stop", "-t", "0", "bench-grown"}} {
			if _, err := s.do(verb...); err != nil {
				return nil, err
			}
		}
		if i == 100 || i == 1000 {
			time.Sleep(settle) // it gives back what it does not need at rest
			into := hundred
			if i == 1000 {
				into = thousand
			}
			into.add(s.name, b.held(s).daemon)
		}
	}
	share.add(s.name, 100*median(thousand.Samples[s.name])/median(hundred.Samples[s.name]))
	return []*row{hundred, thousand, share}, nil
}
