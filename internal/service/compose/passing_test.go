package compose

import (
	"context"
	"maps"
	"slices"
	"testing"

	"lus/internal/model/compose"
)

// once is a service that stands for the container of a `compose run`.
func once(deps ...compose.Dependency) compose.Service {
	s := svc("web", deps...)
	s.Name, s.ContainerName, s.Hold = "web (run)", "p-web-run-1", true
	s.Create.Labels = map[string]string{compose.LabelOneoff: "True", compose.LabelService: "web"}
	return s
}

// Nobody would start the container any more, and nothing but --remove-orphans
// would remove it.
func TestARunThatFailsBeforeItBeginsLeavesNoContainer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, fails string }{{"what it depends on does not start", "p-db-1"}, {"all is well", ""}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.failStart = c.fails
			run := once(on("db", compose.ServiceStarted))
			err := service(t, w).Up(context.Background(), &compose.UpRequest{
				Project: &compose.Project{Name: "p", Services: []compose.Service{svc("db"), run}}, Services: []string{run.Name},
			}, quiet)
			if (err != nil) != (c.fails != "") {
				t.Fatalf("it ended with %v", err)
			}
			names := slices.Sorted(maps.Keys(w.containers))
			if got := slices.Contains(names, "p-web-run-1"); got == (c.fails != "") {
				t.Errorf("there are %v", names)
			}
			if !slices.Contains(names, "p-db-1") {
				t.Errorf("what lasts is gone: %v", names)
			}
		})
	}
}
