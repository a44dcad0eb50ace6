package scenarios

import "testing"

func TestParityImages(t *testing.T) {
	parity(t, []row{
		{do: "docker tag busybox W-img:1 && docker tag busybox W-img:2 && docker tag W-img:1 W-img"},
		{do: "docker images W-img", out: "REPOSITORY  TAG  IMAGE ID  CREATED  SIZE\n"},
		{do: "docker images W-img --format '{{.Repository}}:{{.Tag}} {{.Size}}' | sort", out: "W-img:1 "},
		{do: "docker images -q W-img:1", out: "id\n"},
		{do: "docker images --no-trunc -q W-img:1", out: "ID\n"},
		{do: "docker images --digests W-img:1", out: "DIGEST"},
		{do: "docker images --filter reference='W-*:2' --format '{{.Tag}}'", out: "2\n"},
		{do: "docker images --filter reference=W-img --filter label=org.lus.stand-in --format '{{.Tag}}' | sort"},
		{do: "docker images --filter reference=W-img --filter dangling=true"},
		{do: "docker images W-img:1 --format '{{json .}}'", out: `"Repository":"W-img"`},
		{do: "docker images W-img:1 --format json", out: `"Tag":"1"`},
		{do: "docker images W-img:1 --format 'table {{.ID}}\\t{{.CreatedSince}}\\t{{.SharedSize}}'", out: "IMAGE ID"},
		{do: "docker images W-none"},
		{do: "docker images --filter no-such=x", err: "invalid filter 'no-such'", code: 1},
		{do: "docker images --filter dangling=maybe", code: 1},
		{do: "docker images a b", err: "requires at most 1 argument", code: 1},
		{do: "docker image ls -a W-img:1 --format '{{.Tag}}'", out: "1\n"},
		{do: "docker tag W-none W-x", err: "No such image: W-none", code: 1},
		{do: "docker tag W-img BAD", err: "repository name (library/BAD) must be lowercase", code: 1},
		{do: "docker tag W-img:1", err: "requires 2 arguments", code: 1},
		{do: "docker history W-img:1", out: "IMAGE  CREATED  CREATED BY  SIZE  COMMENT\n"},
		{do: "docker history -q W-img:1", out: "id\n"},
		{do: "docker history --no-trunc --human=false --format '{{.ID}} {{.Size}}' W-img:1 | sed 1q"},
		{do: "docker history --format '{{json .}}' W-img:1 | sed 1q"},
		{do: "docker history W-none", err: "No such image: W-none", code: 1},
		{do: "docker image inspect -f '{{json .RepoTags}}' W-img:1 | tr , '\\n' | grep -c W-img", out: "3\n"},
		{do: "docker image inspect W-none", out: "[]\n", err: "No such image: W-none", code: 1},
		{do: "docker rmi W-img:2", out: "Untagged: W-img:2\n"},
		{do: "docker rmi W-img:2", err: "No such image: W-img:2", code: 1},
		{do: "docker rmi -f W-img:2", err: "No such image: W-img:2"},
		{do: "docker rmi", err: "requires at least 1 argument", code: 1},
		{do: "docker create --name W-a W-img:1 true >/dev/null; docker rmi W-img:1 W-img:latest", out: "Untagged: W-img:1\nUntagged: W-img:latest\n"},
		{do: "docker commit -c 'LABEL W=here' W-a W-own:1 >/dev/null; docker run --name W-b W-own:1; docker rmi W-own:1", err: "must be forced", code: 1},
		{do: "docker rm W-b; docker rmi --no-prune W-own:1 | sed 1q", out: "W-b\nUntagged: W-own:1\n"},
		{do: "docker commit -c 'LABEL W=here' W-a >/dev/null; docker image ls --filter label=W=here --format '{{.Repository}}'", out: "<none>\n"},
		{do: "docker image prune -f --filter label=W=here | sed 's/:.*//'", out: "Deleted Images\n"},
		{do: "docker image prune -f --filter label=W=here", out: "Total reclaimed space: 0B\n"},
		{do: "echo n | docker image prune -a", out: "WARNING! This will remove all images without at least one container associated to them."},
		{do: "docker import none W-imp", code: 1},
		{do: "docker export W-a | docker import -m word -c 'CMD [\"true\"]' - W-imp:1", out: "ID\n"},
		{do: "docker run --rm W-imp:1"},
		{do: "docker save W-none", err: "No such image: W-none", code: 1},
		{do: "docker save W-imp:1 -o saved.tar; tar tf saved.tar | grep -x manifest.json; docker rmi -f W-imp:1 | sed 1q; docker load -i saved.tar", out: "Loaded image: W-imp:1\n"},
		{do: "ln -s saved.tar link; docker save W-imp:1 -o link", err: "cannot write to a symbolic link directly", code: 1},
		{do: "ln -s none dangling; docker export W-a -o dangling; ls none", err: "cannot write to a symbolic link directly", code: 2},
		{do: "docker load -q <saved.tar", out: "Loaded image: W-imp:1\n"},
		{do: "echo junk | docker load", code: 1},
		{do: "docker load -i none", code: 1},
		{do: "docker pull BAD", err: "repository name (library/BAD) must be lowercase", code: 1},
		{do: "docker push W-none", code: 1},
	})
}

