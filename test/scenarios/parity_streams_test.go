package scenarios

import (
	"fmt"
	"testing"
)

func TestParityLogs(t *testing.T) {
	parity(t, []row{
		{do: "docker run -d --name W-a -e WHO=me -l team=x --log-opt labels=team --log-opt env=WHO busybox sh -c 'for i in 1 2 3; do echo $i; done; echo last; printf part'; docker wait W-a"},
		{do: "docker logs W-a 2>/dev/null", out: "1\n2\n3\nlast\npart"},
		{do: "docker run --name W-err busybox sh -c 'echo err >&2'", err: "err"},
		{do: "docker logs W-err 2>&1 >/dev/null", out: "err\n"},
		{do: "docker logs --tail 1 W-a", out: "part"},
		{do: "docker logs -n 2 W-a", out: "last\npart"},
		{do: "docker logs --tail 0 W-a"},
		{do: "docker logs --tail all W-a 2>/dev/null", out: "1\n2\n3\nlast\npart"},
		{do: "docker logs -t W-a 2>/dev/null", out: "TIME 1\nTIME 2\n"},
		{do: "docker logs --details W-a 2>/dev/null", out: "WHO=me,team=x 1\n"},
		{do: "docker logs --details -t W-a 2>/dev/null", out: "TIME WHO=me,team=x 1\n"},
		{do: "docker logs -f W-a 2>/dev/null", out: "1\n2\n3\nlast\npart"},
		{do: "docker logs -f --tail 1 W-a", out: "part"},
		{do: "docker logs --since 2000-01-01 W-a 2>/dev/null", out: "1\n"},
		{do: "docker logs --since 1h W-a 2>/dev/null", out: "1\n"},
		{do: "docker logs --until 2000-01-01T00:00:00Z W-a"},
		{do: "docker logs --until 1h W-a"},
		{do: "docker logs --since 2100-01-01 W-a"},
		{do: "docker logs --since nonsense W-a", code: 1},
		{do: "docker logs W-none", err: "No such container: W-none", code: 1},
		{do: "docker logs", err: "requires 1 argument", code: 1},
		{do: "docker run -d --name W-plain busybox echo plain; docker wait W-plain; docker logs --details W-plain", out: " plain\n"},
		{do: "docker run -dt --name W-tty busybox echo hi; docker wait W-tty; docker logs W-tty", out: "hi\r\n"},
	})
}

func TestParityExec(t *testing.T) {
	parity(t, []row{
		{do: "docker run -d --name W-a -e A=b busybox sleep 300", out: "ID\n"},
		{do: "docker exec W-a echo hi", out: "hi\n"},
		{do: "docker exec W-a sh -c 'echo out; echo err >&2; exit 5'", out: "out\n", err: "err", code: 5},
		{do: "echo in | docker exec -i W-a cat", out: "in\n"},
		{do: "docker exec -e C=d W-a sh -c 'echo $A$C'", out: "bd\n"},
		{do: "C=host docker exec -e C W-a sh -c 'echo $C'", out: "host\n"},
		{do: "printf 'D=1\\n' >env; docker exec --env-file env W-a sh -c 'echo $D'", out: "1\n"},
		{do: "docker exec --env-file none W-a true", err: "no such file or directory", code: 1},
		{do: "docker exec -u nobody W-a id -u", out: "65534\n"},
		{do: "docker exec -u 5:6 W-a id -g", out: "6\n"},
		{do: "docker exec -u no-such W-a true", out: "unable to find user no-such", code: 126},
		{do: "docker exec -w /etc W-a pwd", out: "/etc\n"},
		{do: "docker exec -w etc W-a pwd", code: 126},
		{do: "docker exec -w /no/such W-a pwd", out: "no such file or directory", code: 127},
		{do: "docker exec --privileged W-a grep CapEff /proc/self/status"},
		{do: "docker exec -t W-a tty", out: "/dev/pts/"},
		{do: "echo x | docker exec -it W-a true", err: "the input device is not a TTY", code: 1},
		{do: "docker exec -d W-a touch /made; until docker exec W-a test -e /made; do sleep .1; done"},
		{do: "docker exec -d W-a no-such", err: "executable file not found in $PATH", code: 1},
		{do: "docker exec W-a no-such", out: "executable file not found in $PATH", code: 127},
		{do: "docker exec W-a /etc/passwd", out: "permission denied", code: 126},
		{do: "docker exec W-a /no/such", code: 127},
		{do: "docker exec W-a /etc", code: 126},
		{do: "docker exec W-none true", err: "No such container: W-none", code: 1},
		{do: "docker exec W-a", err: "requires at least 2 arguments", code: 1},
		{do: "docker exec --detach-keys nonsense -i W-a true </dev/null", code: 1},
		{do: "docker exec --no-such W-a true", err: "unknown flag: --no-such", code: 125},
		{do: "docker exec W-a sh -c 'kill -9 $$'", code: 137},
		{do: "docker stop -t 0 W-a; docker exec W-a true", out: "W-a\n", err: "is not running", code: 1},
	})
}

