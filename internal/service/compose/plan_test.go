package compose

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"lus/internal/model/compose"
	"lus/internal/model/container"
	"lus/internal/model/network"
	"lus/internal/model/volume"
)

func svc(name string, deps ...compose.Dependency) compose.Service {
	return compose.Service{
		Name: name, Image: "img", Scale: 1, Hash: "h-" + name, DependsOn: deps,
		Create: container.CreateRequest{HostConfig: &container.HostConfig{}, Config: container.Config{Labels: map[string]string{}}},
	}
}

// hooked is a service of several containers with hooks, each for every container
// or for all of them.
func hooked(s compose.Service, scale int, perReplica ...bool) compose.Service {
	s.Scale = scale
	for _, each := range perReplica {
		s.PreStart = append(s.PreStart, compose.PreStart{Image: "img", PerReplica: each, Create: container.CreateRequest{HostConfig: &container.HostConfig{}}})
	}
	return s
}

func on(service, condition string) compose.Dependency {
	return compose.Dependency{Service: service, Condition: condition, Required: true}
}

func running(service string, n int, hash string) *container.Container {
	return &container.Container{
		ID: fmt.Sprintf("id-%s-%d", service, n), Name: fmt.Sprintf("p-%s-%d", service, n), Image: "sha256:1",
		State: container.State{Status: container.Running},
		Config: &container.Config{Labels: map[string]string{
			compose.LabelService: service, compose.LabelNumber: fmt.Sprint(n), compose.LabelConfigHash: hash, compose.LabelProject: "p",
		}},
	}
}

// cutShort is a container whose replacement of another ended after its creation.
func cutShort(c *container.Container) *container.Container {
	c.ID, c.Name, c.State.Status = "new", "abc_"+c.Name, container.Created
	return c
}

// forgotten is a history that knows nothing.
func forgotten(string, string) *compose.Service { return nil }

