package engine

import (
	"testing"
	"time"

	"lus/internal/model/container"
	"lus/internal/model/image"
)

func TestBackoff(t *testing.T) {
	var last time.Duration
	for i, want := range []time.Duration{100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000} {
		if last = backoff(last, time.Second); last != want*time.Millisecond {
			t.Fatalf("restart %d after %v, want %vms", i, last, int(want))
		}
	}
	if got := backoff(last, 10*time.Second); got != firstDelay {
		t.Errorf("after a good run: %v", got)
	}
}

func TestDue(t *testing.T) {
	rec := func(policy string, max, count, code int, byHand bool) *container.Container {
		return &container.Container{
			HostConfig:   &container.HostConfig{RestartPolicy: container.RestartPolicy{Name: policy, MaximumRetryCount: max}},
			State:        container.State{ExitCode: code},
			RestartCount: count, ManuallyStopped: byHand,
		}
	}
	for _, c := range []struct {
		rec  *container.Container
		want bool
	}{
		{rec("no", 0, 0, 1, false), false},
		{rec("", 0, 0, 1, false), false},
		{rec("always", 0, 0, 0, false), true},
		{rec("always", 0, 0, 0, true), true}, // a daemon that starts, starts it again
		{rec("unless-stopped", 0, 0, 0, false), true},
		{rec("unless-stopped", 0, 0, 0, true), false},
		{rec("on-failure", 0, 100, 1, false), true},
		{rec("on-failure", 0, 0, 0, false), false},
		{rec("on-failure", 3, 2, 1, false), true},
		{rec("on-failure", 3, 3, 1, false), false},
	} {
		if got := due(c.rec); got != c.want {
			t.Errorf("%+v count %d code %d by hand %v: %v", c.rec.HostConfig.RestartPolicy, c.rec.RestartCount, c.rec.State.ExitCode, c.rec.ManuallyStopped, got)
		}
	}
}

func TestVerdict(t *testing.T) {
	at := time.Now()
	rec := &container.Container{
		Config: &container.Config{Healthcheck: &container.Healthcheck{StartPeriod: time.Minute, Retries: 2}},
		State:  container.State{StartedAt: at, Health: &container.Health{Status: container.Starting}},
	}
	step := func(code int, after time.Duration, want string, streak int) {
		t.Helper()
		rec.State.Health = verdict(rec, container.HealthResult{Start: at.Add(after), ExitCode: code})
		if h := rec.State.Health; h.Status != want || h.FailingStreak != streak {
			t.Fatalf("%s, streak %d; want %s, %d", h.Status, h.FailingStreak, want, streak)
		}
	}
	step(1, 10*time.Second, container.Starting, 0) // does not count yet
	step(1, 20*time.Second, container.Starting, 0)
	step(1, 2*time.Minute, container.Starting, 1)
	step(1, 3*time.Minute, container.Unhealthy, 2)
	step(0, 4*time.Minute, container.Healthy, 0)
	step(1, 5*time.Minute, container.Healthy, 1)
	step(0, 6*time.Minute, container.Healthy, 0)
	if n := len(rec.State.Health.Log); n != healthLog {
		t.Errorf("%d results kept", n)
	}
}

