package compose

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"lus/internal/base/errs"
	"lus/internal/model/compose"
	"lus/internal/model/container"
)

// Start starts containers that exist, each once what it depends on is as its
// label says.
func (s *Service) Start(ctx context.Context, req *compose.StateRequest, tell Tell) error {
	return s.state(ctx, "start", req, tell)
}

// Stop stops containers and keeps them: dependents before what they depend on.
func (s *Service) Stop(ctx context.Context, req *compose.StateRequest, tell Tell) error {
	return s.state(ctx, "stop", req, tell)
}

// Restart stops and starts containers, and those that asked to be restarted with
// what they depend on.
func (s *Service) Restart(ctx context.Context, req *compose.StateRequest, tell Tell) error {
	return s.state(ctx, "restart", req, tell)
}

func (s *Service) state(ctx context.Context, verb string, req *compose.StateRequest, tell Tell) error {
	if req.Name == "" {
		return errs.New(errs.Invalid, "the project has no name: give one with -p")
	}
	if req.Project != nil {
		if err := check(req.Project); err != nil {
			return err
		}
	}
	tell = serial(tell)
	free, err := s.projects.take(ctx, req.Name, holderOf("compose "+verb, req.By), tell)
	if err != nil {
		return err
	}
	defer free()
	now, err := s.observe(ctx, req.Name, false)
	if err != nil {
		return err
	}
	p, err := planState(verb, req, now)
	if errs.Is(err, errs.NotFound) && verb == "stop" && inFile(req) {
		tell(compose.Event{Warning: "nothing is stopped: " + err.Error()})
		return nil
	}
	if err != nil {
		return err
	}
	if req.DryRun {
		p.print(tell)
		return nil
	}
	project := req.Project
	if project == nil {
		project = &compose.Project{Name: req.Name, Parallel: req.Parallel}
	}
	return s.run(ctx, project, p, tell)
}

// inFile says that the services asked for are those of a file, or all: that they
// have no containers is no error of who asks.
func inFile(req *compose.StateRequest) bool {
	known := map[string]bool{}
	if req.Project != nil {
		known = knownServices(req.Project)
	}
	return !slices.ContainsFunc(req.Services, func(name string) bool { return !known[name] })
}

// statePlan gathers what planning one start, stop or restart needs. What depends
// on what is read from the containers' labels: there may be no file.
type statePlan struct {
	*plan
	req   *compose.StateRequest
	now   map[string][]*container.Container
	stops map[string][]*step
	start map[string][]*step
	waits map[string]*step
	// paused are containers that should be started.
	paused []string
}

func planState(verb string, req *compose.StateRequest, now *observed) (*plan, error) {
	chosen, err := chosenFor(verb, req, now)
	if err != nil {
		return nil, err
	}
	s := &statePlan{plan: &plan{}, req: req, now: now.containers, stops: map[string][]*step{}, start: map[string][]*step{}, waits: map[string]*step{}}
	order := dependencyOrder(now.containers, chosen)
	if verb != "start" {
		for _, name := range slices.Backward(order) {
			s.stop(name, order)
		}
	}
	if verb == "stop" {
		return s.plan, nil
	}
	for _, name := range order {
		s.begin(name, verb)
	}
	if err := pausedError(s.paused); err != nil {
		return nil, err
	}
	if req.Wait {
		s.waitForAll(order)
		s.confirm(s.waits)
	}
	return s.plan, nil
}

// waitForAll is --wait, as that of up.
func (s *statePlan) waitForAll(order []string) {
	condition := map[string]string{}
	for _, name := range order {
		for _, d := range dependencies(s.now[name]) {
			if d.Condition == compose.ServiceCompleted {
				condition[d.Service] = d.Condition
			}
		}
	}
	for _, name := range order {
		s.conditions(name, cmp.Or(condition[name], runningOrHealthy), true)
	}
}

