// Command lus is what people type. It hands over to internal/cli.
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