// show writes a plan as a person would: each step, and what it comes after.
func show(p *plan) string {
	var b strings.Builder
	for _, s := range p.steps {
		fmt.Fprintf(&b, "%s %s", s.action, s.name)
		if s.condition != "" {
			fmt.Fprintf(&b, " (%s)", s.condition)
		}
		var after []string
		for _, a := range s.after {
			after = append(after, string(a.action)+" "+a.name)
		}
		if len(after) > 0 {
			slices.Sort(after)
			b.WriteString(" after " + strings.Join(slices.Compact(after), ", "))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestPlans(t *testing.T) {
	netA := compose.Network{Key: "default", Network: network.Network{Name: "p_default"}}
	volA := compose.Volume{Key: "data", Volume: volume.CreateRequest{Name: "p_data"}}
	stopped := running("web", 1, "h-web")
	stopped.State.Status = container.Exited
	scaled := svc("web")
	scaled.Scale = 2
	held := svc("web", on("db", compose.ServiceHealthy))
	held.Hold = true
	restarts := svc("web", compose.Dependency{Service: "db", Condition: compose.ServiceStarted, Restart: true, Required: true})
	for _, c := range []struct {
		name     string
		services []compose.Service
		project  compose.Project
		have     []*container.Container
		req      compose.UpRequest
		want     string
	}{
		{
			name:     "from nothing: networks and volumes first, starts by their conditions",
			services: []compose.Service{svc("db"), svc("job"), svc("web", on("db", compose.ServiceHealthy), on("job", compose.ServiceCompleted))},
			project:  compose.Project{Networks: []compose.Network{netA}, Volumes: []compose.Volume{volA}},
			want: `create network p_default
create volume p_data
create p-db-1 after create network p_default, create volume p_data
start p-db-1 after create p-db-1
create p-job-1 after create network p_default, create volume p_data
start p-job-1 after create p-job-1
create p-web-1 after create network p_default, create volume p_data
wait p-db-1 (service_healthy) after start p-db-1
wait p-job-1 (service_completed_successfully) after start p-job-1
start p-web-1 after create p-web-1, wait p-db-1, wait p-job-1
`,
		},
		{
			name:     "nothing changed: nothing is done",
			services: []compose.Service{svc("web")}, have: []*container.Container{running("web", 1, "h-web")},
			want: "keep p-web-1\n",
		},
		{
			name:     "a changed service alone is replaced",
			services: []compose.Service{svc("db"), svc("web", on("db", compose.ServiceStarted))},
			have:     []*container.Container{running("db", 1, "h-db"), running("web", 1, "old")},
			want: `keep p-db-1
create p-web-1
stop p-web-1 after create p-web-1
remove p-web-1 after stop p-web-1
rename p-web-1 after remove p-web-1
start p-web-1 after keep p-db-1, rename p-web-1
`,
		},
		{
			name:     "one that is held is made and waits, and others start it",
			services: []compose.Service{svc("db"), held},
			want: `create p-db-1
start p-db-1 after create p-db-1
create p-web-1
wait p-db-1 (service_healthy) after start p-db-1
`,
		},
		{
			name:     "hooks come before the first start, after what the service waits for",
			services: []compose.Service{svc("db"), hooked(svc("web", on("db", compose.ServiceHealthy)), 2, false, true)},
			want: `create p-db-1
start p-db-1 after create p-db-1
create p-web-1
wait p-db-1 (service_healthy) after start p-db-1
run p-web-pre_start-0 after create p-web-1, wait p-db-1
run p-web-pre_start-1-1 after run p-web-pre_start-0
start p-web-1 after run p-web-pre_start-1-1
create p-web-2
run p-web-pre_start-1-2 after create p-web-2, run p-web-pre_start-1-1, wait p-db-1
start p-web-2 after run p-web-pre_start-1-2
`,
		},
		{
			name:     "a service that goes on runs no hooks, however many join it",
			services: []compose.Service{hooked(svc("web"), 2, false)}, have: []*container.Container{running("web", 1, "h-web")},
			want: "keep p-web-1\ncreate p-web-2\nstart p-web-2 after create p-web-2\n",
		},
		{
			name:     "one that is replaced runs them again",
			services: []compose.Service{hooked(svc("web"), 1, false)}, have: []*container.Container{running("web", 1, "old")},
			want: `create p-web-1
stop p-web-1 after create p-web-1
remove p-web-1 after stop p-web-1
rename p-web-1 after remove p-web-1
run p-web-pre_start-0 after rename p-web-1
start p-web-1 after run p-web-pre_start-0
`,
		},
		{
			name:     "several that are replaced a few at a time run those of the service once before",
			services: []compose.Service{hooked(svc("web"), 2, false, true)},
			have:     []*container.Container{running("web", 1, "old"), running("web", 2, "old")},
			want: `run p-web-pre_start-0
update web after run p-web-pre_start-0
updated p-web-1 after update web
updated p-web-2 after update web
`,
		},
		{
			name:     "a stopped one is started",
			services: []compose.Service{svc("web")}, have: []*container.Container{stopped},
			want: "start p-web-1\n",
		},
		{
			name:     "scaled up, then down",
			services: []compose.Service{scaled}, have: []*container.Container{running("web", 1, "h-web"), running("web", 2, "h-web"), running("web", 3, "h-web")},
			want: `keep p-web-1
keep p-web-2
stop p-web-3
remove p-web-3 after stop p-web-3
`,
		},
		{
			name:     "restart: true follows the replacement of its dependency",
			services: []compose.Service{svc("db"), restarts},
			have:     []*container.Container{running("db", 1, "old"), running("web", 1, "h-web")},
			want: `create p-db-1
stop p-db-1 after create p-db-1
remove p-db-1 after stop p-db-1
rename p-db-1 after remove p-db-1
start p-db-1 after rename p-db-1
stop p-web-1
start p-web-1 after start p-db-1, stop p-web-1
`,
		},
		{
			name:     "a replacement that was cut short goes on: the new one is kept and takes the name",
			services: []compose.Service{svc("web")},
			have:     []*container.Container{running("web", 1, "old"), cutShort(running("web", 1, "h-web"))},
			want: `stop p-web-1
remove p-web-1 after stop p-web-1
rename p-web-1 after remove p-web-1
start p-web-1 after rename p-web-1
`,
		},
		{
			name:     "one cut short whose file changed again: both go",
			services: []compose.Service{svc("web")},
			have:     []*container.Container{running("web", 1, "older"), cutShort(running("web", 1, "old"))},
			want: `remove abc_p-web-1
create p-web-1 after remove abc_p-web-1
stop p-web-1 after create p-web-1
remove p-web-1 after stop p-web-1
rename p-web-1 after remove p-web-1
start p-web-1 after rename p-web-1
`,
		},
		{
			name:     "orphans go only when asked",
			services: []compose.Service{svc("web")}, have: []*container.Container{running("web", 1, "h-web"), running("old", 1, "x")},
			req: compose.UpRequest{RemoveOrphans: true},
			want: `stop p-old-1
remove p-old-1 after stop p-old-1
keep p-web-1
`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := &observed{containers: map[string][]*container.Container{}}
			for _, h := range c.have {
				s := h.Config.Labels[compose.LabelService]
				now.containers[s] = append(now.containers[s], h)
			}
			c.project.Name, c.project.Services = "p", c.services
			c.req.Project = &c.project
			p, err := planUp(&c.req, c.services, map[string]string{"img": "sha256:1"}, now, forgotten)
			if err != nil {
				t.Fatal(err)
			}
			if got := show(p); got != c.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, c.want)
			}
		})
	}
}

