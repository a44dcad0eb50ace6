package cli_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"lus/internal/cli"
	"lus/test/need"
)

// daemon answers fixed JSON by "METHOD /path" without the version, and 404 with
// a message else.
func daemon(t *testing.T, answers map[string]string) (host string) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "d.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.51")
		w.Header().Set("Ostype", "linux")
		w.Header().Set("Content-Type", "application/json")
		path := r.URL.Path
		if rest, ok := strings.CutPrefix(path, "/v1."); ok {
			_, rest, _ = strings.Cut(rest, "/")
			path = "/" + rest
		}
		if path == "/_ping" {
			return
		}
		body, ok := answers[r.Method+" "+path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			body = `{"message":"nothing at ` + path + `"}`
		}
		if code, rest, has := strings.Cut(body, "|"); has && len(code) == 3 {
			body = rest
			status := map[string]int{"400": 400, "401": 401, "404": 404, "409": 409, "500": 500, "201": 201}[code]
			w.WriteHeader(status)
		}
		_, _ = io.WriteString(w, body)
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close(); <-done })
	return "unix://" + socket
}

// lus runs our command in this process.
func lus(t *testing.T, host string, args ...string) (code int, out, errOut string) {
	t.Helper()
	dir := t.TempDir()
	o, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	e, err := os.Create(filepath.Join(dir, "err"))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	code = cli.Main(append([]string{"lus", "-H", host}, args...), null, o, e)
	outText, _ := os.ReadFile(o.Name())
	errText, _ := os.ReadFile(e.Name())
	return code, string(outText), string(errText)
}

