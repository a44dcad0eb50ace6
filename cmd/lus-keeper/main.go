// Command lus-keeper is the parent of every container's processes: it outlives
// the daemon, drains their output and learns how they end.
package main

import (
	"os"
	"runtime"
	"time"

	"lus/internal/base/thread"
	"lus/internal/keeper/program"
)

func main() {
	runtime.LockOSThread() // keeper.Run wants the first thread
	thread.EaseMonitor(time.Millisecond)
	os.Exit(program.Main(os.Args[1:], os.Stderr))
}
