package cli

// refusals are docker's commands that are not had here, and why: what people
// type in good faith gets an answer that says what to do.
func refusals() map[string]string {
	const swarm = "Lus is one machine and has no swarm: run a stack of services with compose"
	return map[string]string{
		"swarm": swarm, "node": swarm, "service": swarm, "stack": swarm,
		"config":     swarm + ", whose file has configs",
		"secret":     swarm + ", whose file has secrets",
		"checkpoint": "processes cannot be kept over a stop: keep what matters in a volume",
		"context":    "name the daemon to speak to by -H or LUS_HOST",
		"manifest":   "an image is for one platform: push it under a name of its own",
		"plugin":     "drivers of volumes, networks and logs are part of Lus",
		"trust":      "signatures of images are not checked: name an image by its digest to be sure of it",
	}
}
