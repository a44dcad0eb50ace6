package compose

import (
	"context"

	"lus/internal/model/compose"
)

// Build builds the images of a project's services.
func (s *Service) Build(ctx context.Context, req *compose.BuildRequest, tell Tell) error {
	if err := check(req.Project); err != nil {
		return err
	}
	tell = serial(tell)
	services, err := selected(req.Project, req.Services)
	if err != nil {
		return err
	}
	if req.Check {
		return s.checkBuilds(ctx, services, tell)
	}
	p := &plan{}
	builds := builds{project: req.Project, plan: p, step: func(svc *compose.Service) (*step, error) {
		if svc.Build == nil {
			return nil, nil
		}
		b := forUser(svc.Build, req.Project)
		b.NoCache = b.NoCache || req.NoCache
		b.Pull = b.Pull || req.Pull
		return &step{action: compose.BuildImage, kind: "Image", name: svc.Image, build: b}, nil
	}}
	for i := range services {
		if _, err := builds.of(&services[i]); err != nil {
			return err
		}
	}
	if req.DryRun {
		p.print(tell)
		return nil
	}
	return s.run(ctx, req.Project, p, tell)
}

// Pull pulls the images of a project's services. One that is built here is pulled
// only where it has a name of its own, and is no failure where nobody has it.
func (s *Service) Pull(ctx context.Context, req *compose.PullRequest, tell Tell) error {
	if err := check(req.Project); err != nil {
		return err
	}
	tell = serial(tell)
	services, err := selected(req.Project, req.Services)
	if err != nil {
		return err
	}
	p, planned := &plan{}, map[string]bool{}
	for i := range services {
		svc := &services[i]
		if planned[svc.Image] || svc.Build != nil && (req.IgnoreBuildable || svc.Image == req.Project.Name+"-"+svc.Name) {
			continue
		}
		if req.Missing {
			if _, err := s.Images.InspectImage(ctx, svc.Image); err == nil {
				tell(compose.Event{Kind: "Image", Name: svc.Image, Status: "Skipped Image is already present locally", Done: true})
				continue
			}
		}
		planned[svc.Image] = true
		p.add(&step{action: compose.PullImage, kind: "Image", name: svc.Image, service: svc, quiet: req.Quiet, optional: req.IgnoreFailures || svc.Build != nil})
	}
	for i := range services {
		for _, other := range others(req.Project, &services[i]) {
			ref := other.Image
			if !planned[ref] && other.Build == nil {
				if _, err := s.Images.InspectImage(ctx, ref); req.Missing && err == nil {
					continue
				}
				planned[ref] = true
				p.add(&step{action: compose.PullImage, kind: "Image", name: ref, service: other, quiet: req.Quiet, optional: req.IgnoreFailures})
			}
		}
	}
	if req.DryRun {
		p.print(tell)
		return nil
	}
	return s.run(ctx, req.Project, p, tell)
}