func TestOrphansAreTold(t *testing.T) {
	req := &compose.UpRequest{Project: &compose.Project{Name: "p"}}
	p, err := planUp(req, nil, nil, &observed{containers: map[string][]*container.Container{"old": {running("old", 1, "x")}}}, forgotten)
	if err != nil || len(p.steps) != 0 || len(p.warnings) != 1 || !strings.Contains(p.warnings[0], "p-old-1") {
		t.Errorf("steps %s, warnings %q, %v", show(p), p.warnings, err)
	}
}

func TestDownStopsDependentsFirstAndKeepsVolumes(t *testing.T) {
	db, web := running("db", 1, "x"), running("web", 1, "x")
	web.Config.Labels[compose.LabelDependsOn] = "db:service_healthy:false"
	mine := map[string]string{compose.LabelProject: "p", compose.LabelVolume: "data", compose.LabelNetwork: "default"}
	now := &observed{
		containers: map[string][]*container.Container{"db": {db}, "web": {web}},
		networks:   map[string]*network.Network{"p_default": {Name: "p_default", Labels: mine}, "bridge": {Name: "bridge"}},
		volumes:    map[string]*volume.Volume{"p_data": {Name: "p_data", Labels: mine}, "other": {Name: "other"}},
	}
	p := planDown(&compose.DownRequest{Name: "p"}, now)
	want := `stop p-web-1
remove p-web-1 after stop p-web-1
stop p-db-1 after stop p-web-1
remove p-db-1 after stop p-db-1
remove network p_default after remove p-db-1, remove p-web-1
`
	if got := show(p); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if !slices.Equal(p.kept, []string{"p_data"}) {
		t.Errorf("kept %v", p.kept)
	}
	p = planDown(&compose.DownRequest{Name: "p", Volumes: true}, now)
	if !strings.HasSuffix(show(p), "remove volume p_data after remove p-db-1, remove p-web-1\n") {
		t.Errorf("-v leaves the volume:\n%s", show(p))
	}
	p = planDown(&compose.DownRequest{Name: "p", Volumes: true, Project: &compose.Project{Volumes: []compose.Volume{{External: true, Volume: volume.CreateRequest{Name: "p_data"}}}}}, now)
	if strings.Contains(show(p), "p_data") {
		t.Errorf("an external volume is removed:\n%s", show(p))
	}
}

