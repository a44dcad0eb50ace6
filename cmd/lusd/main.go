// Command lusd is the daemon: all services of Lus in one process.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"lus/internal/daemon"
)

func main() {
	daemon.LetGo()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	code := daemon.Main(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
