package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// What a container writes: this often a file of a megabyte, in lines of a
// hundred bytes.
const megabytes = 256

// frozen is after how long a container that still writes counts as one that
// cannot: about a hundred times what the goal allows.
const frozen = 2 * time.Minute

// logs measures how fast one container's output reaches its log, alone and, in
// turn, while somebody follows the log who has stopped reading.
func (b *suite) logs() ([]*row, error) {
	alone := &row{Name: "one container's output to its log", Unit: "MB/s", Goals: atLeast(200)}
	followed := &row{Name: "the same, a `logs -f` attached that stopped reading", Unit: "MB/s"}
	share := &row{Name: "the second as a share of the first", Unit: "%", Goals: atLeast(50)}
	file := filepath.Join(b.dir, "lines")
	line := strings.Repeat("0123456789", 9) + "012345678\n"
	if err := os.WriteFile(file, []byte(strings.Repeat(line, 1_000_000/len(line))), 0o644); err != nil {
		return nil, err
	}
	for range 3 {
		if err := b.each(func(s *side) error {
			fast, err := s.output(file, false)
			if err != nil {
				return err
			}
			slow, err := s.output(file, true)
			if err != nil {
				return err
			}
			alone.add(s.name, fast)
			followed.add(s.name, slow)
			share.add(s.name, 100*slow/fast)
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return []*row{alone, followed, share}, nil
}

// output has a container write the file many times and returns MB/s, from the
// moment it may begin until it has ended and all is in the log.
func (s *side) output(file string, follow bool) (float64, error) {
	// It says enough to read a little of, then waits for a word.
	script := "head -c 4096 /lines; until [ -e /go ]; do sleep 0.01; done; exec cat" + strings.Repeat(" /lines", megabytes)
	defer func() { _, _ = s.do("rm", "-f", "bench-logs") }()
	if _, err := s.do("run", "-d", "--name", "bench-logs", "-v", file+":/lines:ro", "busybox", "sh", "-c", script); err != nil {
		return 0, err
	}
	if follow {
		stop, err := s.readALittle("bench-logs")
		if err != nil {
			return 0, err
		}
		defer stop()
	}
	begin := time.Now()
	if _, err := s.do("exec", "bench-logs", "touch", "/go"); err != nil {
		return 0, err
	}
	code, err := s.within(frozen, "wait", "bench-logs")
	took := time.Since(begin)
	switch {
	case errors.Is(err, context.DeadlineExceeded) && follow:
		return 0, nil // a reader that does not read has frozen the writer
	case err != nil:
		return 0, err
	case code != "0":
		return 0, fmt.Errorf("%s: the container that writes ended with %s", s.name, code)
	}
	return megabytes / took.Seconds(), nil
}

// readALittle follows a container's log, reads 1 KB of it, and then reads no
// more. The returned function ends it.
func (s *side) readALittle(container string) (stop func(), err error) {
	ctx, cancel := context.WithCancel(context.Background())
	reader := s.command(ctx, "logs", "-f", container)
	out, err := reader.StdoutPipe()
	if err != nil {
		cancel()
		return nil, err
	}
	if err := reader.Start(); err != nil {
		cancel()
		return nil, err
	}
	stop = func() {
		cancel()
		_ = reader.Wait()
	}
	if _, err := io.ReadFull(out, make([]byte, 1024)); err != nil {
		stop()
		return nil, fmt.Errorf("%s logs -f: %w", s.name, err)
	}
	return stop, nil
}
