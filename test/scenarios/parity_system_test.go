package scenarios

import "testing"

func TestParityTheSystem(t *testing.T) {
	parity(t, []row{
		{do: "docker info -f '{{.Driver}} {{.OSType}} {{.Swarm.LocalNodeState}}'", out: "overlay2 linux inactive"},
		{do: "docker info -f '{{json .Plugins.Volume}} {{json .Plugins.Network}}'"},
		{do: "docker info -f '{{.NoSuch}}'", code: 1},
		{do: "docker info x", err: "accepts no arguments", code: 1},
		{do: "docker system info -f '{{.NCPU}} {{.MemTotal}}'"},
		{do: "docker version -f '{{.Server.APIVersion}} {{.Server.Os}}/{{.Server.Arch}}'", out: "1.51 linux/"},
		{do: "docker version -f '{{.Server.Version}}'"},
		{do: "docker version -f '{{.NoSuch}}'", code: 1},
		{do: "docker version x", err: "accepts no arguments", code: 1},
		{do: "docker system df | sed 's/  .*//'", out: "TYPE\nImages\nContainers\nLocal Volumes\nBuild Cache\n"},
		{do: "docker system df --format '{{.Type}}'", out: "Images\nContainers\nLocal Volumes\nBuild Cache\n"},
		{do: "docker system df -v | grep -e '^[A-Z][a-z]* space usage' -e '^Build cache usage' | sed 's/:.*//'", out: "Images space usage\n"},
		{do: "docker events --since 0s --until 0s"},
		{do: "docker run --rm --name W-e -l W=here busybox true; sleep 1.1; docker events --since 1m --until 0s --filter container=W-e --format '{{.Type}} {{.Action}} {{.Actor.Attributes.name}}'", out: "container create W-e\ncontainer attach W-e\n"},
		{do: "docker events --since 1m --until 0s --filter container=W-e --filter event=die --format '{{.Status}} {{.From}} {{.Actor.Attributes.exitCode}}'", out: "die busybox 0\n"},
		{do: "docker events --since 1m --until 0s --filter container=W-e --filter event=die", out: "container die ID"},
		{do: "docker events --since 1m --until 0s --filter container=W-e --filter event=start --format json", out: `"Action":"start"`},
		{do: "docker events --since 1m --until 0s --filter container=W-e --filter event=start --format '{{json .}}'", out: `"Action":"start"`},
		{do: "docker events --since nonsense --until 0s", code: 1},
		{do: "docker events --filter nonsense", code: 125},
		{do: "docker events x", err: "accepts no arguments", code: 1},
		{do: "docker network create --label W=here W-n >/dev/null; docker volume create --label W=here W-v >/dev/null; docker create --name W-c -l W=here busybox", out: "ID\n"},
		{do: "docker system prune -f --filter label=W=here", out: "Deleted Containers:\nID\n\nDeleted Networks:\nW-n\n\nTotal reclaimed space: 0B\n"},
		{do: "echo n | docker system prune", out: "WARNING! This will remove:\n  - all stopped containers\n"},
		{do: "echo n | docker system prune -a --volumes", out: "WARNING! This will remove:\n"},
		{do: "docker system prune -f --volumes --filter until=1h", err: "\"until\" filter is not supported with \"--volumes\"", code: 1},
	})
}

func TestParityWrongCalls(t *testing.T) {
	parity(t, []row{
		{do: "docker no-such", err: "docker: unknown command: docker no-such", code: 1},
		{do: "docker container no-such", err: "docker: unknown command: docker container no-such", code: 1},
		{do: "docker --no-such", err: "unknown flag: --no-such", code: 125},
		{do: "docker ps -y", err: "unknown shorthand flag: 'y' in -y", code: 125},
		{do: "docker ps --format", err: "flag needs an argument: --format", code: 125},
		{do: "docker ps -n x", err: "invalid argument \"x\" for \"-n, --last\" flag", code: 125},
		{do: "docker logs a b", err: "requires 1 argument", code: 1},
		{do: "docker rename a b c", err: "requires 2 arguments", code: 1},
		{do: "docker exec", err: "requires at least 2 arguments", code: 1},
		{do: "docker wait", err: "requires at least 1 argument", code: 1},
		{do: "docker pause", err: "requires at least 1 argument", code: 1},
		{do: "docker kill", err: "requires at least 1 argument", code: 1},
		{do: "docker port a b c", err: "requires", code: 1},
		{do: "docker top", err: "requires at least 1 argument", code: 1},
		{do: "docker update", err: "requires at least 1 argument", code: 1},
		{do: "docker commit", err: "requires at least 1", code: 1},
		{do: "docker history", err: "requires 1 argument", code: 1},
		{do: "docker volume rm", err: "requires at least 1 argument", code: 1},
		{do: "docker network rm", err: "requires at least 1 argument", code: 1},
		{do: "docker network inspect", err: "requires at least 1 argument", code: 1},
		{do: "docker -H unix:///no/such.sock ps", err: "Cannot connect to the", code: 1},
		{do: "docker -H nonsense://x ps", code: 1},
		{do: "docker --config cfg logout 127.0.0.1:1", out: "Removing login credentials for 127.0.0.1:1\n"},
		{do: "docker login -u a -p b 127.0.0.1:1", code: 1},
		{do: "docker login -u a --password-stdin 127.0.0.1:1 </dev/null", code: 1},
		{do: "docker login --password-stdin 127.0.0.1:1 </dev/null", err: "the --password-stdin option requires --username to be set", code: 1},
		{do: "docker login -u a -p b --password-stdin 127.0.0.1:1", err: "cannot specify both --password and --password-stdin", code: 1},
		{do: "docker -v | wc -l", out: "1\n"},
	})
}
