package compose

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"lus/internal/base/errs"
	"lus/internal/model/compose"
	"lus/internal/model/container"
)

// chosen is a container that stays, or is replaced by one of its number.
type chosen struct {
	replica
	others []*container.Container // of its number, left by a replacement that was cut short
}

// choose picks the containers of a service that stay and tells the surplus, as
// docker compose does: first those stay that are as they should be, then those
// with low numbers. What is missing gets numbers of its own.
func (u *upPlan) choose(s *compose.Service, imageID string) (stay []chosen, surplus []*container.Container) {
	have := u.now.containers[s.Name] // by number
	for i := 0; i < len(have); {
		n := number(have[i])
		end := i
		for end < len(have) && number(have[end]) == n {
			end++
		}
		c, others := u.pick(s, imageID, have[i:end])
		stay = append(stay, chosen{replica{n, c, u.diverged(s, c, imageID)}, others})
		i = end
	}
	slices.SortStableFunc(stay, func(a, b chosen) int {
		return cmp.Compare(min(len(a.reasons), 1), min(len(b.reasons), 1))
	})
	keep := min(max(s.Scale, 0), len(stay))
	for _, r := range stay[keep:] {
		surplus = append(append(surplus, r.old), r.others...)
	}
	stay = stay[:keep]
	slices.SortFunc(stay, func(a, b chosen) int { return cmp.Compare(a.number, b.number) })
	return stay, surplus
}

// pick chooses one of the containers that have the same number: one that is as
// it should be before one that is not, for a replacement may have been cut short.
func (u *upPlan) pick(s *compose.Service, imageID string, of []*container.Container) (c *container.Container, others []*container.Container) {
	c = of[0]
	for _, o := range of[1:] {
		if u.differs(s, c, imageID) && !u.differs(s, o, imageID) {
			c, o = o, c
		}
		others = append(others, o)
	}
	return c, others
}

// serves says that a container of the service runs and goes on: its hooks have
// been run.
func serves(stay []chosen) bool {
	return slices.ContainsFunc(stay, func(r chosen) bool { return r.old.State.Running() && len(r.reasons) == 0 })
}

// firstID is the id of a service's first container, which others share with;
// empty where that is still to be made.
func firstID(stay []chosen) string {
	if len(stay) == 0 || len(stay[0].reasons) > 0 {
		return ""
	}
	return stay[0].old.ID
}

// elsewhere lists the services with which a container shares by the file, where
// what it shares with is not their first container, or will not be.
func (u *upPlan) elsewhere(s *compose.Service, c *container.Container) []string {
	var with []string
	if h := c.HostConfig; h != nil {
		for _, mode := range []string{h.NetworkMode, h.IpcMode, h.PidMode} {
			with = append(with, strings.TrimPrefix(mode, "container:"))
		}
		for _, from := range h.VolumesFrom {
			id, _, _ := strings.Cut(from, ":")
			with = append(with, id)
		}
	}
	var out []string
	for _, other := range joins(s) {
		first, planned := u.first[other]
		if have := u.now.containers[other]; !planned && len(have) > 0 {
			first = have[0].ID
		}
		if planned && first == "" || with != nil && first != "" && !slices.Contains(with, first) {
			out = append(out, other)
		}
	}
	return out
}

// pausedError is the error for containers that should run and are paused: whoever
// paused them lets them go on.
func pausedError(names []string) error {
	switch len(names) {
	case 0:
		return nil
	case 1:
		return errs.New(errs.Conflict, "container %s is paused and cannot be started: let it go on with `lus compose unpause`", names[0])
	}
	return errs.New(errs.Conflict, "containers %s are paused and cannot be started: let them go on with `lus compose unpause`", strings.Join(names, ", "))
}

// numbered is a service's container by its number.
func numbered(service string, n int) string { return fmt.Sprint(service, "/", n) }