func TestParityNetworks(t *testing.T) {
	parity(t, []row{
		// One label each where they are listed: docker prints several in any order.
		{do: "docker network create --label W=one W-a", out: "ID\n"},
		{do: "docker network create -d bridge --internal --attachable -o com.docker.network.bridge.enable_icc=false W-b", out: "ID\n"},
		{do: "docker network create W-a", err: "network with name W-a already exists", code: 1},
		{do: "docker network create -d no-such W-x", err: "no-such", code: 1},
		{do: "docker network create --subnet nonsense W-x", code: 1},
		{do: "docker network create --ip-range 10.0.0.0/24 W-x", code: 1},
		{do: "docker network create --gateway 10.0.0.1 W-x", code: 1},
		{do: "docker network create", err: "requires 1 argument", code: 1},
		{do: "docker network create 'a b'", code: 1},
		{do: "docker network ls --filter name=W", out: "NETWORK ID  NAME  DRIVER  SCOPE\n"},
		{do: "docker network ls --filter name=W -q", out: "id\nid\n"},
		{do: "docker network ls --filter name=W -q --no-trunc", out: "ID\nID\n"},
		{do: "docker network ls --filter name=W --filter label=W=one --format '{{.Name}} {{.Label \"W\"}}'", out: "W-a one\n"},
		{do: "docker network ls --filter name=W --filter driver=bridge --filter scope=local --filter type=custom --format '{{.Name}}'", out: "W-a\nW-b\n"},
		{do: "docker network ls --filter name=W --filter dangling=true --format '{{.Name}}'", out: "W-a\nW-b\n"},
		{do: "docker network ls --filter id=$(docker network ls -q --filter name=W-b) --format '{{.Name}}'", out: "W-b\n"},
		{do: "docker network ls --filter type=builtin --format '{{.Name}} {{.Driver}}'", out: "bridge bridge\nhost host\nnone null\n"},
		{do: "docker network ls --filter no-such=x", err: "invalid filter 'no-such'", code: 1},
		{do: "docker network ls --filter name=W-b --format 'table {{.Name}}\\t{{.Internal}}\\t{{.IPv4}}\\t{{.IPv6}}\\t{{.Labels}}\\t{{.CreatedAt}}'", out: "INTERNAL"},
		{do: "docker network ls --filter name=W-a --format json", out: `"Driver":"bridge"`},
		{do: "docker network inspect -f '{{.Name}} {{.Driver}} {{.Internal}} {{.Attachable}} {{json .Options}} {{json .Labels}}' W-a W-b", out: "W-b bridge true true"},
		{do: "docker network inspect -f '{{json .Containers}} {{len .IPAM.Config}}' W-a", out: "{} 1\n"},
		{do: "docker network inspect W-none", out: "[]\n", err: "network W-none not found", code: 1},
		{do: "docker network inspect -v W-a | grep '\"Name\"'", out: `"Name": "W-a"`},
		{do: "docker run -d --name W-c --network W-a --network-alias other busybox sleep 300", out: "ID\n"},
		{do: "docker network connect --alias more W-b W-c"},
		{do: "docker network connect W-b W-c", err: "already exists in network W-b", code: 1},
		{do: "docker network connect W-none W-c", err: "network W-none not found", code: 1},
		{do: "docker network connect W-b W-none", err: "No such container: W-none", code: 1},
		{do: "docker network connect W-b", err: "requires 2 arguments", code: 1},
		{do: "docker network inspect -f '{{range .Containers}}{{.Name}} {{end}}' W-a W-b", out: "W-c\nW-c\n"},
		{do: "docker inspect -f '{{range $n, $e := .NetworkSettings.Networks}}{{$n}} {{len $e.IPAddress | lt 6}} {{end}}' W-c", out: "W-a true W-b true\n"},
		{do: "docker network rm W-b", err: "has active endpoints", code: 1},
		{do: "docker network disconnect W-b W-c"},
		{do: "docker network disconnect W-b W-c", err: "is not connected to", code: 1},
		{do: "docker network disconnect -f W-none W-c", err: "network W-none not found", code: 1},
		{do: "docker network rm W-b", out: "W-b\n"},
		{do: "docker network rm W-b", err: "network W-b not found", code: 1},
		{do: "docker network rm -f W-b"},
		{do: "docker network rm bridge", err: "bridge is a pre-defined network and cannot be removed", code: 1},
		{do: "docker network prune -f --filter label=W=one"},
		{do: "docker stop -t 0 W-c", out: "W-c\n"},
		{do: "docker network prune -f --filter label=W=one", out: "Deleted Networks:\nW-a\n\n"},
		{do: "docker start W-c", err: "not found", code: 1},
		{do: "echo n | docker network prune", out: "WARNING! This will remove all custom networks not used by at least one container.\nAre you sure you want to continue? [y/N] "},
		{do: "docker network create W-own; docker create --name W-ip --network W-own --ip 10.200.0.5 busybox true", out: "ID\n", err: "user specified IP address is supported only when connecting to networks with user configured subnets", code: 1},
		{do: "docker network inspect W-own | grep -c SubnetChosen", out: "0\n", code: 1},
		{do: "docker network no-such", code: 1},
	})
}

