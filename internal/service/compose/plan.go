package compose

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"lus/internal/base/errs"
	"lus/internal/base/ids"
	"lus/internal/model/build"
	"lus/internal/model/compose"
	"lus/internal/model/container"
	"lus/internal/model/network"
	"lus/internal/model/volume"
)

// waitFor is the one action that is not shown as a change: it holds back a
// dependent until its condition holds.
const waitFor compose.Action = "wait"

// renameContainer gives a container the name of the one it replaces.
const renameContainer compose.Action = "rename"

// updateService replaces several containers of a service, a few at a time;
// updated stands for each of them once that is done.
const (
	updateService compose.Action = "update"
	updated       compose.Action = "updated"
)

// step is one thing to do, and what must be done before.
type step struct {
	action compose.Action
	kind   string // Network, Volume, Image, Container
	name   string // what people call it
	after  []*step
	// reasons tell why a container is replaced, a line each.
	reasons []string
	part    bool // of another step, for which it is not told of

	service   *compose.Service
	number    int
	hook      int // of the service's pre_start
	imageID   string
	old       *container.Container // what is stopped, removed, kept or replaced
	condition string               // wait
	optional  bool                 // wait: go on where the condition cannot hold
	network   *network.Network
	former    *network.Network    // what a network that is made anew was
	leaving   map[string]bool     // containers that need not fit the new network, by id
	endpoint  *container.Endpoint // of a container on a network
	volume    *volume.CreateRequest
	build     *build.Request
	pullFirst bool // a build only of what no registry has
	timeout   *int
	replicas  []replica     // update
	quiet     bool          // of a pull or a build only its end is told
	volumes   bool          // removed with the container: those that nobody named
	fresh     bool          // a container that replaces another takes none of its volumes
	within    time.Duration // a wait's bound; 0: none
}

// replica is a container that an update replaces.
type replica struct {
	number  int
	old     *container.Container
	reasons []string
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

// upPlan gathers what planning one `up` needs.
type upPlan struct {
	*plan
	req   *compose.UpRequest
	now   *observed
	ids   map[string]string // image reference -> id
	was   former
	ready []*step // networks and volumes: before any container
	// renewed are the networks of these that are made anew.
	renewed []*step
	made    map[string][]*step
	start   map[string][]*step // by service: starts, or keeps
	waits   map[string]*step   // by service and condition
	hooked  map[string][]*step // by service: its first hooks, after which all its containers start
	serving bool               // the service that is planned has a container that goes on
}

// former finds a service as it was when it had that sum; nil where nobody knows.
type former = func(service, hash string) *compose.Service

// planUp compares what is with what is asked.
func planUp(req *compose.UpRequest, services []compose.Service, ids map[string]string, now *observed, was former) (*plan, error) {
	u := &upPlan{
		plan: &plan{known: now.ids()}, req: req, now: now, ids: ids, was: was,
		made: map[string][]*step{}, start: map[string][]*step{}, waits: map[string]*step{}, hooked: map[string][]*step{},
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
		u.confirm(u.waits)
	}
	u.leaving()
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
		default:
			u.changed(have, n)
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
		case !v.External:
			if why := mapDifferences("driver_opts", have.Options, v.Volume.DriverOpts); len(why) > 0 {
				u.warnings = append(u.warnings, fmt.Sprintf("volume %s is otherwise in the file (%s) and is kept, for its data; remove it to have it made anew", v.Volume.Name, strings.Join(why, ", ")))
			}
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
		after = []*step{u.add(&step{action: compose.StopContainer, kind: "Container", name: c.Name, old: c, after: after, timeout: u.req.Timeout, part: true})}
	}
	return u.add(&step{action: compose.RemoveContainer, kind: "Container", name: c.Name, old: c, after: after})
}