func fixed(t *testing.T) map[string]string {
	t.Helper()
	now := time.Now().Unix()
	ps := []map[string]any{
		{"Id": strings.Repeat("a1", 32), "Names": []string{"/web", "/other/alias"}, "Image": "nginx:1.27", "ImageID": "sha256:" + strings.Repeat("1", 64),
			"Command": "nginx -g 'daemon off;' and much more of it", "Created": now - 300, "State": "running", "Status": "Up 5 minutes (healthy)",
			"Ports": []map[string]any{
				{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}, {"IP": "::", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
				{"PrivatePort": 443, "Type": "tcp"}, {"PrivatePort": 444, "Type": "tcp"}, {"PrivatePort": 446, "Type": "tcp"},
				{"IP": "0.0.0.0", "PrivatePort": 9000, "PublicPort": 9000, "Type": "tcp"}, {"IP": "0.0.0.0", "PrivatePort": 9001, "PublicPort": 9001, "Type": "tcp"},
				{"IP": "127.0.0.1", "PrivatePort": 53, "PublicPort": 5353, "Type": "udp"},
			},
			"Labels": map[string]string{"b": "2", "a": "1"}, "SizeRw": 1234567, "SizeRootFs": 98765432,
			"NetworkSettings": map[string]any{"Networks": map[string]any{"app": map[string]any{}}},
			"Mounts":          []map[string]any{{"Type": "volume", "Name": "a-rather-long-volume-name", "Driver": "local", "Source": "/x"}, {"Type": "bind", "Source": "/srv"}}},
		{"Id": strings.Repeat("b2", 32), "Names": []string{"/db"}, "Image": "sha256:" + strings.Repeat("2", 64), "ImageID": "sha256:" + strings.Repeat("2", 64),
			"Command": "", "Created": now - 90000, "State": "exited", "Status": "Exited (137) 2 hours ago", "Ports": []any{}, "Labels": map[string]string{}, "Mounts": []any{},
			"NetworkSettings": map[string]any{"Networks": map[string]any{}}},
	}
	images := []map[string]any{
		// Of an image in two repositories docker lists them in a random order.
		{"Id": "sha256:" + strings.Repeat("3", 64), "RepoTags": []string{"localhost:5000/app:1.0", "localhost:5000/app:latest"}, "RepoDigests": []string{"localhost:5000/app@sha256:" + strings.Repeat("4", 64)},
			"Created": now - 7200, "Size": 123456789, "Containers": -1, "SharedSize": -1, "ParentId": "", "Labels": nil},
		{"Id": "sha256:" + strings.Repeat("5", 64), "RepoTags": []string{}, "RepoDigests": []string{}, "Created": now - 864000, "Size": 2030000, "Containers": -1, "SharedSize": -1, "ParentId": "", "Labels": nil},
	}
	history := []map[string]any{
		{"Id": "sha256:" + strings.Repeat("3", 64), "Created": now - 7200, "CreatedBy": "RUN /bin/sh -c apt-get update && apt-get install -y something-long # buildkit", "Size": 4200000, "Comment": "buildkit.dockerfile.v0", "Tags": []string{"app:1.0"}},
		{"Id": "<missing>", "Created": now - 864000, "CreatedBy": "", "Size": 0, "Comment": "Imported", "Tags": nil},
	}
	networks := []map[string]any{
		{"Name": "zeta", "Id": strings.Repeat("c3", 32), "Driver": "bridge", "Scope": "local", "Labels": map[string]string{"x": "y"}, "Created": "2026-01-02T03:04:05Z"},
		{"Name": "bridge", "Id": strings.Repeat("d4", 32), "Driver": "bridge", "Scope": "local", "Labels": map[string]string{}, "Created": "2026-01-02T03:04:05Z"},
	}
	volumes := map[string]any{"Volumes": []map[string]any{
		{"Name": "zz", "Driver": "local", "Mountpoint": "/m/zz", "Scope": "local", "Labels": map[string]string{"k": "v"}},
		{"Name": "data", "Driver": "local", "Mountpoint": "/m/data", "Scope": "local"},
	}, "Warnings": nil}
	inspect := map[string]any{"Id": strings.Repeat("a1", 32), "Name": "/web", "State": map[string]any{"Status": "running", "Running": true, "Pid": 1234567, "ExitCode": 0},
		"NetworkSettings": map[string]any{"IPAddress": "172.18.0.2", "Ports": map[string]any{"80/tcp": []map[string]string{{"HostIp": "0.0.0.0", "HostPort": "8080"}}, "53/udp": []map[string]string{{"HostIp": "127.0.0.1", "HostPort": "5353"}}, "443/tcp": nil}},
		"Config":          map[string]any{"Env": []string{"A=<1>&2"}, "Labels": map[string]string{"a.b": "c"}}, "HostConfig": map[string]any{"Memory": 536870912}}
	out := map[string]string{}
	for path, v := range map[string]any{
		"GET /containers/json": ps, "GET /images/json": images, "GET /images/app/history": history, "GET /networks": networks, "GET /volumes": volumes,
		"GET /containers/web/json": inspect,
		"GET /containers/web/top":  map[string]any{"Titles": []string{"UID", "PID", "CMD"}, "Processes": [][]string{{"root", "12", "sleep 300"}, {"nobody", "13", "sh"}}},
	} {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out[path] = string(data)
	}
	return out
}

// TestOutputIsDockers runs the docker command and ours against the same daemon.
func TestOutputIsDockers(t *testing.T) {
	docker := need.Program(t, "docker", "docker-cli")
	host := daemon(t, fixed(t))
	for _, args := range [][]string{
		{"ps"}, {"ps", "-a"}, {"ps", "-q"}, {"ps", "--no-trunc"}, {"ps", "-s"}, {"ps", "-aq", "--no-trunc"}, {"container", "ls"},
		{"ps", "--format", "{{.ID}} {{.Names}} {{.Image}} {{.State}} {{.Labels}} {{.Label \"a\"}} {{.Mounts}} {{.Networks}} {{.LocalVolumes}}"},
		{"ps", "--format", "table {{.Names}}\\t{{.Status}}\\t{{.Label \"a\"}}"},
		{"ps", "--format", "{{json .Names}} {{upper .State}} {{.Command}} {{.Ports}}"},
		{"ps", "--format", "{{.CreatedAt}} {{.RunningFor}}"},
		{"images"}, {"images", "-q"}, {"images", "--digests"}, {"images", "--no-trunc"}, {"image", "ls", "--format", "{{.Repository}}:{{.Tag}} {{.ID}} {{.Size}} {{.CreatedSince}}"},
		{"images", "--format", "table {{.ID}}\\t{{.Repository}}"},
		{"history", "app"}, {"history", "--no-trunc", "app"}, {"history", "-q", "app"},
		{"network", "ls"}, {"network", "ls", "-q"}, {"network", "ls", "--no-trunc"}, {"network", "ls", "--format", "{{.Name}} {{.Labels}}"},
		{"volume", "ls"}, {"volume", "ls", "-q"}, {"volume", "ls", "--format", "{{.Name}} {{.Mountpoint}} {{.Labels}}"},
		{"top", "web"}, {"port", "web"}, {"port", "web", "80"}, {"port", "web", "53/udp"},
		{"inspect", "-f", "{{.State.Pid}} {{.NetworkSettings.IPAddress}} {{.Name}} {{.State.Running}} {{.HostConfig.Memory}}", "web"},
		{"inspect", "-f", "{{range $k, $v := .NetworkSettings.Ports}}{{$k}} {{range $v}}{{.HostPort}}{{end}};{{end}}", "web"},
		{"inspect", "-f", "{{index .Config.Labels \"a.b\"}} {{json .Config.Env}} {{join .Config.Env \",\"}}", "web"},
		{"container", "inspect", "-f", "{{if eq .State.ExitCode 0}}good{{end}}", "web"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			theirs := exec.Command(docker, args...)
			theirs.Env = append(os.Environ(), "DOCKER_HOST="+host, "DOCKER_CONFIG="+t.TempDir())
			want, err := theirs.Output()
			if err != nil {
				t.Fatalf("docker: %v", err)
			}
			code, got, errText := lus(t, host, args...)
			if code != 0 || errText != "" {
				t.Errorf("exit code %d: %s", code, errText)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestJSONOutputHasDockersFields(t *testing.T) {
	docker := need.Program(t, "docker", "docker-cli")
	host := daemon(t, fixed(t))
	for _, args := range [][]string{{"ps", "--format", "json"}, {"images", "--format", "{{json .}}"}, {"network", "ls", "--format", "json"}, {"volume", "ls", "--format", "json"}} {
		theirs := exec.Command(docker, args...)
		theirs.Env = append(os.Environ(), "DOCKER_HOST="+host, "DOCKER_CONFIG="+t.TempDir())
		out, err := theirs.Output()
		if err != nil {
			t.Fatalf("docker: %v", err)
		}
		_, got, _ := lus(t, host, args...)
		wantLines, gotLines := strings.Split(string(out), "\n"), strings.Split(got, "\n")
		if len(wantLines) != len(gotLines) {
			t.Fatalf("%v: %d lines, want %d", args, len(gotLines), len(wantLines))
		}
		var want, have map[string]any
		if err := json.Unmarshal([]byte(wantLines[0]), &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(gotLines[0]), &have); err != nil {
			t.Fatalf("%v: %v in %q", args, err, gotLines[0])
		}
		for k, v := range want {
			if k == "Availability" || k == "Group" || k == "Status" && args[0] == "volume" || k == "Platform" {
				continue // of clusters and other platforms
			}
			if k == "Labels" && v != have[k] && len(v.(string)) == len(have[k].(string)) {
				continue // docker's order of labels differs from call to call
			}
			if have[k] != v {
				t.Errorf("%v: %s is %v, want %v", args, k, have[k], v)
			}
		}
	}
}

func TestExitCodesAndTexts(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	host := daemon(t, map[string]string{
		"POST /containers/create":      `201|{"Id":"id","Warnings":[]}`,
		"POST /containers/gone/stop":   `404|{"message":"No such container: gone"}`,
		"POST /containers/id/start":    `400|{"message":"unable to start container process: exec: \"x\": executable file not found in $PATH"}`,
		"POST /containers/web/restart": `500|{"message":"it broke"}`,
		"POST /containers/web/kill":    `{}`,
		"DELETE /containers/gone":      `404|{"message":"No such container: gone"}`,
	})
	for _, c := range []struct {
		args string
		code int
		out  string
		says []string
	}{
		{"", 0, "Usage:", nil},
		{"--help", 0, "Management commands:", nil},
		{"help run", 0, "--publish", nil},
		{"run --help", 0, "Example:\n  lus run", nil},
		{"container", 0, "Commands:", nil},
		{"container --help", 0, "Commands:", nil},
		{"--version", 0, "Lus version", nil},
		{"nonsense", 1, "", []string{"unknown command: lus nonsense", "See 'lus --help'."}},
		{"rnu x", 1, "", []string{"unknown command: lus rnu", "Did you mean 'lus run'?", "See 'lus --help'."}},
		{"image pul x", 1, "", []string{"unknown command: lus image pul", "Did you mean 'lus image pull'?"}},
		{"run --memroy 5m x", 125, "", []string{"unknown flag: --memroy", "Did you mean --memory?", "See 'lus run --help'."}},
		{"container nonsense", 1, "", []string{"unknown command: lus container nonsense"}},
		{"--nonsense ps", 125, "", []string{"unknown flag: --nonsense"}},
		{"-D ps", 125, "", []string{"--debug is not supported: "}},
		{"--context other ps", 125, "", []string{"--context is not supported: name the daemon"}},
		{"-c default -l info --tls=false rm -f gone", 0, "", []string{"No such container: gone"}}, // they ask for nothing
		{"ps --nonsense", 125, "", []string{"unknown flag: --nonsense", "See 'lus ps --help'."}},
		{"run --nonsense x", 125, "", []string{"unknown flag: --nonsense", "See 'lus run --help'."}},
		{"run", 1, "", []string{"'lus run' requires at least 1 argument", "Usage:  lus run [OPTIONS] IMAGE"}},
		{"rename a", 1, "", []string{"'lus rename' requires 2 arguments"}},
		{"ps extra", 1, "", []string{"accepts no arguments"}},
		{"run -d busybox x", 127, "id\n", []string{"lus: Error response from daemon: unable to start", "executable file not found"}},
		{"run -p 99999:80 busybox", 125, "", []string{"invalid port specification", "99999"}},
		{"run -v ../up:relative busybox", 125, "", []string{"../up", "absolute"}},
		{"run --rm --restart always busybox", 125, "", []string{"--restart", "--rm"}},
		{"run --pull sometimes busybox", 125, "", []string{"sometimes"}},
		{"run -t -i busybox", 1, "", []string{"not a TTY"}},
		{"run --memory lots busybox", 125, "", []string{"lots", "--memory"}},
		{"run --detach-keys ctrl-nope busybox", 125, "", []string{"detach keys"}},
		{"create busybox", 0, "id\n", nil},
		{"stop gone", 1, "", []string{"Error response from daemon: No such container: gone"}},
		{"restart web", 1, "", []string{"it broke"}},
		{"rm gone", 1, "", []string{"No such container: gone"}},
		{"rm -f gone", 0, "", []string{"No such container: gone"}},
		{"kill web gone", 1, "web\n", []string{"nothing at /containers/gone/kill"}},
		{"inspect nothing", 1, "[]\n", []string{"No such object: nothing"}},
		{"logs --since yesterday web", 1, "", []string{"yesterday"}},
		{"ps --filter status", 125, "", []string{"expected name=value"}},
	} {
		t.Run(c.args, func(t *testing.T) {
			code, out, errText := lus(t, host, strings.Fields(c.args)...)
			if code != c.code {
				t.Errorf("exit code %d, want %d; it says %q", code, c.code, errText)
			}
			if !strings.Contains(out, c.out) || c.out == "" && out != "" {
				t.Errorf("it prints %q, want %q", out, c.out)
			}
			for _, s := range c.says {
				if !strings.Contains(errText, s) {
					t.Errorf("%q is not in %q", s, errText)
				}
			}
		})
	}
}

// A daemon that is elsewhere says which process it is there.
func TestAProcessThatIsNoDaemonIsNotStopped(t *testing.T) {
	other := exec.Command("sleep", "1000")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- other.Wait() }()
	t.Cleanup(func() { _ = other.Process.Kill() })
	host := daemon(t, map[string]string{"GET /lus/v1/info": `{"Pid":` + strconv.Itoa(other.Process.Pid) + `}`, "GET /containers/json": "[]"})
	code, _, errText := lus(t, host, "system", "stop", "-t", "5s")
	if code != 1 || !strings.Contains(errText, "is not a process of this host") {
		t.Errorf("exit code %d: %s", code, errText)
	}
	select {
	case err := <-ended:
		t.Errorf("it was ended: %v", err)
	default:
	}
}

func TestNoDaemon(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	host := "unix://" + filepath.Join(t.TempDir(), "nobody.sock")
	for args, want := range map[string]int{"ps": 1, "run busybox": 125, "exec x true": 1, "system stop": 0} {
		code, _, errText := lus(t, host, strings.Fields(args)...)
		if code != want || !strings.Contains(errText, host) {
			t.Errorf("%s: exit code %d, want %d: %s", args, code, want, errText)
		}
	}
	// This program's version is known without one.
	if code, out, errText := lus(t, host, "version", "-f", "of {{.Client.Os}}"); code != 1 || out != "of linux\n" || !strings.Contains(errText, host) {
		t.Errorf("version -f: %d %q %q", code, out, errText)
	}
	if code, _, errText := lus(t, "http://nonsense", "ps"); code == 0 || !strings.Contains(errText, "unix://") {
		t.Errorf("a host of another kind: %d %s", code, errText)
	}
}