func TestParityConfigNetworks(t *testing.T) {
	const own = "user specified configurations are not supported if the network depends on a configuration network"
	const operator = "configuration network can only contain network specific fields."
	parity(t, []row{
		{do: "docker network create --config-only --ipv6=false --label W=kept -o com.docker.network.driver.mtu=1400 W-z", out: "ID\n"},
		{do: "docker network inspect -f '{{.Name}} {{.Driver}} {{.Scope}} {{.ConfigOnly}} {{.ConfigFrom.Network}} {{json .Options}} {{json .Labels}} {{json .IPAM.Config}}' W-z", out: "W-z null local true  {"},
		{do: "docker network ls --filter name=W --format '{{.Name}} {{.Driver}}'", out: "W-z null\n"},
		{do: "docker network create --config-from W-z W-a", out: "ID\n"},
		{do: "docker network create --config-from W-z --internal W-b", out: "ID\n"},
		{do: "docker network inspect -f '{{.Driver}} {{.ConfigOnly}} {{.ConfigFrom.Network}} {{.Internal}} {{json .Options}} {{json .Labels}} {{len .IPAM.Config}}' W-a W-b", out: "bridge false W-z true {"},
		{do: "docker run --rm --network W-a busybox ip link show eth0 | grep -o 'mtu [0-9]*'", out: "mtu 1400\n"},
		{do: "docker network create --config-from W-none W-x", err: "configuration network \"W-none\" does not exist", code: 1},
		{do: "docker network create --config-from W-a W-x", err: "configuration network \"W-a\" does not exist", code: 1},
		{do: "docker network create --config-only --config-from W-z W-x", err: "a configuration network cannot depend on another configuration network", code: 1},
		{do: "docker network create --config-only --internal W-x", err: operator, code: 1},
		{do: "docker network create --config-only --attachable W-x", err: operator, code: 1},
		{do: "docker network create --config-only --ingress W-x", err: operator, code: 1},
		{do: "docker network create --config-only --scope local W-x", err: operator, code: 1},
		{do: "docker network create --config-only --subnet nonsense W-x", code: 1},
		{do: "docker network create --config-only W-z", err: "network with name W-z already exists", code: 1},
		{do: "docker network create --config-from W-z --subnet 10.250.0.0/24 W-x", err: own, code: 1},
		{do: "docker network create --config-from W-z --ipv6 W-x", err: own, code: 1},
		{do: "docker network create --config-from W-z --label a=b W-x", err: own, code: 1},
		{do: "docker network create --config-from W-z -o a=b W-x", err: "network driver options are not supported if the network depends on a configuration network", code: 1},
		{do: "docker run --rm --network W-z busybox true", err: "cannot create endpoint on configuration-only network", code: 125},
		{do: "docker run -d --name W-c busybox sleep 300", out: "ID\n"},
		{do: "docker network connect W-z W-c", err: "cannot create endpoint on configuration-only network", code: 1},
		{do: "docker network rm W-z", err: "error while removing network: configuration network \"W-z\" is in use", code: 1},
		{do: "docker network prune -f --filter label=W=kept", out: "Deleted Networks:\n"},
		{do: "docker network ls --filter name=W --format '{{.Name}}'", out: "W-z\n"},
		{do: "docker network rm W-z", out: "W-z\n"},
	})
}

