// Command lus-dns answers the names that containers ask for at 127.0.0.11. It
// is fed by the daemon and goes on without it.
package main

import (
	"os"

	"lus/internal/linux/dns/server"
)

func main() { os.Exit(server.Main(os.Args[1:], os.Stderr)) }