// service plans the containers of one service.
func (u *upPlan) service(s *compose.Service) error {
	id, ok := u.ids[s.Image]
	if !ok {
		return errs.New(errs.Internal, "image %s of service %s was not resolved", s.Image, s.Name)
	}
	have := slices.Clone(u.now.containers[s.Name])
	restart := u.dependencyRestarts(s)
	u.serving = len(s.PreStart) > 0 && u.serves(s, id, restart)
	var replaced []replica
	var before []*step
	for n := 1; n <= s.Scale; n++ {
		c, others := u.pick(s, n, id, have)
		have = slices.DeleteFunc(have, func(o *container.Container) bool { return number(o) == n })
		// Those that a replacement which was cut short left behind.
		var gone []*step
		for _, o := range others {
			gone = append(gone, u.remove(o, nil))
		}
		if c == nil {
			u.create(s, n, id)
			continue
		}
		if why := u.diverged(s, c, id); len(why) > 0 {
			replaced, before = append(replaced, replica{n, c, why}), append(before, gone...)
			continue
		}
		named := u.named(s, n, c, append(u.connect(s, c), gone...))
		switch {
		case c.State.Running() && !restart:
			u.keep(s, n, c)
		case c.State.Running():
			stop := u.add(&step{action: compose.StopContainer, kind: "Container", name: c.Name, old: c, after: named, timeout: u.req.Timeout})
			u.begin(s, n, c, c.Name, []*step{stop})
		default:
			u.begin(s, n, c, containerName(u.req.Project.Name, s, n), named)
		}
	}
	if u.rolling(s, replaced) {
		u.update(s, id, replaced, before)
	} else {
		for _, r := range replaced {
			u.replace(s, r.number, id, r.old, r.reasons, before)
		}
	}
	for _, c := range have {
		u.remove(c, nil)
	}
	return nil
}

// rolling tells whether containers are replaced a few at a time: there are
// several, or the file says how.
func (u *upPlan) rolling(s *compose.Service, replaced []replica) bool {
	if u.req.NoStart || s.Hold || s.Update == nil && s.Scale < 2 {
		return false
	}
	return slices.ContainsFunc(replaced, func(r replica) bool { return r.old.State.Running() })
}

// update plans the replacement of containers a few at a time.
func (u *upPlan) update(s *compose.Service, imageID string, replaced []replica, after []*step) {
	if s.Update != nil && s.Update.StartFirst && fixedAddress(s) {
		stopFirst := *s.Update
		stopFirst.StartFirst = false
		s.Update = &stopFirst
		u.warnings = append(u.warnings, fmt.Sprintf("service %s has a fixed ipv4_address, so old and new cannot run side by side: it is replaced with order: stop-first", s.Name))
	}
	after = slices.Concat(u.ready, after)
	for _, other := range joins(s) {
		after = append(after, u.made[other]...)
	}
	for _, d := range s.DependsOn {
		after = append(after, u.conditions(d)...)
	}
	after = u.beforeUpdate(s, replaced[0].number, after)
	up := u.add(&step{action: updateService, kind: "Service", name: s.Name, service: s, imageID: imageID, after: after, replicas: replaced, timeout: u.req.Timeout})
	for _, r := range replaced {
		m := u.add(&step{
			action: updated, kind: "Container", name: containerName(u.req.Project.Name, s, r.number),
			service: s, number: r.number, after: []*step{up}, part: true,
		})
		u.start[s.Name] = append(u.start[s.Name], m)
		u.made[s.Name] = append(u.made[s.Name], m)
	}
}

// pick chooses the container that is a service's n-th: one that is as it should
// be before one that is not, for a replacement may have been cut short.
func (u *upPlan) pick(s *compose.Service, n int, imageID string, have []*container.Container) (c *container.Container, others []*container.Container) {
	for _, o := range have {
		switch {
		case number(o) != n:
		case c == nil:
			c = o
		case u.differs(s, c, imageID) && !u.differs(s, o, imageID):
			c, others = o, append(others, c)
		default:
			others = append(others, o)
		}
	}
	return c, others
}

// named gives the container its name, where a replacement that was cut short
// had not come so far.
func (u *upPlan) named(s *compose.Service, n int, c *container.Container, after []*step) []*step {
	name := containerName(u.req.Project.Name, s, n)
	if c.Name == name || !strings.HasSuffix(c.Name, "_"+name) {
		return after
	}
	return []*step{u.add(&step{action: renameContainer, kind: "Container", name: name, service: s, number: n, old: c, after: after, part: true})}
}

func (u *upPlan) differs(s *compose.Service, c *container.Container, imageID string) bool {
	return c.Config.Labels[compose.LabelConfigHash] != s.Hash || c.Image != imageID
}

