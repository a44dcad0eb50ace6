package container

import (
	"github.com/spf13/pflag"

	"lus/internal/cli/command"
)

// refusals are docker's flags that mean nothing here, and why.
func refusals() map[string]string {
	const windows = "it is for containers of Windows"
	return map[string]string{
		"cpu-count": windows, "cpu-percent": windows, "io-maxbandwidth": windows, "io-maxiops": windows, "isolation": windows,
		"kernel-memory": "kernels no longer have this limit: use --memory",
	}
}

// refused registers the flags that are refused with a reason.
func refused(f *pflag.FlagSet) {
	for name, why := range refusals() {
		command.Refuse(f, name, why)
	}
	command.DisableContentTrust(f)
}
