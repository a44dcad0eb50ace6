package compose

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"lus/internal/base/errs"
	"lus/internal/model/compose"
	"lus/internal/model/container"
	"lus/internal/model/filter"
	"lus/internal/service/compose/internal/history"
	"lus/internal/store/sqlite"
)

// Migrations are the service's tables.
func Migrations() []sqlite.Migration { return history.Migrations() }

// held is how many deployments of each project keep their images from a prune.
const held = 5

// HeldImages are the ids of the images that the last deployments of projects
// need to be gone back to. A project without containers needs none.
func (s *Service) HeldImages(ctx context.Context) (map[string]bool, error) {
	list, err := s.Engine.ListContainers(ctx, container.ListOptions{All: true, Filters: filter.Filters{"label": {compose.LabelProject}}})
	if err != nil {
		return nil, err
	}
	alive := map[string]bool{}
	for _, c := range list {
		alive[c.Config.Labels[compose.LabelProject]] = true
	}
	return s.history.Images(ctx, alive, held)
}

// deployment begins to record what a plan changes; nil where that is nothing
// that lasts.
func (s *Service) deployment(ctx context.Context, req *compose.UpRequest, services []compose.Service, p *plan, of *found) (*compose.Deployment, error) {
	names := req.Services
	if slices.ContainsFunc(services, passing) { // a run: what it depends on may be made or replaced
		if names = lastingNames(services); len(names) == 0 {
			return nil, nil
		}
	}
	stays := p.lasting()
	if !stays.changes() {
		return nil, nil
	}
	d := &compose.Deployment{
		Project: req.Project.Name, At: time.Now(), By: req.By, Services: names, Outcome: compose.Underway,
		Plan: append(of.lines, stays.lines()...), Images: of.pins, Config: kept(req.Project), Rollback: req.RollbackTo,
	}
	return d, s.history.Add(ctx, d)
}

// passing says that a service stands for one container of `compose run`.
func passing(s compose.Service) bool { return s.Create.Labels[compose.LabelOneoff] == "True" }

// lastingNames are the names of the services that are not passing.
func lastingNames(services []compose.Service) []string {
	var out []string
	for _, s := range services {
		if !passing(s) {
			out = append(out, s.Name)
		}
	}
	return out
}

// lasting is a plan without the containers of `compose run`.
func (p *plan) lasting() *plan {
	return &plan{steps: slices.DeleteFunc(slices.Clone(p.steps), func(s *step) bool { return s.service != nil && passing(*s.service) })}
}

// changes tells whether a plan makes, replaces or removes anything: what only
// starts and stops is no deployment.
func (p *plan) changes() bool {
	for _, s := range p.steps {
		switch s.action {
		case compose.Keep, waitFor, confirmAll, renameContainer, updated, compose.StartContainer, compose.StopContainer:
		default:
			return true
		}
	}
	return false
}

// kept is what is kept of a project: all but the credentials of registries, and
// the secrets of builds and services.
func kept(p *compose.Project) *compose.Project {
	out := *p
	out.Auth = nil
	out.Services = slices.DeleteFunc(slices.Clone(p.Services), passing)
	out.Bases = nil // what is gone back to is not built
	for i, s := range out.Services {
		if s.Build != nil {
			b := *s.Build
			b.Secrets, b.SSH, b.Auth = nil, nil, nil
			s.Build = &b
		}
		s.Files = withoutSecrets(s.Files)
		s.PreStart = slices.Clone(s.PreStart)
		for k := range s.PreStart {
			s.PreStart[k].Files = withoutSecrets(s.PreStart[k].Files)
		}
		out.Services[i] = s
	}
	return &out
}

func withoutSecrets(files []compose.File) []compose.File {
	files = slices.Clone(files)
	for k := range files {
		if f := &files[k]; strings.HasPrefix(f.Key, "secrets.") {
			f.Sum, f.Data = fileSum(*f), nil
		}
	}
	return files
}

// fileSum is the sum over what a file that is put into a container contains.
func fileSum(f compose.File) string {
	if f.Sum != "" {
		return f.Sum
	}
	sum := sha256.Sum256(f.Data)
	return hex.EncodeToString(sum[:])
}

// ended records how a deployment ended.
func (s *Service) ended(ctx context.Context, d *compose.Deployment, err error) {
	if d == nil {
		return
	}
	d.Took = time.Since(d.At)
	var back *rolledBack
	switch {
	case err == nil:
		d.Outcome = compose.Succeeded
	case errors.As(err, &back):
		d.Outcome, d.Error = compose.RolledBack, err.Error()
	case errors.Is(err, context.Canceled):
		d.Outcome, d.Error = compose.Interrupted, "whoever asked went away"
	default:
		d.Outcome, d.Error = compose.Failed, err.Error()
	}
	if err := s.history.Change(context.WithoutCancel(ctx), d.ID, func(now *compose.Deployment) {
		now.Took, now.Outcome, now.Error = d.Took, d.Outcome, d.Error
	}); err != nil {
		s.Log.Warn("recording how a deployment ended", "deployment", d.ID, "err", err)
	}
}

// rolledBack is the error of an update that failed and was taken back.
type rolledBack struct{ err error }

func (r *rolledBack) Error() string { return r.err.Error() + "; what was before runs again" }
func (r *rolledBack) Unwrap() error { return r.err }

// Deployments lists what changed a project, or all where it is empty, newest
// first.
func (s *Service) Deployments(ctx context.Context, project string) ([]*compose.Deployment, error) {
	return s.history.List(ctx, project)
}

// Deployment returns one of them whole.
func (s *Service) Deployment(ctx context.Context, id int64) (*compose.Deployment, error) {
	return s.history.Get(ctx, id)
}

// Describe keeps the state of the repository that a deployment was made from.
func (s *Service) Describe(ctx context.Context, id int64, src *compose.Source) error {
	if len(src.Dirty) > compose.MaxDirty {
		src.Dirty = src.Dirty[:compose.MaxDirty]
	}
	return s.history.Change(ctx, id, func(d *compose.Deployment) { d.Source = src })
}

// Diff tells what differs from one deployment to another; with to 0, what the
// deployment from changed.
func (s *Service) Diff(ctx context.Context, from, to int64) (*compose.Difference, error) {
	if to == 0 {
		d, err := s.history.Get(ctx, from)
		if err != nil {
			return nil, err
		}
		before, err := s.history.Before(ctx, d.Project, from)
		if err != nil {
			return nil, err
		}
		if before == nil {
			before = &compose.Deployment{Config: &compose.Project{}}
		}
		return &compose.Difference{From: before.ID, To: d.ID, Lines: between(before, d)}, nil
	}
	a, err := s.history.Get(ctx, from)
	if err != nil {
		return nil, err
	}
	b, err := s.history.Get(ctx, to)
	if err != nil {
		return nil, err
	}
	if a.Project != b.Project {
		return nil, errs.New(errs.Invalid, "deployment %d is of project %s, and %d of %s: compare those of one project", from, a.Project, to, b.Project)
	}
	return &compose.Difference{From: from, To: to, Lines: between(a, b)}, nil
}