func TestParityStartAndAttach(t *testing.T) {
	parity(t, []row{
		{do: "docker create --name W-a busybox sh -c 'echo out; echo err >&2; exit 6'", out: "ID\n"},
		{do: "docker start -a W-a", out: "out\n", err: "err", code: 6},
		{do: "docker create -i --name W-i busybox cat", out: "ID\n"},
		{do: "echo in | docker start -ai W-i", out: "in\n"},
		{do: "docker start -a W-a W-i", err: "you cannot start and attach multiple containers at once", code: 1},
		{do: "docker attach W-a", err: "cannot attach to a stopped container, start it first", code: 1},
		{do: "docker attach W-none", err: "No such container: W-none", code: 1},
		{do: "docker attach", err: "requires 1 argument", code: 1},
		{do: "docker run -di --name W-c busybox sh -c 'read x; echo got $x; exit 9'", out: "ID\n"},
		{do: "echo word | docker attach W-c", out: "got word\n", code: 9},
		{do: "docker start W-c >/dev/null; (" + attachments("W-c", 2) + "; docker kill W-c >/dev/null) & docker attach --no-stdin W-c; code=$?; wait; exit $code", code: 137},
		{do: "docker start W-c >/dev/null; docker pause W-c; docker attach W-c", err: "cannot attach to a paused container, unpause it first", code: 1},
		{do: "docker unpause W-c; docker attach --detach-keys nonsense W-c", out: "W-c\n", code: 1},
		{do: "docker run -d --name W-s busybox sh -c 'trap \"exit 5\" USR1; : >/dev/shm/ready; while :; do sleep .1; done'", out: "ID\n"},
		{do: "docker attach --no-stdin W-s & pid=$!; " + attachments("W-s", 1) + "; kill -USR1 $pid; wait $pid", code: 5},
		{do: "docker start W-s >/dev/null; docker attach --no-stdin --sig-proxy=false W-s & pid=$!; " + attachments("W-s", 2) + "; kill -USR1 $pid; sleep .5; docker inspect -f '{{.State.Running}}' W-s; docker kill W-s; wait $pid", out: "true\nW-s\n", code: 137},
		{do: "docker start W-s; docker attach --no-stdin --sig-proxy W-s & pid=$!; " + attachments("W-s", 3) + "; kill -USR1 $pid; wait $pid", out: "W-s\n", code: 5},
		{do: "docker start --detach-keys nonsense -a W-a", code: 1},
		{do: "docker run --rm --detach-keys nonsense busybox true", code: 1},
		{do: "docker start", err: "requires at least 1 argument", code: 1},
	})
}

// attachments waits until somebody has attached to a container so often, and its
// trap is set where it has one.
func attachments(name string, n int) string {
	return fmt.Sprintf("until [ $(docker events --since 1h --until 0s --filter container=%s --filter event=attach | wc -l) -ge %d ]; do sleep .1; done; "+
		"case %[1]s in *-s) until docker exec %[1]s test -e /dev/shm/ready; do sleep .1; done;; esac", name, n)
}

