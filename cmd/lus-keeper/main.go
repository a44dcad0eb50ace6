// Command lus-keeper is the parent of every container's processes: it outlives
// the daemon, drains their output and learns how they end.
package main

import (
	"os"
	"time"

	"lus/internal/base/thread"
	"lus/internal/keeper/program"
)

func main() {
	thread.EaseMonitor(time.Millisecond)
	os.Exit(program.Main(os.Args[1:], os.Stderr))
}
