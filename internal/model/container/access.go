package container

// Where a container that may speak to the daemon finds its socket and its user's
// credentials: where Docker's clients look.
const (
	SocketInside   = "/var/run/docker.sock"
	LoginsInside   = "/run/secrets/docker" // the folder of LoginsFile
	LoginsFile     = "config.json"
	LoginsVariable = "DOCKER_CONFIG" // names the folder
)
