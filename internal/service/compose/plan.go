package compose

import (
	"fmt"
	"slices"
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
	first   map[string]string  // by service: its first container's id; empty: still to be made
	paused  []string           // containers that should run
	hooked  map[string][]*step // by service: its first hooks, after which all its containers start
	serving bool               // the service that is planned has a container that goes on
}

// former finds a service as it was when it had that sum; nil where nobody knows.
type former = func(service, hash string) *compose.Service

// planUp compares what is with what is asked.
func planUp(req *compose.UpRequest, services []compose.Service, ids map[string]string, now *observed, was former) (*plan, error) {
	u := &upPlan{
		plan: &plan{known: now.ids()}, req: req, now: now, ids: ids, was: was,
		made: map[string][]*step{}, start: map[string][]*step{}, waits: map[string]*step{}, first: map[string]string{}, hooked: map[string][]*step{},
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
	if err := pausedError(u.paused); err != nil {
		return nil, err
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
