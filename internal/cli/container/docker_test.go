package container

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/pflag"

	"lus/internal/cli/command"
	"lus/internal/client"
	"lus/internal/model/container"
	"lus/test/need"
)

// recorder is a daemon that only remembers what it is asked to create.
type recorder struct {
	host string
	mu   sync.Mutex
	body map[string]any
	name string
}

func record(t *testing.T) *recorder {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "d.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{host: "unix://" + socket}
	mux := http.NewServeMux()
	mux.HandleFunc("/_ping", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Api-Version", "1.51")
		w.Header().Set("Ostype", "linux")
	})
	mux.HandleFunc("POST /{version}/containers/create", func(w http.ResponseWriter, q *http.Request) {
		data, _ := io.ReadAll(q.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.body, r.name = nil, q.FormValue("name")
		if err := json.Unmarshal(data, &r.body); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"Id":"0123456789abcdef","Warnings":[]}`)
	})
	s := &http.Server{Handler: mux}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close(); <-done })
	return r
}

// take returns what was asked since the last time, without what means nothing:
// null, empty lists, empty texts, zeros and no.
func (r *recorder) take(t *testing.T) (string, container.CreateRequest) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.body == nil {
		t.Fatal("nothing was created")
	}
	bare, _ := meaning(r.body).(map[string]any)
	data, err := json.Marshal(bare)
	if err != nil {
		t.Fatal(err)
	}
	var req container.CreateRequest
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&req); err != nil {
		t.Errorf("a field that the model does not have: %v", err)
	}
	name := r.name
	r.body = nil
	return name, req
}

func meaning(v any) any {
	switch x := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range x {
			if m := meaning(e); m != nil {
				out[k] = m
			}
		}
		if len(out) == 0 {
			return nil
		}
		return out
	case []any:
		for i := range x {
			if inner, ok := x[i].(map[string]any); ok {
				x[i] = meaning(inner)
			}
		}
		if len(x) == 0 {
			return nil
		}
		return x
	case string:
		if x == "" {
			return nil
		}
	case float64:
		if x == 0 {
			return nil
		}
	case bool:
		if !x {
			return nil
		}
	case nil:
		return nil
	}
	return v
}

// TestCreateAsksForWhatDockerAsksFor gives the same flags to the docker command
// and to ours, and compares the requests.
func TestCreateAsksForWhatDockerAsksFor(t *testing.T) {
	docker := need.Program(t, "docker", "docker-cli")
	dir := t.TempDir()
	env := filepath.Join(dir, "env")
	write(t, env, "# comment\nA=1\n\n  B=x y\nC=\nHOME\nNOT_SET_ANYWHERE\n")
	labelFile := filepath.Join(dir, "labels")
	write(t, labelFile, "l1=v1\nl2\n")
	profile := filepath.Join(dir, "seccomp.json")
	write(t, profile, `{"defaultAction":"SCMP_ACT_ALLOW"}`)
	t.Setenv("FROM_USER", "yes")

	r := record(t)
	for _, line := range []string{
		"busybox",
		"busybox sh -c exit",
		"-it --name web busybox sh",
		"-i busybox cat",
		"-t busybox top",
		"-a stdout -a stderr busybox",
		"-a stdin busybox",
		"--rm busybox",
		"-e A=1 -e FROM_USER -e NOT_SET_ANYWHERE -e EMPTY= busybox",
		"--env-file " + env + " -e A=2 busybox env",
		"-l a=b --label c --label-file " + labelFile + " busybox",
		"--entrypoint /bin/x busybox a b",
		"--entrypoint= busybox",
		"-w /work -u 1000:1001 -h box --domainname example.com busybox",
		"-p 8080:80 -p 127.0.0.1:53:53/udp -p 90 -p 7000-7002:8000-8002 -p 9000-9005:9000 busybox",
		"-p [::1]:8080:80 -p 127.0.0.1::81 busybox",
		"-P --expose 80 --expose 90-92/udp busybox",
		"-v /a:/b -v name:/c:ro -v /anonymous -v ./rel:/d busybox",
		"--mount type=bind,src=/a,dst=/b,readonly --mount source=v,target=/c,volume-nocopy,volume-label=x=y busybox",
		"--mount type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770 --mount type=volume,dst=/anon busybox",
		"--mount type=bind,src=/a,dst=/b,bind-propagation=rslave busybox",
		"--mount type=volume,src=v,dst=/d,volume-driver=local,volume-opt=type=nfs,volume-opt=o=addr=1.2.3.4 busybox",
		"--mount type=volume,src=v,dst=/d,volume-subpath=sub busybox",
		"--mount type=bind,src=/a,dst=/b,bind-recursive=disabled busybox",
		"--tmpfs /run --tmpfs /tmp:rw,size=64m,mode=1777 busybox",
		"--volumes-from other --volumes-from more:ro busybox",
		"--network host busybox", "--network none busybox", "--network bridge busybox", "--net app busybox",
		"--network app --network-alias one --network-alias two --ip 10.1.2.3 busybox",
		"--network name=app,alias=a,alias=b,ip=10.1.2.3 --network other busybox",
		"--network container:other busybox",
		"--network app --ip6 2001:db8::5 --link-local-ip 169.254.1.2 busybox",
		"--network name=app,driver-opt=k=v,mac-address=92:d0:c6:0a:29:33,gw-priority=3 busybox",
		"--restart always busybox", "--restart on-failure:3 busybox", "--restart unless-stopped busybox", "--restart no busybox",
		"-m 512m --memory-swap 1g --memory-reservation 256m --cpus 1.5 --cpu-shares 512 --cpuset-cpus 0-1 --cpuset-mems 0 --pids-limit 100 busybox",
		"--memory-swap -1 -m 1g --pids-limit -1 --memory-swappiness 10 --oom-kill-disable busybox",
		"--cpu-period 100000 --cpu-quota 50000 --cgroup-parent /x busybox",
		"--read-only --privileged --cap-add NET_ADMIN --cap-add sys_time --cap-add CHOWN --cap-add CHOWN --cap-drop ALL busybox",
		"--cap-add ALL --cap-add CHOWN --cap-drop NET_RAW busybox", "--cap-add CHOWN --cap-drop cap_chown --cap-drop KILL busybox",
		"--init --stop-signal SIGINT --stop-timeout 3 busybox",
		"--init=false busybox",
		"--health-cmd true --health-interval 5s --health-timeout 1s --health-retries 4 --health-start-period 1m --health-start-interval 2s busybox",
		"--no-healthcheck busybox",
		"--ulimit nofile=1024:2048 --ulimit nproc=10 busybox",
		"--dns 1.1.1.1 --dns 8.8.8.8 --dns-search example.com --dns-option ndots:2 --add-host a:1.2.3.4 --add-host b=host-gateway --add-host c:[::1] busybox",
		"--dns-opt ndots:2 --dns-opt timeout:1 busybox",
		"--security-opt no-new-privileges --security-opt seccomp=unconfined --security-opt label=disable busybox",
		"--security-opt seccomp=" + profile + " busybox",
		"--security-opt systempaths=unconfined busybox",
		"--log-driver json-file --log-opt max-size=1m --log-opt max-file=2 busybox",
		"--shm-size 128m --sysctl net.ipv4.ip_forward=1 --group-add 10 --group-add audio busybox",
		"--pid host --ipc host --uts host --userns host --cgroupns host --oom-score-adj 500 busybox",
		"--device /dev/fuse --device /dev/null:/dev/x:r --device /dev/zero:rw --device-cgroup-rule c\\x2013:*\\x20rwm busybox",
		"--platform linux/amd64 --pull never busybox",
		"--annotation a=b --runtime x --storage-opt size=1G --volume-driver local busybox",
		"--blkio-weight 300 --blkio-weight-device /dev/vda:200 --device-read-bps /dev/vda:1mb --device-write-bps /dev/vda:2m --device-read-iops /dev/vda:10 --device-write-iops /dev/vda:20 busybox",
		"-itd busybox", // create has no -d: both must refuse
	} {
		t.Run(line, func(t *testing.T) {
			args := strings.Fields(line)
			for i := range args {
				args[i] = strings.ReplaceAll(args[i], `\x20`, " ")
			}
			ours := create(t, r, dir, args)
			theirs := exec.Command(docker, append([]string{"create"}, args...)...)
			theirs.Env = append(os.Environ(), "DOCKER_HOST="+r.host, "DOCKER_CONFIG="+dir)
			out, err := theirs.CombinedOutput()
			if err != nil {
				if ours == nil {
					t.Errorf("docker refuses (%s), we do not", out)
				}
				return
			}
			wantName, want := r.take(t)
			if ours != nil {
				t.Fatalf("docker takes it, we refuse: %v", ours)
			}
			_ = create(t, r, dir, args)
			gotName, got := r.take(t)
			if gotName != wantName {
				t.Errorf("name %q, want %q", gotName, wantName)
			}
			compare(t, normal(got), normal(want))
		})
	}
}

// create runs our create in this process.
func create(t *testing.T, r *recorder, dir string, args []string) error {
	t.Helper()
	c, err := client.New(client.Options{Host: r.host})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	out, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	e := &command.Env{In: os.Stdin, Out: out, Err: out, Program: "lus", Client: c}
	return command.Run(context.Background(), e, "lus create", createCommand(), args)
}

// normal orders what has no order.
func normal(r container.CreateRequest) container.CreateRequest {
	slices.Sort(r.Env) // docker's order of both differs from call to call
	if r.HostConfig != nil {
		slices.Sort(r.HostConfig.Binds)
		slices.SortFunc(r.HostConfig.Ulimits, func(a, b container.Ulimit) int { return strings.Compare(a.Name, b.Name) })
		if r.HostConfig.MemorySwappiness != nil && *r.HostConfig.MemorySwappiness == -1 {
			r.HostConfig.MemorySwappiness = nil // docker's word for none
		}
	}
	return r
}

func compare(t *testing.T, got, want container.CreateRequest) {
	t.Helper()
	if reflect.DeepEqual(got, want) {
		return
	}
	g, _ := json.MarshalIndent(got, "", " ")
	w, _ := json.MarshalIndent(want, "", " ")
	gl, wl := strings.Split(string(g), "\n"), strings.Split(string(w), "\n")
	for _, l := range gl {
		if !slices.Contains(wl, l) {
			t.Errorf("ours only:   %s", l)
		}
	}
	for _, l := range wl {
		if !slices.Contains(gl, l) {
			t.Errorf("docker only: %s", l)
		}
	}
	if !t.Failed() {
		t.Errorf("they differ in order:\n%s\n%s", g, w)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Each flag of docker's run is here: honoured, or refused with a reason.
func TestEveryFlagOfDockersRunIsKnown(t *testing.T) {
	docker := need.Program(t, "docker", "docker-cli")
	out, err := exec.Command(docker, "run", "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	f := pflag.NewFlagSet("run", pflag.ContinueOnError)
	runCommand().Flags(&command.Env{}, f)
	n := 0
	for line := range strings.Lines(string(out)) {
		_, rest, ok := strings.Cut(line, "--")
		if !ok || !strings.HasPrefix(strings.TrimSpace(line), "-") {
			continue
		}
		name, _, _ := strings.Cut(rest, " ")
		name = strings.TrimSpace(name)
		n++
		if f.Lookup(name) == nil && name != "help" {
			t.Errorf("run has no --%s", name)
		}
	}
	if n < 90 {
		t.Errorf("only %d flags were read of docker's help", n)
	}
	for name, why := range refusals() {
		value := map[string]string{"isolation": "hyperv"}[name]
		if value == "" {
			value = "1"
		}
		if err := f.Set(name, value); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("--%s: %v", name, err)
		}
	}
}
