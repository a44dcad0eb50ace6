package scenarios

import (
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"lus/test/stack"
)

// project is a Compose project in a folder of its own that goes down with the
// test.
type project struct {
	*stack.Stack
	t    *testing.T
	name string
	dir  string
}

// compose writes a compose.yaml and files beside it. The project's name is
// given by -p, so that tests do not meet.
func compose(t *testing.T, s *stack.Stack, files map[string]string) *project {
	t.Helper()
	p := &project{Stack: s, t: t, name: named(t, s, "p"), dir: stack.Folder(t, files)}
	t.Cleanup(func() { p.do("down", "-v", "-t", "0", "--remove-orphans") })
	return p
}

func (p *project) do(args ...string) stack.Result {
	return p.DoIn(p.dir, nil, filepath.Join(p.Bin, "lus"), append([]string{"compose", "-p", p.name}, args...)...)
}

func (p *project) ok(args ...string) string {
	p.t.Helper()
	return p.do(args...).Want(p.t, 0)
}

func TestS78RunLinesAsAComposeFile(t *testing.T) {
	t.Parallel()
	s := shared(t)
	web, db, port := s.StandIn(t, "nginx"), mysql(t, s), stack.Port(t)
	dir := filepath.Join(stack.Folder(t, map[string]string{"course/docker-compose.yml": `
services:
  w1:
    image: ` + web + `
    ports: ["` + port + `:80"]
  mysql:
    image: ` + db + `
    environment:
      MYSQL_ROOT_PASSWORD: secret
      MYSQL_DATABASE: shop
    volumes: [dbdata:/var/lib/mysql]
volumes:
  dbdata:
`}), "course")
	do := func(args ...string) string {
		t.Helper()
		return s.DoIn(dir, nil, filepath.Join(s.Bin, "lus"), append([]string{"compose"}, args...)...).Want(t, 0)
	}
	t.Cleanup(func() {
		do("down", "-v")
		do("-p", "renamed", "down", "-v")
	})
	do("up", "-d")
	stack.Says(t, stack.Page(t, port, "/"), "Welcome to nginx!")
	stack.Says(t, do("ps"), "course-w1-1", "course-mysql-1", port)
	stack.Says(t, s.OK(t, "volume", "ls"), "course_dbdata")
	stack.Says(t, s.OK(t, "network", "ls"), "course_default")
	do("down")
	stack.Says(t, s.OK(t, "volume", "ls"), "course_dbdata")
	do("-p", "renamed", "up", "-d")
	stack.Says(t, do("-p", "renamed", "ps"), "renamed-w1-1")
}

func TestS81AContainerPortAloneGetsAHostPort(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{"compose.yaml": `
services:
  web:
    image: busybox
    command: httpd -f -h /etc
    ports: ["80"]
`})
	p.ok("up", "-d")
	shown := p.OK(t, "port", p.name+"-web-1", "80/tcp")
	if r := p.do("port", "web", "80"); r.Code == 0 {
		shown = strings.TrimSpace(r.Out)
	}
	first, _, _ := strings.Cut(shown, "\n")
	stack.Says(t, stack.Page(t, first[strings.LastIndex(first, ":")+1:], "/passwd"), "root:")
}

func TestDependenciesStartInOrder(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{"compose.yaml": `
services:
  app:
    image: busybox
    command: sh -c "cat /shared/migrated && sleep 300"
    volumes: [shared:/shared]
    depends_on:
      db: {condition: service_healthy}
      migrate: {condition: service_completed_successfully}
  migrate:
    image: busybox
    command: sh -c "test -e /shared/healthy && echo done >/shared/migrated"
    volumes: [shared:/shared]
    depends_on:
      db: {condition: service_healthy}
  db:
    image: busybox
    command: sh -c "sleep 0.5; touch /shared/healthy; sleep 300"
    volumes: [shared:/shared]
    healthcheck:
      test: test -e /shared/healthy
      interval: 200ms
      retries: 10000
volumes:
  shared:
`})
	p.ok("up", "-d")
	stack.Eventually(t, "the app's line", func() bool { return strings.Contains(p.ok("logs", "app"), "done") })
	// What had ended runs again, as with docker compose; what runs is left alone.
	running := func() string {
		return p.OK(t, "inspect", "--format", "{{.Name}} {{.Id}} {{.State.StartedAt}}", p.name+"-app-1", p.name+"-db-1")
	}
	before := running()
	p.ok("up", "-d")
	if after := running(); after != before {
		t.Errorf("the second up touched containers:\n%s\n%s", before, after)
	}
}

func TestADependencyThatFailsIsNamed(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{"compose.yaml": `
services:
  app:
    image: busybox
    depends_on:
      migrate: {condition: service_completed_successfully}
  migrate:
    image: busybox
    command: "false"
`})
	r := p.do("up", "-d")
	if r.Code == 0 {
		t.Fatalf("up succeeded:\n%s", r.All())
	}
	stack.Says(t, r.All(), "migrate", "1")
}

const posts = "/?rest_route=/wp/v2/posts"

