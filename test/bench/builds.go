package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"lus/test/bench/build/big"
)

// buildCommand is a build of dir in each side's words.
func buildCommand(s *side, dir string, options ...string) []string {
	line := []string{"build", "-q"}
	if s.name == "buildah" {
		line = []string{"bud", "-q", "--layers", "--pull-never"}
	}
	return append(append(line, options...), "-t", "bench-build", dir)
}

func (b *suite) build() ([]*row, error) {
	cold := &row{Name: "small build, 4 stages, cold", Unit: "ms", Goals: atMost(300, 250)}
	cached := &row{Name: "the same, cached", Unit: "ms", Goals: atMost(50, 30)}
	dir := filepath.Join(b.stack.Repo, "test/bench/build")
	for range max(5, b.samples/3) {
		for _, s := range b.builders() {
			if err := coldAndCached(s, dir, cold, cached); err != nil {
				return nil, err
			}
		}
	}
	return []*row{cold, cached}, nil
}

// coldAndCached times a build without cache, and one that finds all in it.
func coldAndCached(s *side, dir string, cold, cached *row) error {
	if err := cold.timed(s.name, only(s, buildCommand(s, dir, "--no-cache")...)); err != nil {
		return err
	}
	// The build without cache left its own results: one more fills the cache.
	if _, err := s.do(buildCommand(s, dir)...); err != nil {
		return err
	}
	return cached.timed(s.name, only(s, buildCommand(s, dir)...))
}

// big is the build of 134 MB in 10,001 files and a layer of 10,000 files.
func (b *suite) big() ([]*row, error) {
	cold := &row{Name: "big build (build/big), cold", Unit: "ms", Goals: []goal{{Share: 0.5, Of: "buildah"}}}
	cached := &row{Name: "the same, cached", Unit: "ms", Goals: atMost(200)}
	changed := &row{Name: "the same, one file changed", Unit: "ms", Goals: atMost(2500)}
	dir := filepath.Join(b.dir, "big")
	if err := big.Write(dir); err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	builders, end, err := b.apartBuilders()
	if err != nil {
		return nil, err
	}
	defer end()
	for i := range 3 {
		for _, s := range builders {
			if err := coldAndCached(s, dir, cold, cached); err != nil {
				return nil, err
			}
		}
		if err := big.Change(dir, strconv.Itoa(i)); err != nil {
			return nil, err
		}
		for _, s := range builders {
			if err := changed.timed(s.name, only(s, buildCommand(s, dir)...)); err != nil {
				return nil, err
			}
		}
	}
	return []*row{cold, cached, changed}, nil
}

// context is a build whose one step sees a context of 100,000 files, one of
// which has changed: most of it is the way to that step.
func (b *suite) context() (*row, error) {
	r := &row{Name: "context of 100,000 files, one changed, and an empty step that sees it", Unit: "ms", Goals: atMost(1000)}
	dir, err := folder(b.dir, "context", "FROM busybox\nRUN --mount=type=bind,target=/context true\n")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := big.Tree(dir, 1000, 100, 100); err != nil {
		return nil, err
	}
	if err := b.each(func(s *side) error { _, err := s.do(buildCommand(s, dir)...); return err }); err != nil {
		return nil, err
	}
	for i := range 5 {
		if err := big.Change(dir, strconv.Itoa(i)); err != nil {
			return nil, err
		}
		if err := b.each(func(s *side) error { return r.timed(s.name, only(s, buildCommand(s, dir)...)) }); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// stages are two that do not wait for each other.
func (b *suite) stages() (*row, error) {
	r := &row{Name: "build of two stages that each take 1 s", Unit: "ms", Goals: atMost(1500)}
	dir, err := folder(b.dir, "stages", `FROM busybox AS left
RUN sleep 1; echo left >/out
FROM busybox AS right
RUN sleep 1; echo right >/out
FROM busybox
COPY --from=left /out /left
COPY --from=right /out /right
`)
	if err != nil {
		return nil, err
	}
	for range 3 {
		for _, s := range b.builders() {
			if err := r.timed(s.name, only(s, buildCommand(s, dir, "--no-cache")...)); err != nil {
				return nil, err
			}
		}
	}
	return r, nil
}

func (b *suite) commit() (*row, error) {
	r := &row{Name: "`commit` of 100 MB of changes", Unit: "ms", Goals: atMost(500)}
	for i := range 5 {
		if err := b.each(func(s *side) error {
			id, err := s.do("run", "-d", "busybox", "sh", "-c", "dd if=/dev/urandom of=/big bs=1M count=100 2>/dev/null; echo "+strconv.Itoa(i)+" >/i")
			if err != nil {
				return err
			}
			if code, err := s.do("wait", id); err != nil || strings.TrimSpace(code) != "0" {
				return fmt.Errorf("%s: the container to commit ended with %s: %w", s.name, code, err)
			}
			err = r.timed(s.name, only(s, "commit", id, "bench-commit"))
			_, rmErr := s.do("rm", "-f", id)
			_, rmiErr := s.do("rmi", "-f", "bench-commit")
			return first(err, rmErr, rmiErr)
		}); err != nil {
			return nil, err
		}
	}
	return r, nil
}
