package compose

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"

	"lus/internal/base/errs"
	"lus/internal/model/compose"
	"lus/internal/model/container"
	"lus/internal/model/image"
)

// Logs are of containers that write nothing.
func (w *world) Logs(context.Context, string, container.LogOptions) (container.LogReader, bool, error) {
	return nil, false, errs.New(errs.Unsupported, "nothing is kept")
}

// CreateExec makes execs whose id says what they run, and where.
func (w *world) CreateExec(_ context.Context, name string, cfg *container.ExecConfig) (string, error) {
	return name + " " + strings.Join(cfg.Cmd, " "), nil
}

func (w *world) StartExec(_ context.Context, id string, _, _ bool, _ *[2]uint) (*container.Stream, error) {
	w.note("exec " + id)
	return &container.Stream{Out: &said{lines: []string{"what " + id + " said\n"}}}, nil
}

// InspectExec has the exit code 1 where the command is false.
func (w *world) InspectExec(_ context.Context, id string) (*container.Exec, error) {
	code := 0
	if strings.HasSuffix(id, " false") {
		code = 1
	}
	return &container.Exec{ExitCode: &code}, nil
}

func (w *world) RemoveImage(_ context.Context, ref string, _, _ bool) ([]image.Removed, error) {
	w.note("remove image " + ref)
	return nil, nil
}

type said struct{ lines []string }

func (s *said) Next() (container.LogRecord, error) {
	if len(s.lines) == 0 {
		return container.LogRecord{}, io.EOF
	}
	rec := container.LogRecord{Data: []byte(s.lines[0])}
	s.lines = s.lines[1:]
	return rec, nil
}

func (s *said) Close() error { return nil }

// runs makes a running container of a service; after are its labels of what it
// depends on.
func (w *world) runs(service, after string, status string) {
	name := "p-" + service + "-1"
	w.containers[name] = &container.Container{
		ID: name, Name: name, Config: &container.Config{Image: "p-" + service, Labels: map[string]string{
			compose.LabelProject: "p", compose.LabelService: service, compose.LabelNumber: "1", compose.LabelDependsOn: after,
		}},
		State: container.State{Status: status},
	}
}

func TestAStopEndsDependentsFirstAndAStartBeginsWithWhatTheyNeed(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.runs("web", "api:service_started:false", container.Running)
	w.runs("api", "db:service_started:true", container.Running)
	w.runs("db", "", container.Running)
	s := service(t, w)
	if err := s.Stop(context.Background(), &compose.StateRequest{Name: "p"}, quiet); err != nil {
		t.Fatal(err)
	}
	if want := []string{"stop p-web-1", "stop p-api-1", "stop p-db-1"}; !slices.Equal(w.asked, want) {
		t.Errorf("stop did %q", w.asked)
	}
	for _, c := range w.containers {
		c.State.Status = container.Exited
	}
	w.asked = nil
	if err := s.Start(context.Background(), &compose.StateRequest{Name: "p", Services: []string{"api"}}, quiet); err != nil {
		t.Fatal(err)
	}
	if want := []string{"start p-db-1", "start p-api-1"}; !slices.Equal(w.asked, want) {
		t.Errorf("start of api did %q", w.asked)
	}
	w.asked = nil
	if err := s.Restart(context.Background(), &compose.StateRequest{Name: "p", Services: []string{"db"}}, quiet); err != nil {
		t.Fatal(err)
	}
	if want := []string{"stop p-api-1", "stop p-db-1", "start p-db-1", "start p-api-1"}; !slices.Equal(w.asked, want) {
		t.Errorf("restart of db did %q", w.asked)
	}
	w.asked = nil
	if err := s.Restart(context.Background(), &compose.StateRequest{Name: "p", Services: []string{"db"}, NoDeps: true}, quiet); err != nil {
		t.Fatal(err)
	}
	if want := []string{"stop p-db-1", "start p-db-1"}; !slices.Equal(w.asked, want) {
		t.Errorf("restart --no-deps of db did %q", w.asked)
	}
	if err := s.Stop(context.Background(), &compose.StateRequest{Name: "p", Services: []string{"cache"}}, quiet); !errs.Is(err, errs.NotFound) {
		t.Errorf("a service without containers gave %v", err)
	}
}

