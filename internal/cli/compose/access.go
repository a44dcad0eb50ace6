package compose

import (
	"lus/internal/client"
	"lus/internal/composefile"
)

// accessTo is what containers get that are to speak to the daemon themselves.
func accessTo(daemon *client.Client) composefile.Access {
	return composefile.Access{Socket: daemon.Socket(), Logins: func() ([]byte, error) {
		file, _, err := client.Logins()
		return file, err
	}}
}
