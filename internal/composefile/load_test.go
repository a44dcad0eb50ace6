package composefile_test

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lus/internal/base/errs"
	"lus/internal/composefile"
	"lus/internal/model/compose"
)

var update = flag.Bool("update", false, "write the expected messages anew")

// Each broken file stands beside the message a person gets for it.
func TestBrokenFilesSayWhatToDo(t *testing.T) {
	inputs, err := filepath.Glob("testdata/broken/*.yaml")
	if err != nil || len(inputs) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, in := range inputs {
		t.Run(strings.TrimSuffix(filepath.Base(in), ".yaml"), func(t *testing.T) {
			_, err := composefile.Load(context.Background(), composefile.Options{Files: []string{in}, Name: "p", Together: true})
			if err == nil {
				t.Fatal("it was accepted")
			}
			if k := errs.KindOf(err); k != errs.Invalid && k != errs.Unsupported {
				t.Errorf("kind %v, want Invalid or Unsupported", k)
			}
			dir, _ := filepath.Abs("testdata/broken")
			got := strings.ReplaceAll(err.Error(), dir+"/", "") + "\n"
			out := strings.TrimSuffix(in, ".yaml") + ".out"
			if *update {
				if err := os.WriteFile(out, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%swant:\n%s", got, want)
			}
		})
	}
}

func load(t *testing.T, text string) *composefile.Loaded {
	t.Helper()
	file := filepath.Join(t.TempDir(), "compose.yaml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := composefile.Load(context.Background(), composefile.Options{Files: []string{file}, Name: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

const shop = `
services:
  web:
    build: .
    ports: ["127.0.0.1:8080:80", "9000-9002:90/udp", "70"]
    environment: {B: "2", A: one}
    depends_on:
      db: {condition: service_healthy}
    networks: {front: {aliases: [www]}, back: {priority: 10}}
    restart: on-failure:3
    command: ["serve", "--all"]
  db:
    image: mariadb
    container_name: the-db
    volumes: [data:/var/lib/mysql, "./conf:/etc/conf:ro", /scratch]
    healthcheck: {test: ping, interval: 2s, retries: 5}
    networks: [back]
    deploy: {resources: {limits: {memory: 64m, cpus: "0.5"}}}
volumes: {data: {}}
networks: {front: {}, back: {internal: true}}
`

func TestAServiceBecomesAContainerRequest(t *testing.T) {
	p := load(t, shop).Project
	db, web := p.Services[0], p.Services[1]
	check := func(what string, got, want any) {
		t.Helper()
		g, _ := json.Marshal(got)
		w, _ := json.Marshal(want)
		if string(g) != string(w) {
			t.Errorf("%s: got %s, want %s", what, g, w)
		}
	}
	check("image of a built service", web.Image, "shop-web")
	check("build tag", web.Build.Tags, []string{"shop-web"})
	check("environment", web.Create.Env, []string{"A=one", "B=2"})
	check("command", web.Create.Cmd, []string{"serve", "--all"})
	check("first network", web.Create.HostConfig.NetworkMode, "shop_back")
	check("aliases", web.Create.NetworkingConfig.EndpointsConfig["shop_front"].Aliases, []string{"web", "www"})
	check("ports", web.Create.HostConfig.PortBindings, json.RawMessage(
		`{"70/tcp":[{"HostIp":"","HostPort":""}],"80/tcp":[{"HostIp":"127.0.0.1","HostPort":"8080"}],"90/udp":[{"HostIp":"","HostPort":"9000-9002"}]}`))
	check("restart", web.Create.HostConfig.RestartPolicy, json.RawMessage(`{"Name":"on-failure","MaximumRetryCount":3}`))
	check("depends_on", web.DependsOn, []compose.Dependency{{Service: "db", Condition: compose.ServiceHealthy, Required: true}})
	check("container_name", db.ContainerName, "the-db")
	check("healthcheck", db.Create.Healthcheck, json.RawMessage(`{"Test":["CMD-SHELL","ping"],"Interval":2000000000,"Retries":5}`))
	check("memory", db.Create.HostConfig.Memory, 64<<20)
	check("cpus", db.Create.HostConfig.NanoCPUs, int64(5e8))
	m := db.Create.HostConfig.Mounts
	check("named volume", m[0].Source, "shop_data")
	check("bind", []any{m[1].Type, m[1].Source, m[1].ReadOnly}, []any{"bind", filepath.Join(p.WorkingDir, "conf"), true})
	check("anonymous volume", []string{m[2].Type, m[2].Source, m[2].Target}, []string{"volume", "", "/scratch"})
	check("project label", db.Create.Labels[compose.LabelProject], "shop")
	check("internal network", p.Networks[0].Network.Internal, true)
}

func TestTheHashFollowsWhatAContainerIsMadeFrom(t *testing.T) {
	hash := func(text string) string { return load(t, text).Project.Services[0].Hash }
	// The folder is part of bind mounts only, so these compare across folders.
	base := "services:\n  web:\n    image: nginx\n"
	if first, second := hash(base), hash(base); first != second {
		t.Error("the same file gives two hashes")
	}
	if hash(base) == hash(base+"    environment: {A: b}\n") {
		t.Error("a changed environment gives the same hash")
	}
	if hash(base) != hash(base+"    scale: 3\n") {
		t.Error("the scale changes the hash")
	}
}

func TestWhatHasNoEffectIsNamed(t *testing.T) {
	l := load(t, "version: '3'\nservices:\n  web:\n    image: nginx\n    umask: 18\n    deploy: {labels: {l: m}}\n")
	all := strings.Join(l.Warnings, "\n")
	for _, want := range []string{"compose.yaml:1: version: is obsolete", "compose.yaml:5: umask: ", "compose.yaml:6: deploy.labels: "} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not said in:\n%s", want, all)
		}
	}
}

func TestNoFileNamesTheOnesLookedFor(t *testing.T) {
	t.Chdir(t.TempDir())
	_, err := composefile.Load(context.Background(), composefile.Options{})
	if err == nil || !strings.Contains(err.Error(), "compose.yaml") || !errs.Is(err, errs.NotFound) {
		t.Errorf("got %v", err)
	}
}

func TestALinksNameMeansOneService(t *testing.T) {
	l := load(t, "services:\n  web: {image: a, links: ['db:data']}\n  db: {image: b}\n")
	for _, s := range l.Project.Services {
		if e := s.Create.NetworkingConfig.EndpointsConfig["shop_default"]; s.Name == "db" && strings.Join(e.Aliases, " ") != "db data" {
			t.Errorf("db is called %q", e.Aliases)
		}
	}
	file := filepath.Join(t.TempDir(), "compose.yaml")
	text := "services:\n  a: {image: a, links: ['b:data']}\n  b: {image: b}\n  c:\n    image: c\n    links: ['a:data']\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := composefile.Load(context.Background(), composefile.Options{Files: []string{file}})
	if err == nil || !strings.Contains(err.Error(), "compose.yaml:6: services.c.links: a:data: the name data means service b already") {
		t.Errorf("got %v", err)
	}
}

func TestWhatAnIncludedFileSaysIsFoundThere(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"compose.yaml":   "include: [sub/other.yaml]\nservices:\n  web: {image: a, extends: {file: base.yaml, service: web}}\n",
		"sub/other.yaml": "services:\n  db:\n    image: b\n    cpu_count: 1\n",
		"base.yaml":      "services:\n  web:\n    image: b\n    umask: 18\n",
	} {
		if err := os.MkdirAll(filepath.Join(dir, "sub"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	l, err := composefile.Load(context.Background(), composefile.Options{Files: []string{filepath.Join(dir, "compose.yaml")}})
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(l.Warnings, "\n")
	for _, want := range []string{"sub/other.yaml:4: cpu_count: ", "base.yaml:4: umask: "} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not said in:\n%s", want, all)
		}
	}
}

func TestWhatIsNestedWithoutEndIsNotRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "compose.yaml")
	text := "services:\n  web:\n    image: nginx\n    x-deep: " + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + "\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := composefile.Load(context.Background(), composefile.Options{Files: []string{file}})
	if err == nil || !strings.Contains(err.Error(), "compose.yaml:4: this is not YAML") || len(err.Error()) > 1000 {
		t.Errorf("got %v", err)
	}
}

func TestAHugeFileIsNotRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "compose.yaml")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 100<<20); err != nil {
		t.Fatal(err)
	}
	_, err := composefile.Load(context.Background(), composefile.Options{Files: []string{file}})
	if err == nil || !strings.Contains(err.Error(), "this has 100 MB") {
		t.Errorf("got %v", err)
	}
}

// Two services may take turns on a port, as long as nobody runs both.
func TestServicesThatTakeTurnsMayShareAPort(t *testing.T) {
	file, err := filepath.Abs("testdata/broken/port-clash.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []composefile.Options{{}, {Together: true, Services: []string{"b"}}} {
		o.Files = []string{file}
		if _, err := composefile.Load(context.Background(), o); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// More keys than the library reads are told apart from what is no YAML.
func TestMoreKeysThanAreReadAreTold(t *testing.T) {
	file := filepath.Join(t.TempDir(), "compose.yaml")
	text := "services:\n  web: {image: nginx}\nx-list: [" + strings.Repeat("1,", 100_000) + "1]\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := composefile.Load(context.Background(), composefile.Options{Files: []string{file}})
	if err == nil || !strings.Contains(err.Error(), "more keys and values than are read") || strings.Contains(err.Error(), "not YAML") {
		t.Errorf("got %v", err)
	}
}

// A secret of a build, too, is a file or a variable; one that is included with
// variables of its own has them.
func TestSecretsComeFromVariables(t *testing.T) {
	t.Setenv("TOKEN", "of-the-environment")
	dir := t.TempDir()
	for name, text := range map[string]string{
		"compose.yaml": "include: [{path: sub/other.yaml, env_file: sub/own.env}]\nservices:\n  web: {build: {context: ., secrets: [token, {source: key, target: k}]}}\n" +
			"secrets: {token: {environment: TOKEN}, key: {file: key}}\n",
		"sub/other.yaml": "services:\n  db: {image: b, secrets: [own]}\nsecrets: {own: {environment: OWN}}\n",
		"sub/own.env":    "OWN=of-its-own-file\n",
		"key":            "of-a-file",
	} {
		if err := os.MkdirAll(filepath.Join(dir, "sub"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	l, err := composefile.Load(context.Background(), composefile.Options{Files: []string{filepath.Join(dir, "compose.yaml")}, Name: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range l.Project.Services {
		switch s.Name {
		case "web":
			if got := string(s.Build.Secrets["token"]) + " " + string(s.Build.Secrets["k"]); got != "of-the-environment of-a-file" {
				t.Errorf("the build gets %s", got)
			}
		case "db":
			if got := string(s.Files[0].Data); got != "of-its-own-file" {
				t.Errorf("the container gets %s", got)
			}
		}
	}
	if err := os.Truncate(filepath.Join(dir, "key"), 2<<20); err != nil {
		t.Fatal(err)
	}
	_, err = composefile.Load(context.Background(), composefile.Options{Files: []string{filepath.Join(dir, "compose.yaml")}, Name: "shop"})
	if err == nil || !strings.Contains(err.Error(), "secret key has more than 1024 KB") {
		t.Errorf("got %v", err)
	}
}