// install takes the installer's one page, as a person does.
func install(t *testing.T, port string) {
	t.Helper()
	stack.Says(t, stack.Page(t, port, "/wp-admin/install.php"), "WordPress", "Installation")
	answer, err := http.PostForm("http://127.0.0.1:"+port+"/wp-admin/install.php?step=2", url.Values{
		"weblog_title": {"My blog"}, "user_name": {"lus"}, "admin_email": {"lus@example.com"}, "blog_public": {"0"},
		"admin_password": {"a-long-Password-1"}, "admin_password2": {"a-long-Password-1"}, "pw_weak": {"1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	stack.Says(t, stack.Page(t, port, posts), "Hello world!")
}

func TestS84WordPressAndMySQLByHand(t *testing.T) {
	t.Parallel()
	s := shared(t)
	web, db, port := s.StandIn(t, "wordpress"), mysql(t, s), stack.Port(t)
	net1, files, data := network(t, s), volume(t, s), volume(t, s)
	blog, base := named(t, s, "wordpress"), named(t, s, "mysql")
	run := func() {
		s.OK(t, "run", "-d", "--name", base, "--network", net1, "-v", data+":/var/lib/mysql",
			"-e", "MYSQL_ROOT_PASSWORD=secret", "-e", "MYSQL_DATABASE=wordpress", db)
		s.OK(t, "run", "-d", "--name", blog, "--network", net1, "-v", files+":/var/lib/wordpress", "-p", port+":80",
			"-e", "WORDPRESS_DB_HOST="+base, "-e", "WORDPRESS_DB_PASSWORD=secret", web)
		stack.Eventually(t, "the database", func() bool { return s.Lus("exec", base, "healthcheck").Code == 0 })
	}
	run()
	install(t, port)

	s.Fail(t, 2, "run", "--rm", stack.Debian, "getent", "hosts", base)
	stack.Says(t, s.OK(t, "run", "--rm", "--network", net1, stack.Debian, "getent", "hosts", base), base)

	s.OK(t, "rm", "-f", blog, base)
	run()
	stack.Says(t, stack.Page(t, port, posts), "Hello world!")
}

func TestS85WordPressAndMySQLInOneFile(t *testing.T) {
	t.Parallel()
	s := shared(t)
	web, db, port := s.StandIn(t, "wordpress"), mysql(t, s), stack.Port(t)
	p := compose(t, s, map[string]string{"compose.yaml": `
services:
  wordpress:
    image: ` + web + `
    ports: ["` + port + `:80"]
    environment: {WORDPRESS_DB_HOST: mysql, WORDPRESS_DB_PASSWORD: secret}
    networks: [blog]
    depends_on:
      mysql: {condition: service_healthy}
    healthcheck:
      test: ["CMD", "php", "-r", "exit(@fsockopen('127.0.0.1', 80) ? 0 : 1);"]
      interval: 200ms
      retries: 10000
  mysql:
    image: ` + db + `
    environment: {MYSQL_ROOT_PASSWORD: secret, MYSQL_DATABASE: wordpress}
    volumes: [data:/var/lib/mysql]
    networks: [blog]
    healthcheck:
      test: ["CMD", "healthcheck"]
      interval: 200ms
      retries: 10000
networks:
  blog:
    driver: bridge
volumes:
  data:
`})
	p.ok("up", "-d")
	install(t, port)
	ids := p.OK(t, "ps", "-q", "--no-trunc", "--filter", "label=com.docker.compose.project="+p.name)
	p.ok("up", "-d")
	if again := p.OK(t, "ps", "-q", "--no-trunc", "--filter", "label=com.docker.compose.project="+p.name); again != ids {
		t.Errorf("the second up changed the containers:\n%s\n%s", ids, again)
	}
}

func TestS86TheTodoSurvivesDownAndUp(t *testing.T) {
	t.Parallel()
	s := shared(t)
	db, api, port := mysql(t, s), s.BuildOnce(t, "tasks-api", "examples/todo/api"), stack.Port(t)
	p := compose(t, s, map[string]string{"compose.yaml": `
services:
  api:
    image: ` + api + `
    ports: ["` + port + `:8000"]
    environment: {DB_HOST: db, DB_PASSWORD: secret}
    restart: on-failure
    depends_on: [db]
  db:
    image: ` + db + `
    environment: {MARIADB_RANDOM_ROOT_PASSWORD: "yes", MARIADB_DATABASE: todo, MARIADB_USER: todo, MARIADB_PASSWORD: secret}
    volumes: [data:/var/lib/mysql]
volumes:
  data:
`})
	p.ok("up", "-d")
	started := func(service string) string {
		return p.OK(t, "inspect", "--format", "{{.State.StartedAt}}", p.name+"-"+service+"-1")
	}
	if db, api := started("db"), started("api"); db >= api {
		t.Errorf("the database started at %s, the API at %s", db, api)
	}
	stack.Page(t, port, "/health")
	r, err := http.NewRequest(http.MethodPost, "http://127.0.0.1:"+port+"/todos", strings.NewReader(`{"title":"survive"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if status, body := stack.Do(r); status != http.StatusCreated {
		t.Fatalf("adding a todo: %d %s", status, body)
	}
	p.ok("down")
	p.ok("up", "-d")
	stack.Page(t, port, "/health")
	stack.Says(t, stack.Page(t, port, "/todos"), "survive")
}
