package compose

import (
	"cmp"
	"context"
	"io"
	"slices"
	"strings"

	"lus/internal/base/errs"
	"lus/internal/model/build"
	"lus/internal/model/compose"
	"lus/internal/model/image"
)

// found is what the images of an up are.
type found struct {
	ids   map[string]string      // by reference; empty: to be built or pulled
	pins  map[string]compose.Pin // by reference
	lines []string               // what was done for them, as a plan prints it
}

// images sees to it that every service's image is there, and returns their ids
// by reference. Whether a container must be replaced depends on them, so this
// comes before the plan.
func (s *Service) images(ctx context.Context, req *compose.UpRequest, services []compose.Service, pinned map[string]string, tell Tell) (*found, error) {
	p := &plan{}
	planned := map[string]bool{}
	inspect := s.inspectOnce(ctx)
	builds := builds{project: req.Project, plan: p, step: func(svc *compose.Service) (*step, error) { return imageStep(req, svc, inspect, tell) }}
	for i := range services {
		svc := &services[i]
		if planned[svc.Image] || pinned[svc.Image] != "" {
			continue
		}
		st, err := builds.of(svc)
		if err != nil {
			return nil, err
		}
		planned[svc.Image] = st != nil
	}
	for i := range services {
		for _, other := range others(req.Project, &services[i]) {
			ref := other.Image
			if _, ok := planned[ref]; ok || pinned[ref] != "" {
				continue
			}
			st, err := builds.of(other)
			if err != nil {
				return nil, err
			}
			planned[ref] = st != nil
		}
	}
	if req.DryRun {
		p.print(tell)
	} else if err := s.run(ctx, req.Project, p, tell); err != nil {
		return nil, err
	}
	f := &found{ids: map[string]string{}, pins: map[string]compose.Pin{}, lines: p.lines()}
	for i := range services {
		refs := []string{services[i].Image}
		for _, other := range others(req.Project, &services[i]) {
			refs = append(refs, other.Image)
		}
		for _, ref := range refs {
			if _, ok := f.ids[ref]; ok {
				continue
			}
			img, err := s.Images.InspectImage(ctx, cmp.Or(pinned[ref], ref))
			switch {
			case req.DryRun && (errs.Is(err, errs.NotFound) || planned[ref]):
				f.ids[ref] = "" // to be built or pulled
			case err == nil:
				f.ids[ref] = img.ID
				f.pins[ref] = compose.Pin{ID: img.ID, Digests: img.RepoDigests}
			default:
				return nil, err
			}
		}
	}
	return f, nil
}

// others are the images that a service needs beside its own, each with who makes
// it: those whose files it mounts, and those of its hooks.
func others(p *compose.Project, svc *compose.Service) []*compose.Service {
	var out []*compose.Service
	for _, m := range svc.Create.HostConfig.Mounts {
		if m.Type == "image" {
			out = append(out, maker(p, m.Source))
		}
	}
	for _, h := range svc.PreStart {
		of := maker(p, h.Image)
		if of.Build == nil {
			of.Platform, of.PullPolicy, of.RefreshAfter = h.Platform, h.PullPolicy, h.RefreshAfter
		}
		out = append(out, of)
		for _, m := range h.Create.HostConfig.Mounts {
			if m.Type == "image" {
				out = append(out, maker(p, m.Source))
			}
		}
	}
	return out
}

// maker is the service that an image is built for, or one that only pulls it.
func maker(p *compose.Project, ref string) *compose.Service {
	for _, list := range [][]compose.Service{p.Services, p.Bases} {
		for i := range list {
			if list[i].Image == ref && list[i].Build != nil {
				return &list[i]
			}
		}
	}
	return &compose.Service{Name: "image " + ref, Image: ref}
}

// inspectOnce inspects each image once, however many services have it.
func (s *Service) inspectOnce(ctx context.Context) func(ref string) (*image.Image, error) {
	type answer struct {
		img *image.Image
		err error
	}
	known := map[string]answer{}
	return func(ref string) (*image.Image, error) {
		a, ok := known[ref]
		if !ok {
			a.img, a.err = s.Images.InspectImage(ctx, ref)
			known[ref] = a
		}
		return a.img, a.err
	}
}

// builds plans the making of images, those that others are built from first.
type builds struct {
	project *compose.Project
	plan    *plan
	// step is what has to be done for a service's image; nil where nothing has.
	step func(*compose.Service) (*step, error)
	made map[string]*step // by service; nil: nothing has to be done
	open []string         // services that are being planned
}

// of plans a service's image and returns the last step to it, or nil.
func (b *builds) of(svc *compose.Service) (*step, error) {
	if st, ok := b.made[svc.Name]; ok {
		return st, nil
	}
	if slices.Contains(b.open, svc.Name) {
		return nil, errs.New(errs.Invalid, "the image of service %s is built from itself", svc.Name)
	}
	b.open = append(b.open, svc.Name)
	defer func() { b.open = b.open[:len(b.open)-1] }()
	st, err := b.step(svc)
	if err != nil {
		return nil, err
	}
	if st != nil && st.build != nil {
		for _, name := range svc.BuildFrom {
			base := serviceOf(b.project, name)
			if base == nil {
				return nil, errs.New(errs.Invalid, "service %s is built from undefined service %q", svc.Name, name)
			}
			before, err := b.of(base)
			if err != nil {
				return nil, err
			}
			if before != nil {
				st.after = append(st.after, before)
			}
		}
	}
	if b.made == nil {
		b.made = map[string]*step{}
	}
	b.made[svc.Name] = st
	if st != nil {
		b.plan.add(st)
	}
	return st, nil
}

// serviceOf is a service of a project, or one that only images are built from.
func serviceOf(p *compose.Project, name string) *compose.Service {
	for _, list := range [][]compose.Service{p.Services, p.Bases} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}

// checkBuilds checks the Dockerfiles of services and tells what is found.
func (s *Service) checkBuilds(ctx context.Context, services []compose.Service, tell Tell) error {
	var found []string
	for _, svc := range services {
		if svc.Build == nil {
			continue
		}
		b, code := *svc.Build, 0
		b.Call = "check"
		b.Result = func(r build.Result) {
			code = r.Code
			tell(compose.Event{Text: svc.Name + ": " + strings.TrimSpace(r.Answer) + "\n"})
		}
		if _, err := s.Builder.Build(ctx, &b, io.Discard); err != nil {
			return about("image", svc.Image, err)
		}
		if code != 0 {
			found = append(found, svc.Name)
		}
	}
	if len(found) > 0 {
		return errs.New(errs.Conflict, "the check found something in the Dockerfile of %s", strings.Join(found, ", "))
	}
	return nil
}
