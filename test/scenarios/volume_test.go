package scenarios

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"lus/test/stack"
)

func TestS45TheAdminPasswordComesFromTheEnvironment(t *testing.T) {
	t.Parallel()
	s := shared(t)
	image, name, port := s.StandIn(t, "grafana"), named(t, s, "grafana"), stack.Port(t)
	s.OK(t, "run", "-d", "--name", name, "-e", "GF_SECURITY_ADMIN_PASSWORD=x", "-p", port+":3000", image)
	login := func(password string) int {
		r, err := http.NewRequest(http.MethodGet, "http://127.0.0.1:"+port+"/api/user", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth("admin", password)
		status, _ := stack.Do(r)
		return status
	}
	stack.Eventually(t, "a login with x", func() bool { return login("x") == http.StatusOK })
	if got := login("admin"); got != http.StatusUnauthorized {
		t.Errorf("the default password answers %d", got)
	}
}

func TestS46AVolumeOutlivesItsContainers(t *testing.T) {
	t.Parallel()
	s := shared(t)
	v, a, b := volume(t, s), named(t, s, "a"), named(t, s, "b")
	s.OK(t, "volume", "create", v)
	s.OK(t, "run", "--name", a, "-v", v+":/data", stack.Busybox, "sh", "-c", "echo kept >/data/file")
	s.OK(t, "rm", a)
	s.OK(t, "run", "-d", "--name", b, "-v", v+":/data", stack.Busybox, "sleep", "300")
	if got := s.OK(t, "exec", b, "cat", "/data/file"); got != "kept" {
		t.Errorf("the second container reads %q", got)
	}
	stack.Says(t, s.OK(t, "volume", "ls"), v, "local")
	stack.Says(t, s.OK(t, "volume", "inspect", v), `"Name": "`+v+`"`, "Mountpoint")
	stack.Says(t, s.Fail(t, 1, "volume", "rm", v), "in use")
	s.OK(t, "rm", "-f", b)
	s.OK(t, "volume", "rm", v)
	stack.Says(t, s.Fail(t, 1, "volume", "inspect", v), v)
}

func TestAnEmptyVolumeTakesTheImagesContent(t *testing.T) {
	t.Parallel()
	s := shared(t)
	v := volume(t, s)
	s.OK(t, "run", "--rm", "-v", v+":/etc", stack.Busybox, "sh", "-c", "echo more >>/etc/passwd")
	out := s.OK(t, "run", "--rm", "-v", v+":/old", stack.Busybox, "cat", "/old/passwd")
	stack.Says(t, out, "root:x:0:0", "more")
}

func TestS47ARowSurvivesItsDatabaseContainer(t *testing.T) {
	t.Parallel()
	s := shared(t)
	image, v, name := mysql(t, s), volume(t, s), named(t, s, "mysql")
	run := func() {
		s.OK(t, "run", "-d", "--name", name, "-e", "MYSQL_ROOT_PASSWORD=secret", "-e", "MYSQL_DATABASE=shop", "-v", v+":/var/lib/mysql", image)
		stack.Eventually(t, "the database", func() bool { return s.Lus("exec", name, "healthcheck").Code == 0 })
	}
	sql := func(statement string) string {
		return s.OK(t, "exec", name, "mariadb", "-h127.0.0.1", "-uroot", "-psecret", "shop", "-Ne", statement)
	}
	run()
	sql("CREATE TABLE things (name TEXT); INSERT INTO things VALUES ('a hammer')")
	s.OK(t, "rm", "-f", name)
	run()
	if got := sql("SELECT name FROM things"); got != "a hammer" {
		t.Errorf("after rm -f and a new container the row is %q", got)
	}
}

// mysql is the stand-in for the official image: MariaDB as the example builds it.
func mysql(t *testing.T, s *stack.Stack) string {
	t.Helper()
	return s.BuildOnce(t, "mysql", "examples/todo/db")
}

func TestS48ABindMountShowsEditsAtOnce(t *testing.T) {
	t.Parallel()
	s := shared(t)
	image, name, port := s.StandIn(t, "nginx"), named(t, s, "site"), stack.Port(t)
	site := stack.Folder(t, map[string]string{"index.html": "first"})
	if err := os.Chmod(site, 0o755); err != nil {
		t.Fatal(err)
	}
	s.OK(t, "run", "-d", "--name", name, "-p", port+":80", "-v", site+":/usr/share/nginx/html:ro", image)
	if got := stack.Page(t, port, "/"); got != "first" {
		t.Errorf("the page is %q", got)
	}
	if err := os.WriteFile(site+"/index.html", []byte("second"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, got := stack.Get(port, "/"); got != "second" {
		t.Errorf("after the edit the page is %q", got)
	}
	stack.Says(t, s.Fail(t, 1, "exec", name, "touch", "/usr/share/nginx/html/x"), "Read-only file system")
}

func TestS49AMissingVariableIsExplained(t *testing.T) {
	t.Parallel()
	s := shared(t)
	image, name := mysql(t, s), named(t, s, "mysql")
	s.OK(t, "run", "-d", "--name", name, image)
	if code := s.OK(t, "wait", name); code != "1" {
		t.Errorf("it ended with %s", code)
	}
	if said := s.Lus("logs", name).All(); !strings.Contains(said, "ROOT_PASSWORD") {
		t.Errorf("logs do not say why:\n%s", said)
	}
	stack.Says(t, s.OK(t, "ps", "-a", "--filter", "name="+name), "Exited (1)")
}
