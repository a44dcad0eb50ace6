// Command lus is what people type. It hands over to internal/cli.
package main

import (
	"os"

	"lus/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args, os.Stdin, os.Stdout, os.Stderr))
}
