package compose

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"lus/internal/base/errs"
	"lus/internal/model/build"
	"lus/internal/model/compose"
	"lus/internal/model/container"
	"lus/internal/model/network"
	"lus/internal/model/volume"
)

// waitFor is the one action that is not shown as a change: it holds back a
// dependent until its condition holds.
const waitFor compose.Action = "wait"

// step is one thing to do, and what must be done before.
type step struct {
	action compose.Action
	kind   string // Network, Volume, Image, Container
	name   string // what people call it
	after  []*step

	service   *compose.Service
	number    int
	imageID   string
	old       *container.Container // what is stopped, removed, kept or replaced
	condition string               // wait
	optional  bool                 // wait: go on where the condition cannot hold
	network   *network.Network
	volume    *volume.CreateRequest
	build     *build.Request
	timeout   *int
	quiet     bool          // of a pull or a build only its end is told
	volumes   bool          // removed with the container: those that nobody named
	fresh     bool          // a container that replaces another takes none of its volumes
	within    time.Duration // a wait's bound; 0: none
}

// plan is the steps, in an order in which they could be carried out one by one.
type plan struct {
	steps    []*step
	warnings []string
	kept     []string          // volumes that down leaves
	known    map[string]string // containers that no step touches: "service/number" -> id
}

func (p *plan) add(s *step) *step {
	p.steps = append(p.steps, s)
	return s
}

func (p *plan) print(tell Tell) {
	for _, s := range p.steps {
		if s.action == waitFor {
			continue
		}
		tell(compose.Event{Kind: s.kind, Name: s.name, Status: "would " + string(s.action), Done: true})
	}
}

// upPlan gathers what planning one `up` needs.
type upPlan struct {
	*plan
	req   *compose.UpRequest
	now   *observed
	ids   map[string]string // image reference -> id
	ready []*step           // networks and volumes: before any container
	made  map[string][]*step
	start map[string][]*step // by service: starts, or keeps
	waits map[string]*step   // by service and condition
}

// planUp compares what is with what is asked.
func planUp(req *compose.UpRequest, services []compose.Service, ids map[string]string, now *observed) (*plan, error) {
	u := &upPlan{
		plan: &plan{known: now.ids()}, req: req, now: now, ids: ids,
		made: map[string][]*step{}, start: map[string][]*step{}, waits: map[string]*step{},
	}
	if err := u.networks(); err != nil {
		return nil, err
	}
	if err := u.volumes(); err != nil {
		return nil, err
	}
	u.orphans()
	for i := range services {
		if err := u.service(&services[i]); err != nil {
			return nil, err
		}
	}
	if req.Wait {
		u.waitForAll(services)
	}
	return u.plan, nil
}

func (u *upPlan) networks() error {
	for i := range u.req.Project.Networks {
		n := &u.req.Project.Networks[i]
		have := u.now.networks[n.Network.Name]
		switch {
		case have == nil && n.External:
			return errs.New(errs.NotFound, "network %s is declared as external and does not exist: create it with `lus network create %s`", n.Network.Name, n.Network.Name)
		case have == nil:
			u.ready = append(u.ready, u.add(&step{action: compose.CreateNetwork, kind: "Network", name: n.Network.Name, network: &n.Network}))
		case !n.External && have.Labels[compose.LabelProject] != u.req.Project.Name:
			return errs.New(errs.Conflict, "network %s exists and is not of project %s: remove it, or set `external: true` to use it", n.Network.Name, u.req.Project.Name)
		}
	}
	return nil
}

func (u *upPlan) volumes() error {
	for i := range u.req.Project.Volumes {
		v := &u.req.Project.Volumes[i]
		have := u.now.volumes[v.Volume.Name]
		switch {
		case have == nil && v.External:
			return errs.New(errs.NotFound, "volume %s is declared as external and does not exist: create it with `lus volume create %s`", v.Volume.Name, v.Volume.Name)
		case have == nil:
			u.ready = append(u.ready, u.add(&step{action: compose.CreateVolume, kind: "Volume", name: v.Volume.Name, volume: &v.Volume}))
		case !v.External && have.Labels[compose.LabelProject] != u.req.Project.Name:
			u.warnings = append(u.warnings, fmt.Sprintf("volume %s exists and was not created by project %s; set `external: true` to use it without this notice", v.Volume.Name, u.req.Project.Name))
		}
	}
	return nil
}

// orphans are containers of services that the file no longer has.
func (u *upPlan) orphans() {
	known := knownServices(u.req.Project)
	var names []string
	for service, cs := range u.now.containers {
		if known[service] {
			continue
		}
		for _, c := range cs {
			names = append(names, c.Name)
			if u.req.RemoveOrphans {
				u.remove(c, nil)
			}
		}
	}
	if len(names) > 0 && !u.req.RemoveOrphans && !u.req.IgnoreOrphans {
		slices.Sort(names)
		u.warnings = append(u.warnings, fmt.Sprintf("found orphan containers (%s) of services that are no longer in the file; remove them with --remove-orphans", strings.Join(names, ", ")))
	}
}

// knownServices are the services of a project's files, asked for or not.
func knownServices(p *compose.Project) map[string]bool {
	known := map[string]bool{}
	for _, s := range p.Services {
		known[s.Name] = true
	}
	for _, name := range p.Known {
		known[name] = true
	}
	return known
}

// remove plans to stop and remove a container and returns the last step.
func (u *upPlan) remove(c *container.Container, after []*step) *step {
	if c.State.Running() || c.State.Status == container.Restarting {
		after = []*step{u.add(&step{action: compose.StopContainer, kind: "Container", name: c.Name, old: c, after: after, timeout: u.req.Timeout})}
	}
	return u.add(&step{action: compose.RemoveContainer, kind: "Container", name: c.Name, old: c, after: after})
}

