package scenarios

import (
	"path/filepath"
	"strings"
	"testing"

	"lus/test/stack"
)

// What a file asks for is seen from inside the container, not from inspect.
func TestComposeKeysReachTheContainer(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{
		"key.txt": "secret\n", "conf.txt": "configured\n", "web.env": "FROM_FILE=yes\nA=overridden\n",
		"base.yaml": `
services:
  base:
    image: busybox
    environment: {FROM_BASE: "yes"}
`,
		"compose.yaml": `
x-limits: &limits
  pids_limit: 77
  mem_limit: 64m
services:
  web:
    extends: {file: base.yaml, service: base}
    <<: *limits
    command: sleep 300
    init: true
    hostname: h1
    user: "7:8"
    group_add: ["9"]
    working_dir: /srv
    env_file: [{path: web.env}, {path: missing.env, required: false}]
    environment: {A: b}
    sysctls: {net.core.somaxconn: 99}
    ulimits: {nofile: {soft: 98, hard: 99}}
    oom_score_adj: 500
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    read_only: true
    tmpfs: "/scratch:size=1m"
    shm_size: 2m
    extra_hosts: ["other.example:10.1.2.3"]
    devices: ["/dev/zero:/dev/nothing:r"]
    secrets: [key]
    configs: [{source: conf, target: /etc/conf}]
    links: ["peer:friend"]
    networks: {default: {aliases: [also]}}
    labels: {role: web}
  peer:
    image: busybox
    command: sleep 300
    volumes_from: ["store:ro"]
    depends_on: {store: {condition: service_healthy}}
  store:
    image: busybox
    command: sh -c "echo kept >/data/file; sleep 300"
    volumes: [{type: volume, source: data, target: /data, volume: {nocopy: true}}]
    healthcheck: {test: test -s /data/file, interval: 200ms, retries: 10000}
  watcher:
    image: busybox
    command: sleep 300
    depends_on:
      ends: {condition: service_completed_successfully, required: false}
  ends:
    image: busybox
    command: "false"
secrets: {key: {file: key.txt}}
configs: {conf: {file: conf.txt}}
volumes: {data: {labels: {role: store}}, unused: {}}
networks: {default: {labels: {role: net}}}
`})
	up := p.do("up", "-d")
	up.Want(t, 0)
	stack.Says(t, up.Err, "required: false")
	web := p.name + "-web-1"
	got := p.OK(t, "exec", web, "sh", "-c", `
		echo host=$(hostname) dir=$(pwd) id=$(id -u):$(id -g) groups=$(id -G) A=$A $FROM_FILE $FROM_BASE
		echo somaxconn=$(cat /proc/sys/net/core/somaxconn) nofile=$(ulimit -Sn)/$(ulimit -Hn) oom=$(cat /proc/self/oom_score_adj)
		grep -E '^(CapBnd|NoNewPrivs)' /proc/self/status
		echo $(cat /run/secrets/key) $(cat /etc/conf)
		touch /here 2>&1
		grep -E ' /(scratch|dev/shm) ' /proc/mounts
		grep other.example /etc/hosts
		echo read=$(head -c 3 /dev/nothing | wc -c)`)
	stack.Says(t, got,
		"host=h1 dir=/srv id=7:8 groups=8 9 A=b yes yes", "somaxconn=99 nofile=98/99 oom=500",
		"CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "secret configured", "/here: Read-only file system",
		"size=1024k", "size=2048k", "10.1.2.3", "read=3")
	stack.Says(t, p.OK(t, "exec", web, "nslookup", "friend"), "Name:\tfriend")
	stack.Says(t, p.OK(t, "exec", p.name+"-peer-1", "sh", "-c", "nslookup also; cat /data/file; touch /data/x 2>&1 || true"), "Name:\talso", "kept", "Read-only")
	stack.Says(t, p.OK(t, "inspect", "-f", "{{.HostConfig.PidsLimit}} {{.HostConfig.Memory}} {{.Config.Labels.role}} {{.HostConfig.Init}}", web), "77 67108864 web true")
	stack.Says(t, p.OK(t, "volume", "inspect", p.name+"_data"), `"role": "store"`)
	stack.Says(t, p.OK(t, "network", "inspect", p.name+"_default"), `"role": "net"`)
	if strings.Contains(p.OK(t, "volume", "ls"), p.name+"_unused") {
		t.Error("a volume that no service uses was made")
	}
}

