package compose

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lus/internal/base/errs"
	"lus/internal/model/build"
	"lus/internal/model/compose"
	"lus/internal/model/container"
	"lus/internal/model/event"
	"lus/internal/model/filter"
	"lus/internal/model/image"
	"lus/internal/model/network"
	"lus/internal/model/volume"
	"lus/internal/store/sqlite"
)

// world is an engine in memory: enough to see in which order the service asks
// for things. What containers really do is tested by the scenarios.
type world struct {
	mu         sync.Mutex
	containers map[string]*container.Container // by id, which is the name
	events     []chan event.Event
	asked      []string
	failStart  string
	onStart    func(w *world, name string)
}

func (w *world) note(s string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, s)
}

// set changes a container and tells whoever listens.
func (w *world) set(name string, change func(*container.State)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(&w.containers[name].State)
	for _, c := range w.events {
		c <- event.New("container", "changed", name, nil, time.Now())
	}
}

func (w *world) CreateContainer(_ context.Context, name string, req *container.CreateRequest) (*container.CreateResponse, error) {
	w.note("create " + name)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.containers[name] = &container.Container{ID: name, Name: name, Image: "sha256:1", Config: &req.Config, State: container.State{Status: container.Created}}
	return &container.CreateResponse{ID: name}, nil
}

func (w *world) StartContainer(_ context.Context, name string) error {
	w.note("start " + name)
	if name == w.failStart {
		return errs.New(errs.Conflict, "port is already allocated")
	}
	if c, err := w.InspectContainer(context.Background(), name, false); err == nil && c.State.Running() {
		return errs.New(errs.NotModified, "container %s runs", name)
	}
	w.set(name, func(s *container.State) {
		s.Status = container.Running
		if w.containers[name].Config.Healthcheck != nil {
			s.Health = &container.Health{Status: container.Starting}
		}
	})
	if w.onStart != nil {
		w.onStart(w, name)
	}
	return nil
}

func (w *world) StopContainer(_ context.Context, name, _ string, _ *int) error {
	w.note("stop " + name)
	w.set(name, func(s *container.State) { s.Status = container.Exited })
	return nil
}

func (w *world) DrainContainer(_ context.Context, name string, _ time.Duration) error {
	w.note("drain " + name)
	return nil
}

func (w *world) RenameContainer(_ context.Context, name, to string) error {
	w.note("rename " + name + " " + to)
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.containers[name]
	delete(w.containers, name)
	c.ID, c.Name, w.containers[to] = to, to, c
	return nil
}

func (w *world) RemoveContainer(_ context.Context, name string, _ container.RemoveOptions) error {
	w.note("remove " + name)
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.containers, name)
	return nil
}

func (w *world) InspectContainer(_ context.Context, name string, _ bool) (*container.Container, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, ok := w.containers[name]
	if !ok {
		return nil, errs.New(errs.NotFound, "no such container: %s", name)
	}
	copied := *c
	if c.State.Health != nil {
		health := *c.State.Health
		copied.State.Health = &health
	}
	return &copied, nil
}

func (w *world) ListContainers(context.Context, container.ListOptions) ([]*container.Container, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []*container.Container
	for _, c := range w.containers {
		copied := *c
		out = append(out, &copied)
	}
	return out, nil
}