// service plans the containers of one service.
func (u *upPlan) service(s *compose.Service) error {
	id, ok := u.ids[s.Image]
	if !ok {
		return errs.New(errs.Internal, "image %s of service %s was not resolved", s.Image, s.Name)
	}
	have := u.now.containers[s.Name]
	restart := u.dependencyRestarts(s)
	for n := 1; n <= s.Scale; n++ {
		i := slices.IndexFunc(have, func(c *container.Container) bool { return number(c) == n })
		if i < 0 {
			u.create(s, n, id, nil, nil)
			continue
		}
		c := have[i]
		have = slices.Delete(slices.Clone(have), i, i+1)
		switch {
		case u.diverged(s, c, id):
			u.create(s, n, id, c, []*step{u.remove(c, nil)})
		case c.State.Running() && !restart:
			u.keep(s, n, c)
		case c.State.Running():
			stop := u.add(&step{action: compose.StopContainer, kind: "Container", name: c.Name, old: c, timeout: u.req.Timeout})
			u.begin(s, n, c, c.Name, []*step{stop})
		default:
			u.begin(s, n, c, c.Name, nil)
		}
	}
	for _, c := range have {
		u.remove(c, nil)
	}
	return nil
}

func (u *upPlan) diverged(s *compose.Service, c *container.Container, imageID string) bool {
	asked := len(u.req.Services) == 0 || slices.Contains(u.req.Services, s.Name)
	if asked && u.req.ForceRecreate || !asked && u.req.RecreateDeps {
		return true
	}
	if u.req.NoRecreate {
		return false
	}
	return c.Config.Labels[compose.LabelConfigHash] != s.Hash || c.Image != imageID
}

// dependencyRestarts says whether a dependency with `restart: true` is replaced.
func (u *upPlan) dependencyRestarts(s *compose.Service) bool {
	for _, d := range s.DependsOn {
		for _, made := range u.made[d.Service] {
			if d.Restart && made.old != nil {
				return true
			}
		}
	}
	return false
}

func (u *upPlan) create(s *compose.Service, n int, imageID string, old *container.Container, after []*step) {
	name := containerName(u.req.Project.Name, s, n)
	after = append(slices.Clone(u.ready), after...)
	// A container that joins another's namespaces names it at its creation.
	for _, other := range joins(s) {
		after = append(after, u.made[other]...)
	}
	c := u.add(&step{
		action: compose.CreateContainer, kind: "Container", name: name, after: after,
		service: s, number: n, imageID: imageID, old: old, fresh: u.req.NewVolumes,
	})
	u.made[s.Name] = append(u.made[s.Name], c)
	u.begin(s, n, nil, name, []*step{c})
}

// begin plans the start, after the conditions of the service's dependencies.
func (u *upPlan) begin(s *compose.Service, n int, old *container.Container, name string, after []*step) {
	if u.req.NoStart {
		return
	}
	for _, d := range s.DependsOn {
		after = append(after, u.conditions(d)...)
	}
	if s.Hold {
		return
	}
	u.start[s.Name] = append(u.start[s.Name], u.add(&step{
		action: compose.StartContainer, kind: "Container", name: name, after: after, service: s, number: n, old: old,
	}))
}

func (u *upPlan) keep(s *compose.Service, n int, c *container.Container) {
	u.start[s.Name] = append(u.start[s.Name], u.add(&step{
		action: compose.Keep, kind: "Container", name: c.Name, service: s, number: n, old: c,
	}))
}

// conditions returns what a dependent's start comes after. Several dependents
// of one service share one wait.
func (u *upPlan) conditions(d compose.Dependency) []*step {
	started := u.start[d.Service]
	if d.Condition == compose.ServiceStarted {
		return started
	}
	var out []*step
	for _, st := range started {
		key := fmt.Sprint(d.Condition, " ", st.name, " ", d.Required)
		if u.waits[key] == nil {
			u.waits[key] = u.add(&step{
				action: waitFor, kind: "Container", name: st.name, condition: d.Condition, optional: !d.Required,
				service: st.service, number: st.number, old: st.old, after: []*step{st},
			})
			if d.Condition == runningOrHealthy {
				u.waits[key].within = time.Duration(u.req.WaitTimeout) * time.Second
			}
		}
		out = append(out, u.waits[key])
	}
	return out
}

// waitForAll is --wait: until everything runs, and is healthy where it can say
// so, and what others wait to be completed is.
func (u *upPlan) waitForAll(services []compose.Service) {
	condition := map[string]string{}
	for _, s := range services {
		for _, d := range s.DependsOn {
			if d.Condition == compose.ServiceCompleted {
				condition[d.Service] = d.Condition
			}
		}
	}
	for _, s := range services {
		u.conditions(compose.Dependency{Service: s.Name, Condition: cmp.Or(condition[s.Name], runningOrHealthy), Required: true})
	}
}

// joins lists the services whose namespaces or volumes a service asks to share.
func joins(s *compose.Service) []string {
	var out []string
	for _, mode := range []string{s.Create.HostConfig.NetworkMode, s.Create.HostConfig.IpcMode, s.Create.HostConfig.PidMode} {
		if name, ok := strings.CutPrefix(mode, "service:"); ok {
			out = append(out, name)
		}
	}
	for _, from := range s.Create.HostConfig.VolumesFrom {
		if name, _, _ := strings.Cut(from, ":"); name != "container" {
			out = append(out, name)
		}
	}
	return out
}

func containerName(project string, s *compose.Service, n int) string {
	if s.ContainerName != "" {
		return s.ContainerName
	}
	return project + "-" + s.Name + "-" + strconv.Itoa(n)
}
