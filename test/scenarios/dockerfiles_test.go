package scenarios

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"lus/test/stack"
)

const apache = `FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends apache2 \
 && rm -rf /var/lib/apt/lists/* /var/www/html/* \
 && echo 'ServerName localhost' >/etc/apache2/conf-enabled/name.conf
COPY site/ /var/www/html/
EXPOSE 80
`

// EXPOSE says what a container listens on; only -p makes it reachable.
func TestS52ApacheWithPagesOfOnesOwn(t *testing.T) {
	t.Parallel()
	s := shared(t)
	image := tagged(t, s, "apache")
	site := map[string]string{"site/index.html": "<h1>my own page</h1>", "Dockerfile": apache + `CMD ["apachectl", "-D", "FOREGROUND"]` + "\n"}
	s.Build(t, image, site).Want(t, 0)
	hidden, open, port := named(t, s, "hidden"), named(t, s, "open"), stack.Port(t)
	s.OK(t, "run", "-d", "--name", hidden, image)
	s.OK(t, "run", "-d", "--name", open, "-p", port+":80", image)
	stack.Says(t, stack.Page(t, port, "/"), "my own page")
	if got := s.OK(t, "port", hidden); got != "" {
		t.Errorf("without -p a port is published: %s", got)
	}
	if got := s.OK(t, "inspect", "-f", "{{json .Config.ExposedPorts}}", hidden); got != `{"80/tcp":{}}` {
		t.Errorf("EXPOSE gave %s", got)
	}
	if c, err := net.DialTimeout("tcp", "127.0.0.1:80", time.Second); err == nil {
		_ = c.Close()
		t.Log("something of this host listens on port 80: nothing can be said of the hidden one")
	}
	// What httpd's image does by FOREGROUND: without it the main process is the
	// one that starts the server and ends.
	away := tagged(t, s, "background")
	site["Dockerfile"] = apache + `CMD ["apachectl", "start"]` + "\n"
	s.Build(t, away, site).Want(t, 0)
	name := named(t, s, "away")
	s.OK(t, "run", "-d", "--name", name, away)
	if got := s.OK(t, "wait", name); got != "0" {
		t.Errorf("a server in the background ended with %s", got)
	}
}

func TestS53ApacheOnAlpine(t *testing.T) {
	t.Parallel()
	s := shared(t)
	alpine(t, s)
	image := tagged(t, s, "apache-alpine")
	s.Build(t, image, map[string]string{"Dockerfile": "FROM alpine\nRUN apk add --no-cache apache2\nEXPOSE 80\nCMD [\"httpd\", \"-D\", \"FOREGROUND\"]\n"}).Want(t, 0)
	name, port := named(t, s, "alpine"), stack.Port(t)
	s.OK(t, "run", "-d", "--name", name, "-p", port+":80", image)
	stack.Says(t, stack.Page(t, port, "/"), "It works!")
	big := tagged(t, s, "apache-debian")
	s.Build(t, big, map[string]string{"Dockerfile": apache, "site/x": ""}).Want(t, 0)
	if small, large := size(t, s, image), size(t, s, big); small >= large {
		t.Errorf("on Alpine it has %d bytes, on Debian %d", small, large)
	}
}

// alpine skips a test where Alpine's image or packages are not to be had.
func alpine(t *testing.T, s *stack.Stack) {
	t.Helper()
	if r := s.Lus("pull", "-q", "alpine"); r.Code != 0 {
		t.Skipf("[A] Alpine's image cannot be pulled here: %s", strings.TrimSpace(r.Err))
	}
	if r := s.Lus("run", "--rm", "alpine", "apk", "update"); r.Code != 0 {
		t.Skipf("[A] Alpine's packages cannot be reached here: %s", strings.TrimSpace(r.All()))
	}
}

