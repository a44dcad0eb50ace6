// Command lus-compose reads Compose files as the calling user and has the
// daemon carry them out; `lus compose` executes it.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"lus/internal/composefile"
)

func main() {
	// It lives for milliseconds: collecting garbage would be a third of its
	// work. Where it lives on (logs -f), the limit brings the collector back.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(64 << 20)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := composefile.Main(ctx, os.Args[1:], composefile.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
	stop()
	os.Exit(code)
}
