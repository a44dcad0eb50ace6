package compose

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"lus/internal/base/errs"
	"lus/internal/model/compose"
)

// told says, where an up failed, what of the project runs and what does not, and
// why: all on one screen.
func (a *app) told(ctx context.Context, req *compose.UpRequest, failure error) error {
	if failure == nil || errors.Is(failure, context.Canceled) || ctx.Err() != nil || a.progress == "json" {
		return failure
	}
	list, err := a.containers(ctx, req.Project.Name, true)
	if err != nil || len(list) == 0 && len(req.Project.Services) < 2 {
		return failure // the failure alone tells all there is
	}
	t := &telling{a: a, project: req.Project.Name, by: map[string][]summary{}, failure: failure}
	for _, c := range lasting(list) {
		t.by[c.service()] = append(t.by[c.service()], c)
	}
	for _, s := range req.Project.Services {
		t.service(ctx, s)
	}
	if len(t.rows) > 0 {
		fmt.Fprintln(a.Err, "\nWhat runs and what does not:")
		_ = table(a.Err, "SERVICE\tSTATE\tWHY", t.rows)
		for _, line := range t.quotes {
			fmt.Fprintln(a.Err, line)
		}
		fmt.Fprintln(a.Err)
	}
	return failure
}

// telling gathers the lines for each service.
type telling struct {
	a       *app
	project string
	by      map[string][]summary
	failure error
	rows    [][]string
	quotes  []string
}

// maxTold bounds how many services are shown and how much of each is quoted, so
// that it stays one screen.
const (
	maxTold   = 40
	maxQuotes = 3
	maxLines  = 5
)

func (t *telling) service(ctx context.Context, s compose.Service) {
	if len(t.rows) >= maxTold {
		return
	}
	cs := t.by[s.Name]
	if len(cs) == 0 {
		t.rows = append(t.rows, []string{s.Name, "no container", t.missing(ctx, s)})
		return
	}
	for _, c := range cs {
		name := s.Name
		if len(cs) > 1 {
			name = c.name()
		}
		state, why := t.state(ctx, s, c)
		t.rows = append(t.rows, []string{name, state, why})
	}
}

// missing is why a service has no container.
func (t *telling) missing(ctx context.Context, s compose.Service) string {
	if why := t.ownFailure(s); why != "" {
		return why
	}
	if _, err := t.a.inspectImage(ctx, s.Image); errs.Is(err, errs.NotFound) {
		return "there is no image " + s.Image
	}
	return cmp.Or(t.waits(s), "nothing was made after the failure")
}

// ownFailure is what the failure says of one of the service's own containers,
// which comes before what it would have waited for.
func (t *telling) ownFailure(s compose.Service) string {
	rest, of := strings.CutPrefix(t.failure.Error(), "container ")
	name, why, cut := strings.Cut(rest, ": ")
	if !of || !cut {
		return ""
	}
	if s.ContainerName == "" {
		number := name[strings.LastIndexByte(name, '-')+1:]
		s.ContainerName = t.project + "-" + s.Name + "-" + number
	}
	if name != s.ContainerName {
		return ""
	}
	return why
}

// waits names what a service waits for and does not have.
func (t *telling) waits(s compose.Service) string {
	var out []string
	for _, d := range s.DependsOn {
		ready := slices.ContainsFunc(t.by[d.Service], func(c summary) bool {
			switch d.Condition {
			case compose.ServiceHealthy:
				return c.health() == "healthy"
			case compose.ServiceCompleted:
				return c.State == "exited" && c.exitCode() == 0
			}
			return c.State == "running"
		})
		if !ready {
			out = append(out, d.Service+" ("+d.Condition+")")
		}
	}
	if len(out) == 0 {
		return ""
	}
	return "waits for " + strings.Join(out, ", ")
}

func (t *telling) state(ctx context.Context, s compose.Service, c summary) (state, why string) {
	switch {
	case c.State == "created":
		why = cmp.Or(t.waits(s), t.startError(ctx, c))
	case c.health() == "unhealthy" || c.health() == "starting":
		t.quoteHealth(ctx, c)
		return c.State + ", " + c.health(), "its healthcheck fails"
	case c.State == "exited" && c.exitCode() != 0, c.State == "restarting", c.State == "dead":
		t.quoteLog(ctx, c)
		return c.State, fmt.Sprintf("it ended with exit code %d", t.codeOf(ctx, c))
	case c.State == "running" && c.health() == "healthy":
		return "running, healthy", ""
	}
	return c.State, why
}

// told of one container by inspect.
type inspected struct {
	State struct {
		ExitCode int
		Error    string
		Health   *struct {
			FailingStreak int
			Log           []struct {
				ExitCode int
				Output   string
			}
		}
	}
}

func (t *telling) inspect(ctx context.Context, c summary) inspected {
	v, err := get[inspected](ctx, t.a.daemon, "/containers/"+c.ID+"/json")
	if err != nil && !errs.Is(err, errs.NotFound) {
		return inspected{}
	}
	return v
}

func (t *telling) codeOf(ctx context.Context, c summary) int {
	return t.inspect(ctx, c).State.ExitCode
}

func (t *telling) startError(ctx context.Context, c summary) string {
	return cmp.Or(t.inspect(ctx, c).State.Error, "it was not started after the failure")
}

// quoteHealth shows what the last healthcheck printed.
func (t *telling) quoteHealth(ctx context.Context, c summary) {
	h := t.inspect(ctx, c).State.Health
	if h == nil || len(h.Log) == 0 || len(t.quotes) >= maxQuotes*(maxLines+1) {
		return
	}
	last := h.Log[len(h.Log)-1]
	t.quote(fmt.Sprintf("%s: the last of %d failing healthchecks ended with exit code %d:", c.name(), h.FailingStreak, last.ExitCode), last.Output)
}

// quoteLog shows the end of what the container wrote.
func (t *telling) quoteLog(ctx context.Context, c summary) {
	if len(t.quotes) >= maxQuotes*(maxLines+1) {
		return
	}
	var b strings.Builder
	w := &prefixed{out: &shared{w: &b}}
	if _, err := t.a.logsOf(ctx, c.ID, logOptions{tail: fmt.Sprint(maxLines)}, w); err != nil {
		return
	}
	t.quote("`lus logs "+url.PathEscape(c.name())+"` ends with:", b.String())
}

func (t *telling) quote(title, text string) {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(lines) == 1 && lines[0] == "" {
		lines = []string{"(nothing)"}
	}
	t.quotes = append(t.quotes, "", title)
	for _, l := range lines[max(0, len(lines)-maxLines):] {
		t.quotes = append(t.quotes, "  "+strings.ToValidUTF8(l[:min(len(l), 200)], "?"))
	}
}
