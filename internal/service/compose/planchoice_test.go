package compose

import (
	"strings"
	"testing"

	"lus/internal/base/errs"
	"lus/internal/model/compose"
	"lus/internal/model/container"
)

// planned is the plan of an up of services whose containers there are.
func planned(req compose.UpRequest, services []compose.Service, have ...*container.Container) (*plan, error) {
	now := &observed{containers: map[string][]*container.Container{}}
	for _, c := range have {
		service := c.Config.Labels[compose.LabelService]
		now.containers[service] = append(now.containers[service], c)
	}
	req.Project = &compose.Project{Name: "p", Services: services}
	return planUp(&req, services, map[string]string{"img": "sha256:1"}, now, forgotten)
}

func scaledTo(n int) []compose.Service {
	web := svc("web")
	web.Scale = n
	return []compose.Service{web}
}

// As docker compose does: what is as it should be stays, whatever its number is.
func TestContainersAreKeptWhateverTheirNumber(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		scale int
		req   compose.UpRequest
		have  []*container.Container
		want  string
	}{
		{
			name: "number 1 was removed by hand: number 2 stays", scale: 1,
			have: []*container.Container{running("web", 2, "h-web")},
			want: "keep p-web-2\n",
		},
		{
			name: "what is missing gets a number after those that there are", scale: 3,
			have: []*container.Container{running("web", 1, "h-web"), running("web", 3, "h-web")},
			want: "keep p-web-1\nkeep p-web-3\ncreate p-web-4\nstart p-web-4 after create p-web-4\n",
		},
		{
			name: "of several that are as they should be the low numbers stay", scale: 1,
			have: []*container.Container{running("web", 2, "h-web"), running("web", 3, "h-web")},
			want: "keep p-web-2\nstop p-web-3\nremove p-web-3 after stop p-web-3\n",
		},
		{
			name: "one that is as it should be stays before one that is not", scale: 1,
			have: []*container.Container{running("web", 1, "old"), running("web", 2, "h-web")},
			want: "keep p-web-2\nstop p-web-1\nremove p-web-1 after stop p-web-1\n",
		},
		{
			name: "where nothing is to be replaced the numbers count alone", scale: 1, req: compose.UpRequest{NoRecreate: true},
			have: []*container.Container{running("web", 1, "old"), running("web", 2, "h-web")},
			want: "keep p-web-1\nstop p-web-2\nremove p-web-2 after stop p-web-2\n",
		},
		{
			name: "one that is replaced keeps its number", scale: 1,
			have: []*container.Container{running("web", 2, "old")},
			want: "create p-web-2\nstop p-web-2 after create p-web-2\nremove p-web-2 after stop p-web-2\n" +
				"rename p-web-2 after remove p-web-2\nstart p-web-2 after rename p-web-2\n",
		},
		{
			name: "with none wanted all go", scale: 0,
			have: []*container.Container{running("web", 2, "h-web")},
			want: "stop p-web-2\nremove p-web-2 after stop p-web-2\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p, err := planned(c.req, scaledTo(c.scale), c.have...)
			if err != nil {
				t.Fatal(err)
			}
			if got := show(p); got != c.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, c.want)
			}
		})
	}
}

// sharing is a service in the network of db, and its container in that of another.
func sharing(id string) (compose.Service, *container.Container) {
	s := svc("app", on("db", compose.ServiceStarted))
	s.Create.HostConfig = &container.HostConfig{NetworkMode: "service:db"}
	c := running("app", 1, "h-app")
	c.HostConfig = &container.HostConfig{NetworkMode: "container:" + id}
	return s, c
}

func TestWhatSharesWithAnotherContainerThanTheFirstIsReplaced(t *testing.T) {
	t.Parallel()
	app, c := sharing("id-db-1")
	for _, have := range []struct {
		name     string
		db       []*container.Container
		replaced bool
	}{
		{"the one it shares with is there", []*container.Container{running("db", 1, "h-db")}, false},
		{"the one it shares with is replaced", []*container.Container{running("db", 1, "old")}, true},
		{"another is the first", []*container.Container{running("db", 2, "h-db")}, true},
		{"another stays", []*container.Container{running("db", 1, "old"), running("db", 2, "h-db")}, true},
		{"the first is to be made", nil, true},
	} {
		t.Run(have.name, func(t *testing.T) {
			t.Parallel()
			p, err := planned(compose.UpRequest{}, []compose.Service{svc("db"), app}, append([]*container.Container{c}, have.db...)...)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(show(p), "create p-app-1"); got != have.replaced {
				t.Errorf("replaced %v:\n%s", got, show(p))
			}
		})
	}
}

func TestTheFirstContainerOfAServiceIsTheOneWithTheLowestNumberThatStays(t *testing.T) {
	t.Parallel()
	db := svc("db")
	p, err := planned(compose.UpRequest{}, []compose.Service{db}, running("db", 1, "old"), running("db", 2, "h-db"))
	if err != nil {
		t.Fatal(err)
	}
	r := &runner{ids: p.known}
	if got := r.firstOf("db"); got != "id-db-2" {
		t.Errorf("the first is %q", got)
	}
	r = &runner{ids: map[string]string{"db/10": "ten", "db/9": "nine", "db2/1": "other"}}
	if got := r.firstOf("db"); got != "nine" {
		t.Errorf("of 9 and 10 the first is %q", got)
	}
	if got := r.firstOf("d"); got != "" {
		t.Errorf("a service without containers has %q", got)
	}
}

func frozen(c *container.Container) *container.Container {
	c.State.Status = container.Paused
	return c
}

// Docker's engine starts no paused container, so docker compose ends with its
// error; here nothing is changed then.
func TestPausedContainersAreNotTakenForRunningOnes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		req  compose.UpRequest
		have []*container.Container
		want string // of the error; empty: none
	}{
		{"one that would be started", compose.UpRequest{}, []*container.Container{frozen(running("web", 1, "h-web"))}, "container p-web-1 is paused"},
		{"one that would be made only", compose.UpRequest{NoStart: true}, []*container.Container{frozen(running("web", 1, "h-web"))}, "`lus compose unpause`"},
		{"several", compose.UpRequest{}, []*container.Container{frozen(running("web", 1, "h-web")), frozen(running("web", 2, "h-web"))}, "containers p-web-1, p-web-2 are paused"},
		{"one that is replaced", compose.UpRequest{}, []*container.Container{frozen(running("web", 1, "old"))}, ""},
		{"one that is too many", compose.UpRequest{}, []*container.Container{running("web", 1, "h-web"), running("web", 2, "h-web"), frozen(running("web", 3, "h-web"))}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := planned(c.req, scaledTo(2), c.have...)
			if c.want == "" && err != nil || c.want != "" && (!errs.Is(err, errs.Conflict) || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	now := &observed{containers: map[string][]*container.Container{"web": {frozen(running("web", 1, "h-web"))}}}
	for verb, refused := range map[string]bool{"start": true, "stop": false, "restart": false} {
		if _, err := planState(verb, &compose.StateRequest{Name: "p"}, now); errs.Is(err, errs.Conflict) != refused {
			t.Errorf("%s: %v", verb, err)
		}
	}
}