func TestQueryMatch(t *testing.T) {
	c := &container.Container{
		ID: "abcdef", Name: "shop-web-1", Image: "sha256:1",
		Config:     &container.Config{Image: "nginx", Labels: map[string]string{"tier": "front"}, ExposedPorts: map[string]struct{}{"80/tcp": {}, "53/udp": {}}},
		HostConfig: &container.HostConfig{PortBindings: container.PortMap{"80/tcp": {{HostPort: "8080"}}}},
		State:      container.State{Status: container.Exited, ExitCode: 3},
		Mounts:     []container.MountPoint{{Name: "store", Destination: "/data"}},
		Networks:   map[string]*container.Endpoint{"app": {NetworkID: "n1"}},
		Ports:      container.PortMap{"80/tcp": {{HostIP: "0.0.0.0", HostPort: "8080"}}},
	}
	for _, x := range []struct {
		key, value string
		want       bool
	}{
		{"id", "abc", true}, {"id", "bcd", false},
		{"name", "web", true}, {"name", "^shop", true}, {"name", "^web", false}, {"name", "/shop-web-1", true}, {"name", "^/shop-web-1$", true}, {"name", "^/shop-web$", false},
		{"status", "exited", true}, {"status", "running", false},
		{"label", "tier", true}, {"label", "tier=back", false},
		{"volume", "store", true}, {"volume", "/data", true}, {"volume", "other", false},
		{"publish", "80", true}, {"publish", "53/udp", false}, {"publish", "70-90/tcp", true},
		{"publish", "8080", true}, {"publish", "8000-8100", true}, {"publish", "8080/udp", false}, {"publish", "8081", false},
		{"expose", "53/udp", true}, {"expose", "53", false},
		{"health", "none", true}, {"health", "healthy", false},
		{"ancestor", "nginx", true}, {"ancestor", "redis", false},
	} {
		q := &query{f: map[string][]string{x.key: {x.value}}}
		if got := q.match(c); got != x.want {
			t.Errorf("%s=%s: %v", x.key, x.value, got)
		}
	}
	q := &query{f: map[string][]string{"exited": {"3"}}, exited: []int{3}}
	if !q.match(c) {
		t.Error("exited=3")
	}
	q = &query{f: map[string][]string{"network": {"app"}}, networks: map[string]bool{"n1": true}}
	if !q.match(c) {
		t.Error("network=app")
	}
}

func TestDescends(t *testing.T) {
	step := func(by string) image.History { return image.History{CreatedBy: by} }
	none := func(by string) image.History { return image.History{CreatedBy: by, EmptyLayer: true} }
	base := &image.Image{Layers: []string{"a"}, History: []image.History{step("import")}}
	label := &image.Image{Layers: []string{"a"}, History: []image.History{step("import"), none("LABEL x")}}
	run := &image.Image{Layers: []string{"a", "b"}, History: []image.History{step("import"), none("LABEL x"), step("RUN y")}}
	other := &image.Image{Layers: []string{"a"}, History: []image.History{step("import"), none("LABEL z"), none("LABEL zz")}}
	flat := &image.Image{Layers: []string{"c"}, History: []image.History{step("import"), none("LABEL x")}}
	scratch := &image.Image{}
	for _, x := range []struct {
		what      string
		img, base *image.Image
		want      bool
	}{
		{"a label on top", label, base, true}, {"a layer on top", run, base, true}, {"two generations", run, label, true},
		{"itself", base, base, false}, {"its own base", base, label, false}, {"a sibling", other, label, false},
		{"other layers with the same steps", flat, base, false}, {"nothing", base, scratch, false},
	} {
		if got := descends(x.img, x.base); got != x.want {
			t.Errorf("%s: %v", x.what, got)
		}
	}
}

func TestParsePS(t *testing.T) {
	out := "UID PID PPID CMD\nroot 1 0 /sbin/init splash\nroot 42 1 sleep 1000 and  more\nroot 420 1 other\n"
	got, err := parsePS(out, []int{42})
	if err != nil || len(got.Processes) != 1 || got.Processes[0][3] != "sleep 1000 and more" {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := parsePS("UID CMD\nroot x\n", nil); err == nil {
		t.Error("no PID column, and no error")
	}
}

func TestHostCPU(t *testing.T) {
	usage, online, err := parseHostCPU("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 1 1 1 1 1 1 1 0 0\ncpu1 0 0 0 0 0 0 0 0 0 0\nintr 5\n")
	if usage != 28*10_000_000 || online != 2 || err != nil {
		t.Errorf("got %d %d %v", usage, online, err)
	}
	if _, _, err := parseHostCPU("cpu 1 2\n"); err == nil {
		t.Error("a short line is taken")
	}
}

func TestInterfaces(t *testing.T) {
	got := parseInterfaces(`Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     9       9    0    0    0     0          0         0        9       9    0    0    0     0       0          0
  eth0:    10      20   30   40   50    60         70        80       11      21   31   41   51    61      71         81
`)
	want := container.NetworkStats{RxBytes: 10, RxPackets: 20, RxErrors: 30, RxDropped: 40, TxBytes: 11, TxPackets: 21, TxErrors: 31, TxDropped: 41}
	if len(got) != 1 || got["eth0"] != want {
		t.Errorf("got %+v", got)
	}
}