// diverged tells why a container has to be replaced; empty: it need not.
func (u *upPlan) diverged(s *compose.Service, c *container.Container, imageID string) []string {
	hash := c.Config.Labels[compose.LabelConfigHash]
	asked := len(u.req.Services) == 0 || slices.Contains(u.req.Services, s.Name)
	forced := asked && u.req.ForceRecreate || !asked && u.req.RecreateDeps
	var why []string
	switch {
	case u.req.NoRecreate && !forced:
		return nil
	case hash != s.Hash:
		old := u.was(s.Name, hash)
		for _, d := range differences(old, s) {
			if old != nil && d.key != "scale" && !strings.HasPrefix(d.key, "depends_on.") {
				why = append(why, d.String())
			}
		}
		if old == nil {
			why = append(why, "its configuration changed; what it was is not recorded")
		}
	}
	if c.Image != imageID {
		why = append(why, fmt.Sprintf("image %s: %s -> %s", s.Image, shortID(c.Image), shortID(imageID)))
	}
	for _, m := range c.Mounts {
		ref := imageAt(s, m.Destination)
		if m.Type == "image" && ref != "" && m.Name != u.ids[ref] {
			why = append(why, fmt.Sprintf("image %s at %s: %s -> %s", ref, m.Destination, shortID(m.Name), shortID(u.ids[ref])))
		}
	}
	for _, other := range joins(s) {
		if u.moved(other) {
			why = append(why, "it shares with service "+other+", which is replaced")
		}
	}
	if len(why) == 0 && (hash != s.Hash || forced) {
		why = []string{map[bool]string{true: "forced", false: "its configuration changed"}[forced]}
	}
	return why
}

// imageAt is the image that a service mounts at a place; empty: none.
func imageAt(s *compose.Service, target string) string {
	for _, m := range s.Create.HostConfig.Mounts {
		if m.Type == "image" && m.Target == target {
			return m.Source
		}
	}
	return ""
}

// moved tells whether the first container of a service will be another one.
func (u *upPlan) moved(service string) bool {
	return slices.ContainsFunc(u.made[service], func(s *step) bool { return s.number == 1 })
}

// shortID is an image's id as people read it.
func shortID(id string) string {
	if id == "" {
		return "one that is still to be made"
	}
	return ids.Short(strings.TrimPrefix(id, "sha256:"))
}

// dependencyRestarts says whether a dependency with `restart: true` is replaced.
func (u *upPlan) dependencyRestarts(s *compose.Service) bool {
	for _, d := range s.DependsOn {
		for _, made := range u.made[d.Service] {
			if d.Restart && (made.old != nil || made.action == updated) {
				return true
			}
		}
	}
	return false
}

// create plans a container that is not there.
func (u *upPlan) create(s *compose.Service, n int, imageID string) {
	name := containerName(u.req.Project.Name, s, n)
	c := u.make(s, n, imageID, name, nil)
	u.begin(s, n, nil, name, []*step{c}).as(true)
}

// make plans the creation, after what it needs to be there.
func (u *upPlan) make(s *compose.Service, n int, imageID, name string, after []*step) *step {
	after = slices.Concat(u.ready, after)
	// A container that joins another's namespaces names it at its creation.
	for _, other := range joins(s) {
		after = append(after, u.made[other]...)
	}
	c := u.add(&step{
		action: compose.CreateContainer, kind: "Container", name: name, after: after,
		service: s, number: n, imageID: imageID, fresh: u.req.NewVolumes,
	})
	u.made[s.Name] = append(u.made[s.Name], c)
	return c
}

// replace plans a container in place of another. The new one is made before the
// old one is stopped: what cannot be made harms nothing, and when all is cut
// short in between, anonymous volumes still have an owner.
func (u *upPlan) replace(s *compose.Service, n int, imageID string, old *container.Container, why []string, after []*step) {
	name := containerName(u.req.Project.Name, s, n)
	c := u.make(s, n, imageID, name, after)
	c.old, c.reasons = old, why
	gone := u.remove(old, []*step{c}).as(true)
	renamed := u.add(&step{action: renameContainer, kind: "Container", name: name, service: s, number: n, after: []*step{gone}, part: true})
	u.begin(s, n, nil, name, []*step{renamed}).as(true)
}

// as says whether a step is part of another, which is told of.
func (s *step) as(part bool) *step {
	if s != nil {
		s.part = part
	}
	return s
}

// begin plans the start, after the conditions of the service's dependencies.
func (u *upPlan) begin(s *compose.Service, n int, old *container.Container, name string, after []*step) *step {
	if u.req.NoStart {
		return nil
	}
	for _, d := range s.DependsOn {
		after = append(after, u.conditions(d)...)
	}
	if s.Hold {
		return nil
	}
	st := u.add(&step{
		action: compose.StartContainer, kind: "Container", name: name, after: u.before(s, n, after), service: s, number: n, old: old,
	})
	u.start[s.Name] = append(u.start[s.Name], st)
	return st
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

// fixedAddress tells whether only one container of the service can run.
func fixedAddress(s *compose.Service) bool {
	if s.Create.NetworkingConfig == nil {
		return false
	}
	for _, e := range s.Create.NetworkingConfig.EndpointsConfig {
		if e.IPAMConfig != nil && (e.IPAMConfig.IPv4Address != "" || e.IPAMConfig.IPv6Address != "") {
			return true
		}
	}
	return false
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
