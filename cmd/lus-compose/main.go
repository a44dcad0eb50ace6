// Command lus-compose reads Compose files as the calling user and has the
// daemon carry them out; `lus compose` executes it.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"lus/internal/cli/compose"
)

func main() {
	// It lives for milliseconds: collecting garbage of a few MB only costs time.
	debug.SetGCPercent(400)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := compose.Main(ctx, os.Args[1:], compose.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
	stop()
	os.Exit(code)
}
