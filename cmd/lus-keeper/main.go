// Command lus-keeper is the parent of every container's processes: it outlives
// the daemon, drains their output and learns how they end.
package main

import (
	"os"

	"lus/internal/keeper/program"
)

func main() { os.Exit(program.Main(os.Args[1:], os.Stderr)) }