// chosenFor are the services a verb is for: those named, for a start with what
// they depend on, for a restart with those that want to be restarted with them.
func chosenFor(verb string, req *compose.StateRequest, now *observed) (map[string]bool, error) {
	chosen := map[string]bool{}
	for _, name := range req.Services {
		if len(now.containers[name]) == 0 {
			return nil, errs.New(errs.NotFound, "service %q has no container to %s; `lus compose up -d %s` makes one", name, verb, name)
		}
		chosen[name] = true
	}
	if len(req.Services) == 0 {
		for name := range now.containers {
			if req.All || req.Project == nil || slices.ContainsFunc(req.Project.Services, func(s compose.Service) bool { return s.Name == name }) {
				chosen[name] = true
			}
		}
		if len(chosen) == 0 {
			return nil, errs.New(errs.NotFound, "project %s has no containers to %s; `lus compose up -d` makes them", req.Name, verb)
		}
		return chosen, nil
	}
	for grown := true; grown; {
		grown = false
		for name, cs := range now.containers {
			for _, d := range dependencies(cs) {
				switch {
				case verb == "start" && chosen[name] && !chosen[d.Service] && len(now.containers[d.Service]) > 0:
					chosen[d.Service], grown = true, true
				case verb == "restart" && d.Restart && !req.NoDeps && chosen[d.Service] && !chosen[name]:
					chosen[name], grown = true, true
				}
			}
		}
	}
	return chosen, nil
}

// dependencies reads what a service's containers depend on from their labels:
// SERVICE:CONDITION:RESTART, with commas between.
func dependencies(cs []*container.Container) []compose.Dependency {
	var out []compose.Dependency
	if len(cs) == 0 {
		return nil
	}
	for part := range strings.SplitSeq(cs[0].Config.Labels[compose.LabelDependsOn], ",") {
		name, rest, _ := strings.Cut(part, ":")
		if name == "" {
			continue
		}
		condition, restart, _ := strings.Cut(rest, ":")
		if condition == "" {
			condition = compose.ServiceStarted
		}
		out = append(out, compose.Dependency{Service: name, Condition: condition, Restart: restart == "true", Required: true})
	}
	return out
}

// dependencyOrder sorts services so that each comes after what it depends on. A
// cycle of labels that somebody made by hand is cut.
func dependencyOrder(all map[string][]*container.Container, chosen map[string]bool) []string {
	var out []string
	seen := map[string]bool{}
	var visit func(string)
	visit = func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		for _, d := range dependencies(all[name]) {
			visit(d.Service)
		}
		if chosen[name] {
			out = append(out, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(chosen)) {
		visit(name)
	}
	return out
}

func (s *statePlan) stop(name string, order []string) {
	var after []*step
	for _, other := range order {
		for _, d := range dependencies(s.now[other]) {
			if d.Service == name {
				after = append(after, s.stops[other]...)
			}
		}
	}
	for _, c := range s.now[name] {
		if c.State.Running() || c.State.Status == container.Restarting {
			s.stops[name] = append(s.stops[name], s.add(&step{action: compose.StopContainer, kind: "Container", name: c.Name, old: c, after: after, timeout: s.req.Timeout}))
		}
	}
}

func (s *statePlan) begin(name, verb string) {
	service := s.service(name)
	after := slices.Clone(s.stops[name])
	for _, d := range dependencies(s.now[name]) {
		after = append(after, s.conditions(d.Service, d.Condition, d.Required)...)
	}
	if verb == "start" {
		after = s.before(service, s.now[name], after)
	}
	for _, c := range s.now[name] {
		st := &step{kind: "Container", name: c.Name, service: service, number: number(c), old: c, after: after}
		st.action = compose.StartContainer
		if verb == "start" && c.State.Status == container.Paused {
			s.paused = append(s.paused, c.Name)
		}
		if verb == "start" && c.State.Running() {
			st.action, st.after = compose.Keep, nil
		}
		s.start[name] = append(s.start[name], s.add(st))
	}
}

// service is what the file says of a service, or, where there is no file, its
// name alone.
func (s *statePlan) service(name string) *compose.Service {
	if s.req.Project != nil {
		for i := range s.req.Project.Services {
			if s.req.Project.Services[i].Name == name {
				return &s.req.Project.Services[i]
			}
		}
	}
	return &compose.Service{Name: name}
}

// conditions are the steps after which a service is as a dependent wants it.
func (s *statePlan) conditions(name, condition string, required bool) []*step {
	if condition == compose.ServiceStarted {
		return s.start[name]
	}
	var out []*step
	for _, st := range s.start[name] {
		key := condition + " " + st.name
		if s.waits[key] == nil {
			s.waits[key] = s.add(&step{
				action: waitFor, kind: "Container", name: st.name, condition: condition, optional: !required,
				service: st.service, number: st.number, old: st.old, after: []*step{st},
			})
			if condition == runningOrHealthy {
				s.waits[key].within = time.Duration(s.req.WaitTimeout) * time.Second
			}
		}
		out = append(out, s.waits[key])
	}
	return out
}
