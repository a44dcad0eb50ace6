package compose

import (
	"fmt"
	"slices"
	"strings"

	"lus/internal/model/compose"
)

// The signs of a printed plan.
const (
	signAdd     = "+"
	signReplace = "~"
	signRemove  = "-"
	signRun     = ">" // start, build, pull
	signStop    = "."
	signSame    = "="
)

// lines prints a plan like a difference: what is made, replaced (with what
// changed), removed, started and stopped. What stays as it is comes at the end,
// in one line.
func (p *plan) lines() []string {
	var out []string
	same := 0
	for _, s := range p.steps {
		sign, what := s.sign(), strings.ToLower(s.kind)+" "+s.name
		switch {
		case s.action == waitFor || s.part:
			continue
		case s.action == compose.Keep:
			same++
			continue
		case s.action == updateService:
			out = append(out, s.updateLines()...)
			continue
		case sign == signRun || sign == signStop:
			what = string(s.action) + " " + what
		}
		if s.pullFirst {
			what = string(compose.PullImage) + ", or else " + what
		}
		out = append(out, sign+" "+what)
		for _, r := range s.reasons {
			out = append(out, "    "+r)
		}
	}
	if same > 0 {
		out = append(out, fmt.Sprintf("%s %d unchanged", signSame, same))
	}
	return out
}

// updateLines prints the containers that an update replaces, the first one's
// reasons, and how.
func (s *step) updateLines() []string {
	var out []string
	for i, r := range s.replicas {
		out = append(out, signReplace+" container "+r.old.Name)
		if i > 0 && slices.Equal(r.reasons, s.replicas[0].reasons) {
			continue
		}
		for _, why := range r.reasons {
			out = append(out, "    "+why)
		}
	}
	how := policyOf(s.service.Update)
	words := fmt.Sprintf("%d at a time", how.Parallelism)
	if how.Parallelism == 0 {
		words = "all at once"
	}
	if how.StartFirst {
		words += ", the new one first"
	}
	return append(out, "    ("+words+")")
}

func (s *step) sign() string {
	switch s.action {
	case compose.CreateContainer:
		if s.old != nil {
			return signReplace
		}
		return signAdd
	case renewNetwork:
		return signReplace
	case compose.CreateNetwork, compose.CreateVolume:
		return signAdd
	case compose.RemoveContainer, compose.RemoveNetwork, compose.RemoveVolume, compose.RemoveImage:
		return signRemove
	case compose.StopContainer:
		return signStop
	case compose.Keep:
		return signSame
	}
	return signRun
}

func (p *plan) print(tell Tell) {
	for _, line := range p.lines() {
		tell(compose.Event{Plan: line})
	}
}