// A service with use_api_socket speaks to the daemon as Docker's clients do, with
// the credentials of who brought it up, which are kept nowhere.
func TestAServiceGetsTheDaemonsSocket(t *testing.T) {
	t.Parallel()
	const secret = "YW5uOnNlc2FtZQ=="
	p := compose(t, shared(t), map[string]string{
		"docker/config.json": `{"auths": {"registry.example": {"auth": "` + secret + `"}}}`,
		"compose.yaml": `
services:
  asks:
    image: busybox
    use_api_socket: true
    volumes: ["` + filepath.Join(shared(t).Bin, "lus") + `:/lus:ro"]
    environment: {LUS_HOST: "unix:///var/run/docker.sock"}
    command: sh -c "cat $$DOCKER_CONFIG/config.json; /lus ps -a --format '{{.Names}}'"
  own:
    image: busybox
    use_api_socket: true
    environment: {DOCKER_CONFIG: /mine}
    command: sh -c "echo own $$DOCKER_CONFIG; test -S /var/run/docker.sock && echo another socket; ls /run/secrets || true"
`})
	as := func(args ...string) string {
		line := append([]string{"DOCKER_CONFIG=" + filepath.Join(p.dir, "docker"), filepath.Join(p.Bin, "lus"), "compose", "-p", p.name}, args...)
		return p.DoIn(p.dir, nil, "env", line...).Want(t, 0)
	}
	as("create")
	stack.Says(t, as("up", "--no-recreate"), `{"auths":{"registry.example":{"auth":"`+secret+`"}}}`, p.name+"-asks-1\n", "own /mine", "another socket")
	stack.Lacks(t, as("config"), secret, "use_api_socket:\n")
	stack.Lacks(t, as("logs", "own"), "docker\n")
	stack.Lacks(t, p.OK(t, "deploy", "show", "--format", "json", p.deployed()[0]), secret)
}

// The proxies of Docker's configuration file reach what Compose builds and runs, as
// they reach `build` and `run`, and are no part of the project.
func TestAProjectGetsTheUsersProxies(t *testing.T) {
	t.Parallel()
	p := compose(t, shared(t), map[string]string{
		"docker/config.json": `{"proxies": {"default": {"httpProxy": "http://user.example:1", "noProxy": "local"}}}`,
		// A step that no other test has: proxies are no part of what is kept of steps.
		"app/Dockerfile": "FROM busybox\nRUN env | grep -i proxy | sort >/for-compose\n",
		"compose.yaml": `
services:
  app:
    build: app
    environment: {http_proxy: mine}
    command: sh -c "echo built; cat /for-compose; echo run; env | grep -i proxy | sort"
    stop_grace_period: 0s
`})
	as := func(args ...string) string {
		line := append([]string{"DOCKER_CONFIG=" + filepath.Join(p.dir, "docker"), filepath.Join(p.Bin, "lus"), "compose", "-p", p.name}, args...)
		return p.DoIn(p.dir, nil, "env", line...).Want(t, 0)
	}
	as("up", "--build", "-d")
	as("wait", "app")
	const user = "http://user.example:1"
	want := "built\nHTTP_PROXY=" + user + "\nNO_PROXY=local\nhttp_proxy=" + user + "\nno_proxy=local\n" +
		"run\nHTTP_PROXY=" + user + "\nNO_PROXY=local\nhttp_proxy=mine\nno_proxy=local"
	if got := strings.TrimSpace(as("logs", "--no-log-prefix", "app")); got != want {
		t.Errorf("it saw\n%s\nwant\n%s", got, want)
	}
	stack.Lacks(t, as("config"), "user.example")
	before := p.OK(t, "inspect", "-f", "{{.Id}}", p.name+"-app-1")
	p.write("docker/config.json", `{"proxies": {"default": {"httpProxy": "http://other.example:1"}}}`)
	as("up", "-d")
	if after := p.OK(t, "inspect", "-f", "{{.Id}}", p.name+"-app-1"); after != before {
		t.Error("another proxy replaced the container")
	}
	if got := as("run", "--rm", "app", "env"); !strings.Contains(got, "HTTP_PROXY=http://other.example:1") || !strings.Contains(got, "http_proxy=mine") {
		t.Errorf("run sees %s", got)
	}
}