func TestParityVolumes(t *testing.T) {
	parity(t, []row{
		{do: "docker volume create --label W=one W-a", out: "W-a\n"},
		{do: "docker volume create W-a", out: "W-a\n"},
		{do: "docker volume create --name W-b", out: "W-b\n"},
		{do: "docker volume create --name W-b W-c", err: "conflicting options", code: 1},
		{do: "v=$(docker volume create); echo $v; docker volume rm $v", out: "ID\nID\n"},
		{do: "docker volume create -d local -o type=none -o device=/tmp -o o=bind W-t", out: "W-t\n"},
		{do: "docker volume create -o nonsense=x W-x", err: "invalid option", code: 1},
		{do: "docker volume create -d no-such W-x", err: "no-such", code: 1},
		{do: "docker volume create 'a b'", err: "only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", code: 1},
		{do: "docker volume create a b", err: "requires at most 1 argument", code: 1},
		{do: "docker volume ls --filter name=W", out: "DRIVER  VOLUME NAME\nlocal  W-a\nlocal  W-b\nlocal  W-t\n"},
		{do: "docker volume ls -q --filter name=W", out: "W-a\nW-b\nW-t\n"},
		{do: "docker volume ls -q --filter label=W", out: "W-a\n"},
		{do: "docker volume ls -q --filter label=W=two"},
		{do: "docker volume ls -q --filter driver=local --filter name=W-b", out: "W-b\n"},
		{do: "docker run -d --name W-c -v W-b:/b busybox sleep 300", out: "ID\n"},
		{do: "docker volume ls -q --filter name=W --filter dangling=true", out: "W-a\nW-t\n"},
		{do: "docker volume ls -q --filter name=W --filter dangling=false", out: "W-b\n"},
		{do: "docker volume ls --filter name=W-a --format '{{json .}}'", out: `"Name":"W-a"`},
		{do: "docker volume ls --filter name=W-a --format 'table {{.Name}}\\t{{.Scope}}\\t{{.Labels}}\\t{{.Links}}\\t{{.Size}}'", out: "VOLUME NAME"},
		{do: "docker volume ls --filter no-such=x", err: "invalid filter 'no-such'", code: 1},
		{do: "docker volume inspect -f '{{.Name}} {{.Driver}} {{.Scope}} {{json .Labels}} {{json .Options}}' W-a W-t", out: `W-a local local {"W":"one"}`},
		{do: "docker volume inspect W-none", out: "[]\n", err: "W-none: no such volume", code: 1},
		{do: "docker volume inspect", err: "requires at least 1 argument", code: 1},
		{do: "docker volume rm W-b", err: "volume is in use", code: 1},
		{do: "docker volume rm W-none", err: "W-none: no such volume", code: 1},
		{do: "docker volume rm -f W-none", out: "W-none\n"},
		{do: "docker volume rm W-t W-none W-a", out: "W-t\nW-a\n", err: "W-none: no such volume", code: 1},
		{do: "docker volume create --label W=two W-a; docker volume prune -f --filter label=W=two", out: "W-a\nTotal reclaimed space: 0B\n"},
		{do: "docker volume prune -af --filter label=W=two", out: "Deleted Volumes:\nW-a\n\nTotal reclaimed space: 0B\n"},
		{do: "docker rm -f W-c", out: "W-c\n"},
		{do: "echo n | docker volume prune", out: "WARNING! This will remove anonymous local volumes not used by at least one container.\nAre you sure you want to continue? [y/N] "},
		{do: "echo n | docker volume prune -a", out: "WARNING! This will remove all local volumes not used by at least one container.\n"},
	})
}

