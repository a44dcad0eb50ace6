package cli

import (
	"github.com/spf13/pflag"

	"lus/internal/cli/command"
)

// oneDaemon is why there are no contexts.
const oneDaemon = "name the daemon to speak to by -H or LUS_HOST"

// refusedBefore registers docker's flags before the command that mean nothing here.
func refusedBefore(f *pflag.FlagSet) {
	const socket = "the daemon is reached by a socket of its host: forward that, as ssh -L does"
	const log = "lus writes no log of its own: the daemon's tells what it did"
	command.RefuseP(f, "context", "c", oneDaemon)
	command.RefuseSwitchP(f, "debug", "D", log)
	command.RefuseP(f, "log-level", "l", log)
	command.RefuseSwitch(f, "tls", socket)
	command.RefuseSwitch(f, "tlsverify", socket)
	for _, name := range []string{"tlscacert", "tlscert", "tlskey"} {
		command.Refuse(f, name, socket)
	}
}

// refusals are docker's commands that are not had here, and why: what people
// type in good faith gets an answer that says what to do.
func refusals() map[string]string {
	const swarm = "Lus is one machine and has no swarm: run a stack of services with compose"
	return map[string]string{
		"swarm": swarm, "node": swarm, "service": swarm, "stack": swarm,
		"config":     swarm + ", whose file has configs",
		"secret":     swarm + ", whose file has secrets",
		"checkpoint": "processes cannot be kept over a stop: keep what matters in a volume",
		"context":    oneDaemon,
		"manifest":   "an image is for one platform: push it under a name of its own",
		"plugin":     "drivers of volumes, networks and logs are part of Lus",
		"trust":      "signatures of images are not checked: name an image by its digest to be sure of it",
	}
}