func TestParityFiles(t *testing.T) {
	parity(t, []row{
		{do: "docker run --name W-a busybox sh -c 'echo x >/new; rm /etc/group; echo more >>/etc/passwd; mkdir /dir; touch /dir/f'"},
		{do: "docker diff W-a", out: "A /dir/f\n"},
		{do: "docker diff W-none", err: "No such container: W-none", code: 1},
		{do: "docker diff", err: "requires 1 argument", code: 1},
		{do: "docker export W-a | tar t | grep -x -e new -e dir/f", out: "dir/f\nnew\n"},
		{do: "docker export -o out.tar W-a; tar tf out.tar | grep -x new", out: "new\n"},
		{do: "docker export -o none/out.tar W-a", code: 1},
		{do: "docker export W-none", err: "No such container: W-none", code: 1},
		{do: "docker cp W-a:/new here; cat here", out: "x\n"},
		{do: "docker cp W-a:/dir . && ls dir", out: "f\n"},
		{do: "docker cp W-a:/dir/. flat && ls flat", out: "f\n"},
		{do: "docker cp here W-a:/copied; docker cp W-a:/copied - | tar xO", out: "x\n"},
		{do: "tar c here | docker cp - W-a:/tmp; docker cp W-a:/tmp/here - | tar xO", out: "x\n"},
		{do: "docker cp -q here W-a:/copied"},
		{do: "docker cp -a here W-a:/copied"},
		{do: "docker cp W-a:/none .", err: "Could not find the file /none in container W-a", code: 1},
		{do: "docker cp none W-a:/", err: "no such file or directory", code: 1},
		{do: "docker cp here W-a:/no/such/dir/", code: 1},
		{do: "docker cp here W-a:/none/", code: 1},
		{do: "docker cp dir W-a:/new", code: 1},
		{do: "docker cp W-none:/x .", err: "No such container: W-none", code: 1},
		{do: "docker cp W-a:/x W-a:/y", err: "copying between containers is not supported", code: 1},
		{do: "docker cp a b", err: "must specify at least one container source", code: 1},
		{do: "docker cp W-a:/new", err: "requires 2 arguments", code: 1},
		{do: "docker cp W-a: .", code: 1},
		{do: "docker commit -m why -a me -c 'ENV A=b' -c 'CMD [\"cat\",\"/new\"]' W-a W-img:1", out: "ID\n"},
		{do: "docker run --rm W-img:1", out: "x\n"},
		{do: "docker inspect -f '{{.Author}} {{.Comment}} {{json .Config.Env}} {{json .Config.Cmd}}' W-img:1", out: "me why"},
		{do: "docker commit -p=false W-a W-img:2", out: "ID\n"},
		{do: "docker commit -c 'NONSENSE x' W-a", code: 1},
		{do: "docker commit -c 'RUN x' W-a", code: 1},
		{do: "docker commit W-a BAD:1", code: 1},
		{do: "docker commit W-none", err: "No such container: W-none", code: 1},
		{do: "docker history --format '{{.CreatedBy}} {{.Comment}}' W-img:1 | sed 1q"},
		{do: "docker stats --no-stream --format '{{.Name}} {{.PIDs}}' W-none", err: "No such container: W-none", code: 1},
		{do: "docker run -d --name W-run --memory 64m busybox sleep 300", out: "ID\n"},
		{do: "docker stats --no-stream --format '{{.Name}} {{.PIDs}} {{.Container}} {{.ID}}' W-run", out: "W-run 1 W-run id\n"},
		{do: "docker stats --no-stream W-run | sed 1q", out: "CONTAINER ID  NAME  CPU %  MEM USAGE / LIMIT  MEM %  NET I/O  BLOCK I/O  PIDS\n"},
		{do: "docker stats --no-stream --no-trunc --format '{{.ID}}' W-run", out: "ID\n"},
		{do: "docker stats --no-stream --format 'table {{.Name}}\\t{{.MemUsage}}' W-run | sed 's/[0-9.]*[KM]iB/N/g'", out: "NAME  MEM USAGE / LIMIT\nW-run  N / N\n"},
		{do: "docker stats --no-stream --format '{{json .}}' W-run | sed 's/[0-9.]*[kKMG]*i*B/N/g; s/[0-9.]*%/P/g'", out: `"Name":"W-run"`},
	})
}
