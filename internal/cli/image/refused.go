package image

import (
	"github.com/spf13/pflag"

	"lus/internal/cli/command"
)

// refusedOfBuild registers the flags of docker's classic builder that mean
// nothing here.
func refusedOfBuild(f *pflag.FlagSet) {
	const (
		limits = "steps of a build have no limits of their own: bound them by --ulimit, or build in a container that is bounded"
		local  = "the context goes to the daemon on this host and gains nothing by being packed"
	)
	for name, letter := range map[string]string{"cpu-period": "", "cpu-quota": "", "cpu-shares": "c", "cpuset-cpus": "", "cpuset-mems": "", "memory": "m", "memory-swap": ""} {
		command.RefuseP(f, name, letter, limits)
	}
	command.Refuse(f, "isolation", "it is for containers of Windows")
	command.Refuse(f, "security-opt", "steps run under the default profiles")
	command.RefuseSwitch(f, "compress", local)
	command.RefuseSwitch(f, "squash", "write a last stage that copies what is to stay: FROM scratch, COPY --from=0 / /")
	command.DisableContentTrust(f)
	const gone = "nothing is left of the containers that steps ran in"
	command.Always(f, "rm", gone)
	f.Bool("force-rm", true, gone) // so it is either way
	_ = f.MarkHidden("force-rm")
}
