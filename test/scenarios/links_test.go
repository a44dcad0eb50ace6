package scenarios

import (
	"strings"
	"syscall"
	"testing"

	"lus/test/stack"
)

// On the default bridge, where names do not resolve, a linked container is found
// by its alias and told of in variables; the name follows it to a new address.
func TestLinkOnTheDefaultBridge(t *testing.T) {
	t.Parallel()
	s := shared(t)
	db, web := named(t, s, "db"), named(t, s, "web")
	s.OK(t, "run", "-d", "--name", db, "--expose", "5432", "--expose", "53/udp", "-e", "USER=me", "busybox", "sleep", "300")
	s.OK(t, "run", "-d", "--name", web, "--link", db+":the-db", "busybox", "sleep", "300")
	ip := func() string { return s.OK(t, "inspect", "-f", "{{.NetworkSettings.IPAddress}}", db) }
	id := s.OK(t, "inspect", "-f", "{{slice .Id 0 12}}", db)
	stack.Says(t, s.OK(t, "exec", web, "cat", "/etc/hosts"), ip()+"\tthe-db "+id+" "+db+"\n")
	s.OK(t, "exec", web, "ping", "-c", "1", "-W", "10", "the-db")
	env := s.OK(t, "exec", web, "env")
	stack.Says(t, env+"\n",
		"THE_DB_PORT=tcp://"+ip()+":5432\n", "THE_DB_PORT_5432_TCP=tcp://"+ip()+":5432\n", "THE_DB_PORT_5432_TCP_ADDR="+ip()+"\n",
		"THE_DB_PORT_5432_TCP_PORT=5432\n", "THE_DB_PORT_5432_TCP_PROTO=tcp\n", "THE_DB_PORT_53_UDP_PROTO=udp\n",
		"THE_DB_NAME=/"+web+"/the-db\n", "THE_DB_ENV_USER=me\n")
	if strings.Contains(env, "THE_DB_ENV_PATH") {
		t.Error("PATH is the other container's own affair")
	}

	// Another takes its old address; it comes back with a new one.
	old := ip()
	s.OK(t, "stop", "-t", "0", db)
	other := named(t, s, "other")
	s.OK(t, "run", "-d", "--name", other, "busybox", "sleep", "300")
	s.OK(t, "start", db)
	now := ip()
	stack.Eventually(t, "the alias leads to the new address", func() bool {
		return strings.Contains(s.Lus("exec", web, "cat", "/etc/hosts").Out, now+"\tthe-db ")
	})
	if now != old && strings.Contains(s.OK(t, "exec", web, "cat", "/etc/hosts"), old+"\t") {
		t.Error("the old address is still there")
	}

	// The names of today are shown; the link outlives a rename and the daemon.
	renamed := named(t, s, "db2")
	s.OK(t, "rename", db, renamed)
	if got, want := s.OK(t, "inspect", "-f", "{{json .HostConfig.Links}}", web), `["/`+renamed+":/"+web+`/the-db"]`; got != want {
		t.Errorf("inspect shows %s, want %s", got, want)
	}
	s.OK(t, "stop", "-t", "0", web, renamed)
	stack.Says(t, s.Fail(t, 1, "start", web), "Cannot link to a non running container: /"+renamed+" AS /"+web+"/the-db")
	s.OK(t, "start", renamed, web)

	// A container that is gone takes its link along.
	s.OK(t, "rm", "-f", renamed)
	s.OK(t, "restart", "-t", "0", web)
	if hosts := s.OK(t, "exec", web, "cat", "/etc/hosts"); strings.Contains(hosts, "the-db") {
		t.Errorf("the link of a removed container:\n%s", hosts)
	}
}

