// Command lus is what people type. It hands over to internal/cli.
//
// It lives for milliseconds and has little to do at once. To find how
// many processors its control group may use would take it a third of one.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0
package main

import (
	"os"
	"time"

	"lus/internal/base/thread"
	"lus/internal/cli"
)

func main() {
	thread.EaseMonitor(time.Millisecond)
	os.Exit(cli.Main(os.Args, os.Stdin, os.Stdout, os.Stderr))
}
