package compose

import (
	"fmt"

	"lus/internal/client"
	"lus/internal/composefile"
)

// accessTo is what containers get that are to speak to the daemon themselves.
func accessTo(daemon *client.Client, warn func(error)) composefile.Access {
	return composefile.Access{Socket: daemon.Socket(), Logins: func() ([]byte, error) {
		file, _, err := client.Logins(warn)
		return file, err
	}}
}

// warn tells of an error that nothing ends by.
func (s Streams) warn(err error) { fmt.Fprintln(s.Err, "lus compose: warning:", err) }