// Scripts ask for what an answer may leave out, or have null for.
func TestParityInspectOfNothing(t *testing.T) {
	fields := func(of string, names ...string) (rows []row) {
		for _, name := range names {
			f := "." + name
			rows = append(rows, row{do: "docker inspect -f '{{" + f + "}} {{json " + f + "}} {{if " + f + "}}yes{{else}}no{{end}}' " + of})
		}
		return rows
	}
	rows := []row{{do: "docker create --name W-a -v W-v:/v busybox true", out: "ID\n"}, {do: "docker network create W-n", out: "ID\n"}}
	rows = append(rows, fields("W-a", "State.Health", "Config.User", "Config.ExposedPorts", "Config.Healthcheck", "Config.Shell", "Config.Entrypoint", "Config.Volumes",
		"Config.Labels", "Config.OnBuild", "Config.StopSignal", "Config.StopTimeout", "HostConfig.Binds", "HostConfig.CapAdd", "HostConfig.PortBindings", "HostConfig.VolumesFrom",
		"HostConfig.SecurityOpt", "HostConfig.Tmpfs", "HostConfig.Sysctls", "HostConfig.Init",
		"HostConfig.Links", "HostConfig.GroupAdd", "HostConfig.ExtraHosts", "ExecIDs", "SizeRw", "NetworkSettings.Ports")...)
	rows = append(rows, fields("busybox", "Config.User", "Config.ExposedPorts", "Config.Entrypoint", "Config.Volumes", "Config.Healthcheck", "Config.OnBuild", "Config.Shell", "Config.WorkingDir")...)
	rows = append(rows, fields("W-n", "Options", "Containers", "Labels", "IPAM.Options", "Peers")...)
	rows = append(rows, fields("W-v", "Options", "Labels", "Status", "UsageData")...)
	parity(t, append(rows,
		row{do: "docker inspect -f '{{.State.Health.Status}}' W-a 2>&1 | tail -n 1", out: `map has no entry for key "Health"`},
		row{do: "docker inspect -f '{{len .Config.ExposedPorts}} {{range $p, $c := .NetworkSettings.Ports}}{{$p}}{{end}}' W-a", out: "0"},
		row{do: "docker inspect -f '{{json .State}}' W-a", out: `{"Status":"created","Running":false`},
	))
}

