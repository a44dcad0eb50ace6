package compose

import (
	"cmp"
	"context"
	"time"

	"lus/internal/base/errs"
	"lus/internal/model/compose"
)

// images sees to it that every service's image is there, and returns their ids
// by reference. Whether a container must be replaced depends on them, so this
// comes before the plan.
func (s *Service) images(ctx context.Context, req *compose.UpRequest, services []compose.Service, tell Tell) (map[string]string, error) {
	p := &plan{}
	planned := map[string]bool{}
	for i := range services {
		svc := &services[i]
		if planned[svc.Image] {
			continue
		}
		st, err := s.imageStep(ctx, req, svc)
		if err != nil {
			return nil, err
		}
		if st != nil {
			planned[svc.Image] = true
			p.add(st)
		}
	}
	if req.DryRun {
		p.print(tell)
	} else if err := s.run(ctx, req.Project, p, tell); err != nil {
		return nil, err
	}
	ids := map[string]string{}
	for _, svc := range services {
		img, err := s.Images.InspectImage(ctx, svc.Image)
		switch {
		case err == nil:
			ids[svc.Image] = img.ID
		case req.DryRun && errs.Is(err, errs.NotFound):
			ids[svc.Image] = "" // to be built or pulled
		default:
			return nil, err
		}
	}
	return ids, nil
}

// imageStep is what has to be done for a service's image; nil where it is there.
func (s *Service) imageStep(ctx context.Context, req *compose.UpRequest, svc *compose.Service) (*step, error) {
	img, err := s.Images.InspectImage(ctx, svc.Image)
	missing := errs.Is(err, errs.NotFound)
	if err != nil && !missing {
		return nil, err
	}
	build := func() *step {
		b := *svc.Build
		b.Auth = req.Project.Auth
		return &step{action: compose.BuildImage, kind: "Image", name: svc.Image, build: &b, quiet: req.QuietBuild}
	}
	pull := &step{action: compose.PullImage, kind: "Image", name: svc.Image, service: svc, quiet: req.QuietPull}
	policy := cmp.Or(req.Pull, svc.PullPolicy)
	switch {
	case svc.Build != nil && req.NoBuild && missing:
		return nil, errs.New(errs.NotFound, "image %s of service %s is not built: leave out --no-build", svc.Image, svc.Name)
	case svc.Build != nil && !req.NoBuild && (missing || req.Build || policy == "build"):
		return build(), nil
	case svc.Build != nil:
		return nil, nil
	case missing && policy == "never":
		return nil, errs.New(errs.NotFound, "image %s of service %s is not here, and pull_policy is never: pull or import it first", svc.Image, svc.Name)
	case missing || policy == "always" || policy == "refresh" && time.Since(img.LastTagTime) >= svc.RefreshAfter:
		return pull, nil
	}
	return nil, nil
}