// A restart of everything starts what is linked to before what is linked.
func TestLinkedContainersComeBackInOrder(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	s.OK(t, "run", "-d", "--name", "db", "--restart", "always", "busybox", "sleep", "300")
	s.OK(t, "run", "-d", "--name", "web", "--restart", "always", "--link", "db", "busybox", "sleep", "300")
	s.OK(t, "run", "-d", "--name", "proxy", "--restart", "always", "--link", "web:backend", "busybox", "sleep", "300")
	if err := syscall.Kill(s.Helper("lus-keeper"), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	stack.Eventually(t, "the daemon to end", func() bool { return s.Helper("lusd") == 0 })
	s.StartDaemon(t)
	for _, name := range []string{"proxy", "web", "db"} {
		stack.Eventually(t, name+" runs again", func() bool {
			return s.Lus("inspect", "-f", "{{.State.Running}}", name).Out == "true\n"
		})
	}
	s.OK(t, "exec", "proxy", "ping", "-c", "1", "-W", "10", "backend")
}

func TestParityLinks(t *testing.T) {
	parity(t, []row{
		{do: "docker run -d --name W-db --expose 80 -e A=b busybox sleep 300", out: "ID\n"},
		{do: "docker run --rm --name W-x --link W-db:other busybox env | grep OTHER | sort", out: "OTHER_ENV_A=b\nOTHER_NAME=/W-x/other\nOTHER_PORT=tcp://IP:80\n"},
		{do: "docker run --rm --link W-db busybox grep W-db /etc/hosts", out: "IP\tW-db id\n"},
		{do: "docker run -d --name W-web --link W-db:other busybox sleep 300", out: "ID\n"},
		{do: "docker exec W-web sh -c 'echo $OTHER_PORT_80_TCP_PORT'", out: "80\n"},
		{do: "docker inspect -f '{{json .HostConfig.Links}}' W-web", out: "[\"/W-db:/W-web/other\"]\n"},
		{do: "docker ps --format '{{.Names}}' --filter name=W-db", out: "W-db\n"},
		{do: "docker ps --no-trunc --format '{{.Names}}' --filter name=W-db", out: "W-db,W-web/other\n"},
		{do: "docker rm --link W-web/other; docker inspect -f '{{json .HostConfig.Links}}' W-web", out: "W-web/other\n"},
		{do: "docker rm --link W-web/other", err: "No such container", code: 1},
		{do: "docker run --rm --link W-none busybox true", err: "could not get container for W-none", code: 125},
		{do: "docker run --rm --link a:b:c busybox true", err: "bad format for links: a:b:c", code: 125},
		{do: "docker run --rm --link '' busybox true", err: "empty string specified for links", code: 125},
		{do: "docker run --rm --network host --link W-db busybox true", err: "host type networking can't be used with links", code: 125},
		{do: "docker run --rm --network container:W-db --link W-db:x busybox true", err: "container type network can't be used with links", code: 125},
		{do: "docker network create W-net", out: "ID\n"},
		{do: "docker run -d --name W-one --network W-net busybox sleep 300", out: "ID\n"},
		{do: "docker run --rm --link W-one busybox true", err: "does not belong to the default network", code: 125},
		{do: "docker run --rm --network W-net --link W-one:uno busybox sh -c 'ping -c 1 uno | head -n 1'", out: "PING uno (IP)"},
		{do: "docker run -d --name W-two --network W-net --link W-one:uno busybox sleep 300", out: "ID\n"},
		{do: "docker inspect -f '{{json .HostConfig.Links}} {{range .NetworkSettings.Networks}}{{json .Links}}{{end}}' W-two", out: "null [\"W-one:uno\"]\n"},
		{do: "docker create --name W-late busybox true; docker network connect --link W-one:uno W-net W-late"},
		{do: "docker inspect -f '{{json (index .NetworkSettings.Networks \"W-net\").Links}}' W-late", out: "[\"W-one:uno\"]\n"},
		{do: "docker rm -f W-one W-two W-late; docker network rm W-net"},
		{do: "docker stop -t 0 W-db; docker run --rm --name W-y --link W-db busybox true", err: "Cannot link to a non running container: /W-db AS /W-y/W-db", code: 125},
	})
}

// An image is here for one platform: that one is had by its name, others not.
func TestParityPlatform(t *testing.T) {
	parity(t, []row{
		{do: "docker tag busybox W-img:1; docker save --platform linux/amd64 W-img:1 | tar t | grep -c manifest.json", out: "1\n"},
		{do: "docker save --platform linux/arm64 W-img:1", err: "does not match the specified platform (linux/arm64)", code: 1},
		{do: "docker history --platform linux/amd64 -q W-img:1 | wc -l"},
		{do: "docker history --platform linux/arm64 W-img:1", err: "was found but its platform (linux/amd64) does not match", code: 1},
		{do: "docker image inspect --platform linux/amd64 -f '{{.Architecture}}' W-img:1", out: "amd64\n"},
		{do: "docker image inspect --platform linux/arm64 W-img:1", out: "[]\n", err: "does not match the specified platform", code: 1},
		{do: "docker push --platform linux/arm64 W-img:1 >/dev/null", err: "does not match the specified platform", code: 1},
		{do: "docker rmi --platform linux/arm64 W-img:1", err: "does not match the specified platform", code: 1},
		{do: "docker rmi --platform linux/amd64 W-img:1", out: "Untagged: W-img:1\n"},
	})
}