func TestParityInspect(t *testing.T) {
	parity(t, []row{
		{do: "docker create --name W-a -l b=2 -l a=1 -e A=2 -v W-v:/v --network bridge busybox sh -c 'echo <&>'", out: "ID\n"},
		{do: "docker inspect W-a | sed 's/\"[0-9a-fA-F/]*\"/X/' | grep -v -e lus -e '\"/' | wc -l"},
		{do: "docker inspect -f '{{json .Config}}' W-a", out: `"Hostname":"id","Domainname":""`},
		{do: "docker inspect -f '{{json .State}}' W-a", out: `{"Status":"created","Running":false`},
		{do: "docker inspect -f '{{json .HostConfig.RestartPolicy}}' W-a", out: `{"Name":"no","MaximumRetryCount":0}`},
		{do: "docker inspect -f '{{json .Config.Cmd}} {{json .Config.Labels}} {{json .Config.Env}}' W-a", out: `["sh","-c","echo <&>"]`},
		{do: "docker inspect -f '{{.ID}}' W-a; docker inspect -f '{{.Id}}' W-a", out: "ID\nID\n"},
		{do: "docker inspect -f '{{join .Config.Cmd \"+\"}} {{upper .Name}} {{lower \"ABC\"}} {{title \"abc\"}} {{pad \"x\" 1 2}}| {{truncate .ID 3 | len}} {{split .Path \"\" | len}}' W-a", out: "sh+-c+echo <&> /W-A abc Abc"},
		{do: "docker inspect -f '{{println .Path}}{{range .Args}}{{println .}}{{end}}' W-a", out: "sh\n-c\n"},
		{do: "docker inspect -f '{{range $k, $v := .Config.Labels}}{{$k}}={{$v}} {{end}}' W-a", out: "a=1 b=2 "},
		{do: "docker inspect -f '{{index .Config.Labels \"a\"}} {{index .Config.Cmd 1}} {{len .Config.Env}}' W-a"},
		{do: "docker inspect -f '{{with .State}}{{.Status}} {{.ExitCode}} {{.OOMKilled}}{{end}} {{if .State.Running}}up{{else}}down{{end}}' W-a", out: "created 0 false down\n"},
		{do: "docker inspect -f '{{printf \"%s-%d\" .Name .State.ExitCode}} {{eq .State.ExitCode 0}} {{.RestartCount}}' W-a", out: "/W-a-0 true 0\n"},
		{do: "docker inspect -f '{{.HostConfig.NetworkMode}} {{.HostConfig.Binds}} {{.Config.Env}}' W-a"},
		{do: "docker inspect -f '{{.Mounts}}' W-a"},
		{do: "docker inspect -f '{{.NoSuch}}' W-a", code: 1},
		{do: "docker inspect -f '{{' W-a", code: 64},
		{do: "docker inspect -f json W-a | cut -c 1-8"},
		{do: "docker inspect --type container -f '{{.Name}}' W-a", out: "/W-a\n"},
		{do: "docker inspect --type image W-a", out: "[]\n", err: "No such image: W-a", code: 1},
		{do: "docker inspect --type nonsense W-a", code: 1},
		{do: "docker inspect -s -f '{{.SizeRw}} {{.SizeRootFs}}' W-a"},
		{do: "docker inspect W-none", out: "[]\n", err: "No such object: W-none", code: 1},
		{do: "docker inspect -f '{{.Name}}' W-a W-none", out: "/W-a\n", err: "No such object: W-none", code: 1},
		{do: "docker inspect", err: "requires at least 1 argument", code: 1},
		{do: "docker inspect -f '{{.RepoTags}} {{.Os}}' busybox"},
		{do: "docker inspect -f '{{json .RootFS}} {{json .Config.Cmd}} {{.Architecture}} {{.Size}}' busybox", out: `{"Type":"layers"`},
		{do: "docker inspect -f '{{.Name}} {{.Mountpoint}}' W-v | sed 's,/.*/W,W,'", out: "W-v W-v/_data\n"},
		{do: "docker inspect -f '{{.Name}} {{.Scope}}' host", out: "host local\n"},
		{do: "docker container inspect -f '{{.Name}}' W-a", out: "/W-a\n"},
		{do: "docker container inspect W-none", out: "[]\n", err: "No such container: W-none", code: 1},
	})
}