func (w *world) Events(ctx context.Context, _, _ time.Time, _ filter.Filters) (<-chan event.Event, error) {
	c := make(chan event.Event, 100)
	out := make(chan event.Event)
	w.mu.Lock()
	w.events = append(w.events, c)
	w.mu.Unlock()
	go func() {
		defer close(out)
		for {
			select {
			case e := <-c:
				select {
				case out <- e:
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

func (w *world) CreateNetwork(context.Context, *network.Network) (string, string, error) {
	return "", "", nil
}
func (w *world) InspectNetwork(context.Context, string) (*network.Network, error) {
	return nil, errs.New(errs.NotFound, "no such network")
}
func (w *world) ListNetworks(context.Context, filter.Filters) ([]*network.Network, error) {
	return nil, nil
}
func (w *world) RemoveNetwork(context.Context, string) error { return nil }
func (w *world) CreateVolume(context.Context, *volume.CreateRequest) (*volume.Volume, error) {
	return &volume.Volume{}, nil
}
func (w *world) InspectVolume(context.Context, string) (*volume.Volume, error) {
	return nil, errs.New(errs.NotFound, "no such volume")
}
func (w *world) ListVolumes(context.Context, filter.Filters) ([]*volume.Volume, error) {
	return nil, nil
}
func (w *world) RemoveVolume(context.Context, string, bool) error { return nil }

func (w *world) InspectImage(context.Context, string) (*image.Image, error) {
	return &image.Image{ID: "sha256:1", OS: "linux", Architecture: "amd64", LastTagTime: time.Now().Add(-2 * time.Hour)}, nil
}
func (w *world) PullImage(_ context.Context, name, _ string, _ *image.Auth, _ func(image.Progress)) error {
	w.note("pull " + name)
	return nil
}
func (w *world) TagImage(context.Context, string, string) error                   { return nil }
func (w *world) Build(context.Context, *build.Request, io.Writer) (string, error) { return "", nil }

func newWorld() *world { return &world{containers: map[string]*container.Container{}} }

func service(t *testing.T, w *world) *Service {
	t.Helper()
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "db"), Migrations())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	s, err := New(Deps{Engine: w, Images: w, Builder: w, DB: db, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func project(services ...compose.Service) *compose.Project {
	return &compose.Project{Name: "p", Services: services}
}

func withHealth(s compose.Service) compose.Service {
	s.Create.Healthcheck = &container.Healthcheck{Test: []string{"CMD", "true"}}
	return s
}

func TestADependentStartsTheMomentItsConditionHolds(t *testing.T) {
	w := newWorld()
	release := make(chan struct{})
	var became sync.WaitGroup
	w.onStart = func(w *world, name string) {
		if name != "p-db-1" {
			return
		}
		became.Go(func() {
			<-release
			w.note("db healthy")
			w.set("p-db-1", func(s *container.State) { s.Health.Status = container.Healthy })
		})
	}
	var told []string
	tell := func(e compose.Event) {
		told = append(told, e.Name+" "+e.Status)
		if e.Status == "Waiting" {
			close(release)
		}
	}
	req := &compose.UpRequest{Project: project(withHealth(svc("db")), svc("web", on("db", compose.ServiceHealthy)))}
	if err := service(t, w).Up(context.Background(), req, tell); err != nil {
		t.Fatal(err)
	}
	became.Wait()
	healthy, started := slices.Index(w.asked, "db healthy"), slices.Index(w.asked, "start p-web-1")
	if healthy < 0 || started < healthy {
		t.Errorf("web did not wait for db: %v", w.asked)
	}
	if !slices.Contains(told, "p-db-1 Healthy") {
		t.Errorf("nobody was told: %v", told)
	}
}

func TestAnUnhealthyDependencyEndsTheUpAndNamesTheContainer(t *testing.T) {
	w := newWorld()
	w.onStart = func(w *world, name string) {
		w.set(name, func(s *container.State) { s.Health.Status = container.Unhealthy })
	}
	req := &compose.UpRequest{Project: project(withHealth(svc("db")), svc("web", on("db", compose.ServiceHealthy)))}
	err := service(t, w).Up(context.Background(), req, func(compose.Event) {})
	if err == nil || !strings.Contains(err.Error(), "p-db-1 is unhealthy") {
		t.Fatalf("got %v", err)
	}
	if slices.Contains(w.asked, "start p-web-1") {
		t.Error("the dependent was started")
	}
}

func TestAnOptionalDependencyThatFailsIsOnlyTold(t *testing.T) {
	w := newWorld()
	w.onStart = func(w *world, name string) {
		w.set(name, func(s *container.State) { s.Status, s.ExitCode = container.Exited, 3 })
	}
	optional := on("job", compose.ServiceCompleted)
	optional.Required = false
	var told strings.Builder
	req := &compose.UpRequest{Project: project(svc("job"), svc("web", optional))}
	if err := service(t, w).Up(context.Background(), req, func(e compose.Event) { told.WriteString(e.Warning) }); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(w.asked, "start p-web-1") || !strings.Contains(told.String(), "p-job-1 didn't complete successfully: exit 3") {
		t.Errorf("asked %q, told %q", w.asked, told.String())
	}
}

func TestAnImageIsRefreshedWhenItIsOldEnough(t *testing.T) {
	for after, pulled := range map[time.Duration]bool{time.Hour: true, 24 * time.Hour: false} {
		w, s := newWorld(), svc("web") // its image was tagged two hours ago
		s.PullPolicy, s.RefreshAfter = "refresh", after
		if err := service(t, w).Up(context.Background(), &compose.UpRequest{Project: project(s)}, func(compose.Event) {}); err != nil {
			t.Fatal(err)
		}
		if slices.Contains(w.asked, "pull img") != pulled {
			t.Errorf("after %s: %q", after, w.asked)
		}
	}
}

// An image that is here for another platform than the service names is looked for
// at its registry.
func TestAnImageOfAnotherPlatformIsAsGoodAsNone(t *testing.T) {
	for platform, pulled := range map[string]bool{"linux/amd64": false, "linux/x86_64": false, "linux/arm64": true, "linux/arm/v7": true} {
		w, s := newWorld(), svc("web") // its image is of linux/amd64
		s.Platform = platform
		if err := service(t, w).Up(context.Background(), &compose.UpRequest{Project: project(s)}, func(compose.Event) {}); err != nil {
			t.Fatal(err)
		}
		if slices.Contains(w.asked, "pull img") != pulled {
			t.Errorf("for %s: %q", platform, w.asked)
		}
		s.PullPolicy = "never"
		err := service(t, newWorld()).Up(context.Background(), &compose.UpRequest{Project: project(s)}, func(compose.Event) {})
		if (err != nil) != pulled || pulled && !strings.Contains(err.Error(), "is not here for "+platform) {
			t.Errorf("for %s, never pulled: %v", platform, err)
		}
	}
}

func TestAFailedStartEndsTheUp(t *testing.T) {
	w := newWorld()
	w.failStart = "p-a-1"
	req := &compose.UpRequest{Project: project(svc("a"), svc("b", on("a", compose.ServiceStarted)))}
	err := service(t, w).Up(context.Background(), req, func(compose.Event) {})
	if !errs.Is(err, errs.Conflict) || !strings.Contains(err.Error(), "container p-a-1: port is already allocated") {
		t.Fatalf("got %v", err)
	}
	if slices.Contains(w.asked, "start p-b-1") {
		t.Error("what depends on it was started")
	}
}

func TestASecondUpChangesNothing(t *testing.T) {
	w := newWorld()
	s := service(t, w)
	one := svc("web")
	one.Create.Labels[compose.LabelService], one.Create.Labels[compose.LabelConfigHash] = "web", one.Hash
	req := &compose.UpRequest{Project: project(one)}
	for range 2 {
		if err := s.Up(context.Background(), req, func(compose.Event) {}); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"create p-web-1", "start p-web-1"}; !slices.Equal(w.asked, want) {
		t.Errorf("asked %v, want %v", w.asked, want)
	}
}

func TestASecondUpOfTheSameProjectWaitsAndSaysForWhom(t *testing.T) {
	w := newWorld()
	s := service(t, w)
	inside, release := make(chan struct{}), make(chan struct{})
	w.onStart = func(*world, string) { close(inside); <-release }
	first := make(chan error, 1)
	go func() {
		first <- s.Up(context.Background(), &compose.UpRequest{
			Project: project(svc("web")), By: compose.Caller{Pid: 42, User: "ana", Command: "lus compose up"},
		}, func(compose.Event) {})
	}()
	<-inside
	said := ""
	second := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		second <- s.Down(ctx, &compose.DownRequest{Name: "p"}, func(e compose.Event) {
			if e.Text != "" && said == "" {
				said = e.Text
				cancel() // it waits: give up
			}
		})
	}()
	if err := <-second; !errors.Is(err, context.Canceled) || !strings.Contains(said, "`lus compose up` (pid 42, user ana)") {
		t.Errorf("the second got %v and said %q", err, said)
	}
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
}

func TestCancelLeavesNoGoroutineWaiting(t *testing.T) {
	w := newWorld()
	ctx, cancel := context.WithCancel(context.Background())
	req := &compose.UpRequest{Project: project(withHealth(svc("db")), svc("web", on("db", compose.ServiceHealthy)))}
	err := service(t, w).Up(ctx, req, func(e compose.Event) {
		if e.Status == "Waiting" {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// What was well first must be so when the last is: --wait looks once more.
func TestWaitSeesWhatEndedWhileOthersWereWaitedFor(t *testing.T) {
	for _, ends := range []bool{true, false} {
		w := newWorld()
		tell := func(e compose.Event) {
			if e.Name != "p-web-1" || e.Status != "Running" || !e.Done {
				return
			}
			if ends {
				w.set("p-web-1", func(s *container.State) { s.Status, s.ExitCode = container.Exited, 3 })
			}
			w.set("p-db-1", func(s *container.State) { s.Health.Status = container.Healthy })
		}
		// web is started after db, so db is there when web is well.
		req := &compose.UpRequest{Wait: true, Project: project(withHealth(svc("db")), svc("web", on("db", compose.ServiceStarted)))}
		err := service(t, w).Up(context.Background(), req, tell)
		if said := err != nil && strings.Contains(err.Error(), "p-web-1 exited (3)"); said != ends {
			t.Errorf("ended %v, and it says %v", ends, err)
		}
	}
}
