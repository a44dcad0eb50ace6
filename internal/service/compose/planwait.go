package compose

import (
	"cmp"
	"fmt"
	"time"

	"lus/internal/model/compose"
)

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
