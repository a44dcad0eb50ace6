package composefile

import (
	"context"
	"runtime"
	"runtime/metrics"
	"time"

	"lus/internal/base/errs"
)

// The library reads to the end whatever files name, however long that takes and
// however much it becomes: an env_file may be a device or a pipe, and a variable
// may hold the one before it twice, forty times over. It cannot be told to stop.

// maxMemory is what reading may take, in bytes: several times what a file needs
// that has as many keys as the library reads.
const maxMemory = 1 << 30

// bounded is what read returns, unless ctx ends or the memory is used up first.
// Then read is left to itself, for the program ends.
func bounded[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := read()
		done <- result{value, err}
	}()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	var none T
	for {
		select {
		case r := <-done:
			return r.value, r.err
		case <-ctx.Done():
			return none, ctx.Err()
		case <-look.C:
			if tooMuch() {
				return none, errs.New(errs.Invalid, "reading the Compose file takes more than %d MB of memory: something in it, or a file that it names (env_file, include, extends, .env), has no end or multiplies itself", maxMemory>>20)
			}
		}
	}
}

// tooMuch says that more than maxMemory is in use, garbage apart.
func tooMuch() bool {
	if heap() <= maxMemory {
		return false
	}
	runtime.GC()
	return heap() > maxMemory
}

func heap() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