func size(t *testing.T, s *stack.Stack, image string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(s.OK(t, "inspect", "-f", "{{.Size}}", image), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// What lies in /docker-entrypoint-initdb.d runs at the first start, and no more.
func TestS54ScriptsOfTheFirstStart(t *testing.T) {
	t.Parallel()
	s := shared(t)
	image, name, data := tagged(t, s, "shop"), named(t, s, "db"), volume(t, s)
	s.Build(t, image, map[string]string{
		"Dockerfile":   "FROM " + mysql(t, s) + "\nCOPY *.sql /docker-entrypoint-initdb.d/\n",
		"1-tables.sql": "CREATE TABLE item (name VARCHAR(20));\n", "2-rows.sql": "INSERT INTO item VALUES ('apple');\n",
	}).Want(t, 0)
	sql := func(statement string) string {
		return s.OK(t, "exec", name, "mariadb", "-h127.0.0.1", "-uroot", "-psecret", "shop", "-Ne", statement)
	}
	healthy := func() {
		stack.Eventually(t, "the database", func() bool { return s.Lus("exec", name, "healthcheck").Code == 0 })
	}
	s.OK(t, "run", "-d", "--name", name, "-e", "MYSQL_ROOT_PASSWORD=secret", "-e", "MYSQL_DATABASE=shop", "-v", data+":/var/lib/mysql", image)
	healthy()
	if got := sql("SELECT name FROM item"); got != "apple" {
		t.Errorf("after the first start the table has %q", got)
	}
	sql("INSERT INTO item VALUES ('pear')")
	s.OK(t, "restart", name)
	healthy()
	if got := sql("SELECT name FROM item ORDER BY name"); got != "apple\npear" {
		t.Errorf("after the second start the table has %q", got)
	}
}

const python = "FROM debian:bookworm-slim\nRUN apt-get update && apt-get install -y --no-install-recommends python3-minimal && ln -s python3 /usr/bin/python\n"

// An image stands in for python:3.9-slim where that cannot be pulled.
func TestS57APythonProgramAndAnotherCommand(t *testing.T) {
	t.Parallel()
	s := shared(t)
	image := tagged(t, s, "pyramid")
	s.Build(t, image, map[string]string{
		"Dockerfile": python + "WORKDIR /app\nCOPY pyramid.py .\nCMD [\"python\", \"pyramid.py\"]\n",
		"pyramid.py": "for i in range(1, 4):\n    print(' ' * (3 - i) + '*' * (2 * i - 1))\n",
	}).Want(t, 0)
	if got := s.Lus("run", "--rm", image).Out; got != "  *\n ***\n*****\n" {
		t.Errorf("the program prints\n%s", got)
	}
	if got := s.OK(t, "run", "--rm", image, "python", "-V"); !strings.HasPrefix(got, "Python 3.") {
		t.Errorf("another command prints %q", got)
	}
	if got := s.OK(t, "run", "--rm", image, "pwd"); got != "/app" {
		t.Errorf("the working directory is %s", got)
	}
}

// The packages are a step before the program's own files: a change of the
// program leaves them in the cache.
func TestS59OnlyTheChangedStepRunsAgain(t *testing.T) {
	t.Parallel()
	s := shared(t)
	t.Run("with pip from PyPI", func(t *testing.T) {
		t.Parallel()
		if r := s.Lus("build", stack.Folder(t, map[string]string{
			"Dockerfile": "FROM debian:bookworm-slim\nRUN apt-get update && apt-get install -y --no-install-recommends python3-pip && pip download --no-deps --timeout 5 --retries 0 -d /tmp six\n",
		})); r.Code != 0 {
			t.Skip("[P] PyPI cannot be reached from a build here")
		}
		rebuild(t, s, "FROM debian:bookworm-slim\nRUN apt-get update && apt-get install -y --no-install-recommends python3-pip\nWORKDIR /app\nCOPY requirements.txt .\nRUN pip install --break-system-packages -r requirements.txt\nCOPY app.py .\nCMD [\"python3\", \"app.py\"]\n", "six\n")
	})
	t.Run("with packages that stand in", func(t *testing.T) {
		t.Parallel()
		rebuild(t, s, python+"WORKDIR /app\nCOPY requirements.txt .\nRUN mkdir lib && for p in $(cat requirements.txt); do echo \"name = '$p'\" > lib/$p.py; done; cat /proc/sys/kernel/random/uuid > installed\nCOPY app.py .\nCMD [\"python\", \"app.py\"]\n", "six\n")
	})
}

func rebuild(t *testing.T, s *stack.Stack, dockerfile, requirements string) {
	t.Helper()
	image := tagged(t, s, "pip")
	files := map[string]string{"Dockerfile": dockerfile, "requirements.txt": requirements, "app.py": "print('one')\n"}
	dir := stack.Folder(t, files)
	build := func() stack.Result {
		r := s.Lus("build", "--progress", "plain", "-t", image, dir)
		r.Want(t, 0)
		return r
	}
	build()
	put(t, filepath.Join(dir, "app.py"), "print('two')\n")
	again := build()
	if n := strings.Count(again.Err, " CACHED\n"); n < 3 {
		t.Errorf("%d steps came from the cache:\n%s", n, again.Err)
	}
	if strings.Contains(again.Err, "Collecting six") {
		t.Error("pip ran again")
	}
	if got := s.OK(t, "run", "--rm", image); got != "two" {
		t.Errorf("the program prints %q", got)
	}
}

// One program on three bases, and the table that tells which is the smallest.
func TestS60OneProgramOnThreeBases(t *testing.T) {
	t.Parallel()
	s := shared(t)
	images := map[string]string{}
	build := func(what, from string) {
		images[what] = tagged(t, s, "on-"+what)
		s.Build(t, images[what], map[string]string{"Dockerfile": from + "COPY app.sh /\nCMD [\"sh\", \"/app.sh\"]\n", "app.sh": "echo same\n"}).Want(t, 0)
	}
	t.Run("Debian, slim and busybox", func(t *testing.T) {
		// The full Debian has what the slim one lacks; packages make the difference here.
		build("debian", "FROM debian:bookworm-slim\nRUN apt-get update && apt-get install -y --no-install-recommends perl\n")
		build("slim", "FROM debian:bookworm-slim\n")
		build("busybox", "FROM busybox\n")
		for what, image := range images {
			if got := s.OK(t, "run", "--rm", image); got != "same" {
				t.Errorf("%s: it prints %q", what, got)
			}
		}
		a, b, c := size(t, s, images["debian"]), size(t, s, images["slim"]), size(t, s, images["busybox"])
		if a <= b || b <= c {
			t.Errorf("the sizes are %d, %d and %d", a, b, c)
		}
		table := s.OK(t, "image", "compare", images["debian"], images["slim"], images["busybox"])
		stack.Says(t, table, images["busybox"])
	})
	t.Run("Alpine", func(t *testing.T) {
		alpine(t, s)
		build("alpine", "FROM alpine\n")
		if small, large := size(t, s, images["alpine"]), size(t, s, images["slim"]); small >= large {
			t.Errorf("on Alpine it has %d bytes, on slim %d", small, large)
		}
	})
}

// The classic endpoint builds what it fetches itself, and says so in its words.
func TestTheClassicBuilderFetchesItsContext(t *testing.T) {
	t.Parallel()
	s := shared(t)
	tag := tagged(t, s, "remote")
	site := serveFolder(t, gitSite(t, map[string]string{"Dockerfile": "FROM busybox\nCOPY f /f\nCMD [\"cat\", \"/f\"]\n", "f": "of git"}))
	files := serveBytes(t, map[string][]byte{
		"/c.tar.gz": tarOf(t, map[string]string{"Dockerfile": "FROM busybox\nCOPY f /f\nCMD [\"cat\", \"/f\"]\n", "f": "of a tar"}), "/Dockerfile": []byte("FROM busybox\nCMD [\"echo\", \"of a file\"]\n"),
	})
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("needs curl")
	}
	for where, want := range map[string]string{site + "/repo.git": "of git", files + "/c.tar.gz": "of a tar", files + "/Dockerfile": "of a file"} {
		r := s.Do(nil, curl, "-sS", "--unix-socket", s.Socket(), "-X", "POST", fmt.Sprintf("http://lus/build?t=%s&remote=%s", tag, where))
		out := r.Want(t, 0)
		stack.Says(t, out, "Step 1/", "FROM busybox", "Successfully built ", "Successfully tagged "+tag+":latest")
		if got := s.OK(t, "run", "--rm", tag); got != want {
			t.Errorf("%s: the image says %q", where, got)
		}
	}
	bad := s.Do(nil, curl, "-sS", "--unix-socket", s.Socket(), "-X", "POST", "http://lus/build?remote="+files+"/none").Want(t, 0)
	stack.Says(t, bad, `"message"`, "404")
}