func TestSelectedRefusesWhatNoFileReaderChecked(t *testing.T) {
	for _, c := range []struct {
		services []compose.Service
		names    []string
		want     string
	}{
		{[]compose.Service{svc("a", on("b", "")), svc("b", on("a", ""))}, nil, "cycle"},
		{[]compose.Service{svc("a", on("b", ""))}, nil, "undefined service"},
		{[]compose.Service{svc("a")}, []string{"zz"}, "no such service: zz"},
	} {
		_, err := selected(&compose.Project{Services: c.services}, c.names)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
	got, err := selected(&compose.Project{Services: []compose.Service{svc("web", on("db", "")), svc("db"), svc("x")}}, []string{"web"})
	if err != nil || len(got) != 2 || got[0].Name != "db" {
		t.Errorf("dependencies do not come along, first: %v %v", got, err)
	}
}

func TestReplacedContainersKeepTheirAnonymousVolumes(t *testing.T) {
	anon := strings.Repeat("ab", 32)
	got := inherit(
		[]container.Mount{{Type: "volume", Target: "/a"}, {Type: "bind", Source: "/x", Target: "/b"}},
		[]container.MountPoint{
			{Type: "volume", Name: anon, Destination: "/a", RW: true},
			{Type: "volume", Name: anon, Destination: "/b", RW: true},
			{Type: "volume", Name: anon, Destination: "/image-declared", RW: true},
			{Type: "volume", Name: "named-before", Destination: "/dropped", RW: true},
		})
	if len(got) != 3 || got[0].Source != anon || got[1].Source != "/x" || got[2].Target != "/image-declared" {
		t.Errorf("got %+v", got)
	}
}

func TestConditions(t *testing.T) {
	state := func(status string, code int, health string) *container.Container {
		c := &container.Container{Name: "c", State: container.State{Status: status, ExitCode: code}}
		if health != "" {
			c.State.Health = &container.Health{Status: health}
		}
		return c
	}
	for _, c := range []struct {
		condition string
		c         *container.Container
		met       bool
		err       string
	}{
		{compose.ServiceHealthy, state(container.Running, 0, container.Starting), false, ""},
		{compose.ServiceHealthy, state(container.Running, 0, container.Healthy), true, ""},
		{compose.ServiceHealthy, state(container.Running, 0, container.Unhealthy), false, "is unhealthy"},
		{compose.ServiceHealthy, state(container.Exited, 3, container.Starting), false, "exited (3)"},
		{compose.ServiceHealthy, state(container.Restarting, 3, container.Starting), false, ""},
		{compose.ServiceHealthy, state(container.Running, 0, ""), false, "no healthcheck"},
		{compose.ServiceCompleted, state(container.Running, 0, ""), false, ""},
		{compose.ServiceCompleted, state(container.Exited, 0, ""), true, ""},
		{compose.ServiceCompleted, state(container.Exited, 2, ""), false, "exit 2"},
		{runningOrHealthy, state(container.Running, 0, ""), true, ""},
		{"never", state(container.Running, 0, ""), false, "unknown condition"},
	} {
		_, met, err := holds(c.condition, c.c)
		if met != c.met || (err == nil) != (c.err == "") || (err != nil && !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s of %s: met %v, %v; want %v, %q", c.condition, c.c.State.Status, met, err, c.met, c.err)
		}
	}
}

func TestAPlanIsPrintedLikeADifference(t *testing.T) {
	was := svc("web")
	was.Hash = "old"
	was.Create.Env = []string{"LOG=info", "DB_PASSWORD=first", "URL=http://u:secret@db/"}
	was.Create.Cmd = container.Strings{"serve"}
	was.Contents = []compose.Content{{Key: "configs.site", Sum: "1"}, {Key: "secrets.key", Sum: "1"}}
	now := svc("web")
	now.Create.Env = []string{"LOG=debug", "DB_PASSWORD=second", "NEW=1", "URL=http://u:other@db/"}
	now.Create.Cmd = container.Strings{"serve", "--fast"}
	now.Create.HostConfig.PortBindings = container.PortMap{"80/tcp": {{HostPort: "8080"}}}
	now.Create.HostConfig.Mounts = []container.Mount{{Type: "volume", Source: "p_data", Target: "/data"}}
	now.Contents = []compose.Content{{Key: "configs.site", Sum: "2"}, {Key: "secrets.key", Sum: "2"}}
	services := []compose.Service{svc("db"), now, svc("cache")}
	req := &compose.UpRequest{RemoveOrphans: true, Project: &compose.Project{
		Name: "p", Services: services, Networks: []compose.Network{{Network: network.Network{Name: "p_default"}}},
	}}
	p, err := planUp(req, services, map[string]string{"img": "sha256:2"}, &observed{containers: map[string][]*container.Container{
		"web": {running("web", 1, "old")}, "db": {stoppedOne(running("db", 1, "h-db"), "sha256:2")}, "gone": {running("gone", 1, "x")},
	}}, func(service, hash string) *compose.Service {
		if service == "web" && hash == "old" {
			return &was
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `+ network p_default
- container p-gone-1
> start container p-db-1
~ container p-web-1
    command: ["serve"] -> ["serve","--fast"]
    configs.site: changed
    environment.DB_PASSWORD: changed
    environment.LOG: info -> debug
    environment.NEW: + 1
    environment.URL: changed
    ports.80/tcp: + 8080
    secrets.key: changed
    volumes./data: + volume p_data
    image img: 1 -> 2
+ container p-cache-1`
	if got := strings.Join(p.lines(), "\n"); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func stoppedOne(c *container.Container, image string) *container.Container {
	c.State.Status, c.Image = container.Exited, image
	return c
}
