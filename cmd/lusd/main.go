// Command lusd is the daemon: all services of Lus in one process.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"lus/internal/daemon"
)

func main() {
	// The first thread is this function's alone: where a library leaves a thread for
	// good in another folder or namespace, /proc is not to show that of the daemon.
	runtime.LockOSThread()
	daemon.LetGo()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	code := daemon.Main(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