func TestHooksRunAfterTheStartAndBeforeTheStop(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.runs("db", "", container.Exited)
	s := service(t, w)
	db := svc("db")
	db.PostStart, db.PreStop = []compose.Hook{{Cmd: []string{"migrate"}}, {Cmd: []string{"seed"}}}, []compose.Hook{{Cmd: []string{"flush"}}}
	project := &compose.Project{Name: "p", Services: []compose.Service{db}}
	if err := s.Start(context.Background(), &compose.StateRequest{Name: "p", Project: project}, quiet); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(context.Background(), &compose.StateRequest{Name: "p", Project: project}, quiet); err != nil {
		t.Fatal(err)
	}
	if want := []string{"start p-db-1", "exec p-db-1 migrate", "exec p-db-1 seed", "exec p-db-1 flush", "stop p-db-1"}; !slices.Equal(w.asked, want) {
		t.Errorf("it did %q", w.asked)
	}
	project.Services[0].PreStop = []compose.Hook{{Cmd: []string{"false"}}}
	w.asked, w.containers["p-db-1"].State.Status = nil, container.Running
	err := s.Stop(context.Background(), &compose.StateRequest{Name: "p", Project: project}, quiet)
	if err == nil || !strings.Contains(err.Error(), "pre_stop hook false ended with exit code 1: what p-db-1 false said") || slices.Contains(w.asked, "stop p-db-1") {
		t.Errorf("a hook that fails gave %v, and it did %q", err, w.asked)
	}
}

func TestDownOfServicesAndOfImages(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.runs("web", "db:service_started:false", container.Running)
	w.runs("db", "", container.Running)
	w.containers["p-db-1"].Config.Image = "mariadb:11"
	s := service(t, w)
	if err := s.Down(context.Background(), &compose.DownRequest{Name: "p", Services: []string{"web"}}, quiet); err != nil {
		t.Fatal(err)
	}
	if want := []string{"stop p-web-1", "remove p-web-1"}; !slices.Equal(w.asked, want) {
		t.Errorf("down web did %q", w.asked)
	}
	w.runs("web", "", container.Exited)
	w.asked = nil
	if err := s.Down(context.Background(), &compose.DownRequest{Name: "p", Images: "local"}, quiet); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(w.asked, "remove image p-web") || slices.Contains(w.asked, "remove image mariadb:11") {
		t.Errorf("--rmi local did %q", w.asked)
	}
}

func quiet(compose.Event) {}

// A container that never stopped is not made to run its post_start again when an
// update is taken back.
func TestWhatNeverStoppedRunsNoHookWhenAnUpdateIsTakenBack(t *testing.T) {
	w := newWorld()
	s := service(t, w)
	web := svc("web")
	web.Create.Labels[compose.LabelService], web.Create.Labels[compose.LabelConfigHash] = "web", web.Hash
	web.PostStart = []compose.Hook{{Cmd: []string{"warm"}}}
	web.Update = &compose.Update{Parallelism: 1, StartFirst: true, FailureAction: compose.OnFailureRollback}
	if err := s.Up(context.Background(), &compose.UpRequest{Project: project(web)}, func(compose.Event) {}); err != nil {
		t.Fatal(err)
	}
	w.onStart = func(w *world, name string) {
		w.set(name, func(s *container.State) { s.Status, s.ExitCode = container.Exited, 3 })
	}
	web.Hash = "other"
	err := s.Up(context.Background(), &compose.UpRequest{Project: project(web)}, func(compose.Event) {})
	if err == nil || !strings.Contains(err.Error(), "what was before runs again") {
		t.Errorf("got %v", err)
	}
	hooks := slices.DeleteFunc(slices.Clone(w.asked), func(s string) bool { return s != "exec p-web-1 warm" })
	if len(hooks) != 1 {
		t.Errorf("the hook of the old container ran %d times: %q", len(hooks), w.asked)
	}
}
