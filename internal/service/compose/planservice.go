package compose

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"lus/internal/base/errs"
	"lus/internal/model/compose"
	"lus/internal/model/container"
)

// service plans the containers of one service.
func (u *upPlan) service(s *compose.Service) error {
	id, ok := u.ids[s.Image]
	if !ok {
		return errs.New(errs.Internal, "image %s of service %s was not resolved", s.Image, s.Name)
	}
	stay, surplus := u.choose(s, id)
	next := 1
	for _, c := range u.now.containers[s.Name] {
		next = max(next, number(c)+1)
	}
	if s.Scale > 0 {
		u.first[s.Name] = firstID(stay)
	}
	restart := u.dependencyRestarts(s)
	u.serving = len(s.PreStart) > 0 && !restart && serves(stay)
	var replaced []replica
	var before []*step
	for _, r := range stay {
		var gone []*step
		for _, o := range r.others {
			gone = append(gone, u.remove(o, nil))
		}
		n, c := r.number, r.old
		if len(r.reasons) > 0 {
			replaced, before = append(replaced, r.replica), append(before, gone...)
			continue
		}
		named := u.named(s, n, c, append(u.connect(s, c), gone...))
		switch {
		case c.State.Running() && restart:
			stop := u.add(&step{action: compose.StopContainer, kind: "Container", name: c.Name, old: c, after: named, timeout: u.req.Timeout})
			u.begin(s, n, c, c.Name, []*step{stop})
		case c.State.Status == container.Paused:
			u.paused = append(u.paused, c.Name)
		case c.State.Running():
			u.keep(s, n, c)
		default:
			u.begin(s, n, c, containerName(u.req.Project.Name, s, n), named)
		}
	}
	for i := range s.Scale - len(stay) {
		u.create(s, next+i, id)
	}
	if u.rolling(s, replaced) {
		u.update(s, id, replaced, before)
	} else {
		for _, r := range replaced {
			u.replace(s, r.number, id, r.old, r.reasons, before)
		}
	}
	for _, c := range surplus {
		delete(u.known, numbered(s.Name, number(c)))
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

// named gives the container its name, where a replacement that was cut short
// had not come so far.
func (u *upPlan) named(s *compose.Service, n int, c *container.Container, after []*step) []*step {
	name := containerName(u.req.Project.Name, s, n)
	if c.Name == name || !strings.HasSuffix(c.Name, "_"+name) {
		return after
	}
	return []*step{u.add(&step{action: renameContainer, kind: "Container", name: name, service: s, number: n, old: c, after: after, part: true})}
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
