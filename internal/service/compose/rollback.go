package compose

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"lus/internal/base/errs"
	"lus/internal/base/filesum"
	"lus/internal/model/compose"
)

// Rollback brings a project back to the state of a former deployment: the same
// images and the same config. Volumes are left as they are.
func (s *Service) Rollback(ctx context.Context, req *compose.RollbackRequest, tell Tell) error {
	d, err := s.history.Get(ctx, req.ID)
	if err != nil {
		return err
	}
	if lost := notKept(d.Config); len(lost) > 0 {
		return errs.New(errs.Unsupported, "deployment %d cannot be gone back to: the values of %s are not kept; check out its commit (%s) and run `lus compose up`", d.ID, strings.Join(lost, ", "), shortCommit(d.Source))
	}
	tell = serial(tell)
	free, err := s.projects.take(ctx, d.Project, holderOf("deploy rollback", req.By), tell)
	if err != nil {
		return err
	}
	defer free()
	if err := s.restoreImages(ctx, d, req.DryRun, tell); err != nil {
		return err
	}
	for _, w := range changedFiles(d) {
		tell(compose.Event{Warning: w})
	}
	up := &compose.UpRequest{
		Project: d.Config, Services: d.Services, NoBuild: true, RemoveOrphans: len(d.Services) == 0,
		Timeout: req.Timeout, DryRun: req.DryRun, By: req.By, RollbackTo: d.ID,
	}
	pinned := map[string]string{}
	for ref, pin := range d.Images {
		pinned[ref] = pin.ID
	}
	return s.up(ctx, up, pinned, tell)
}

// restoreImages gives the names back to the images that had them. All that is
// missing is told at once, and nothing is changed then.
func (s *Service) restoreImages(ctx context.Context, d *compose.Deployment, dry bool, tell Tell) error {
	var missing []string
	move := map[string]string{}
	for _, ref := range slices.Sorted(maps.Keys(d.Images)) {
		pin := d.Images[ref]
		if have, err := s.Images.InspectImage(ctx, ref); err == nil && have.ID == pin.ID {
			continue
		}
		if _, err := s.Images.InspectImage(ctx, pin.ID); err != nil {
			if !errs.Is(err, errs.NotFound) {
				return err
			}
			if dry || !s.fetch(ctx, pin) {
				missing = append(missing, lost(ref, pin, d))
				continue
			}
		}
		move[ref] = pin.ID
	}
	if len(missing) > 0 {
		return errs.New(errs.NotFound, "deployment %d cannot be gone back to, its images are gone: %s", d.ID, strings.Join(missing, "; "))
	}
	for _, ref := range slices.Sorted(maps.Keys(move)) {
		if dry {
			tell(compose.Event{Plan: signRun + " tag image " + ref + " -> " + shortID(move[ref])})
			continue
		}
		if err := s.Images.TagImage(ctx, move[ref], ref); err != nil {
			return err
		}
	}
	return nil
}

// fetch gets an image from where it came from, by its digest.
func (s *Service) fetch(ctx context.Context, pin compose.Pin) bool {
	for _, digest := range pin.Digests {
		if s.Images.PullImage(ctx, digest, "", nil, nil) != nil {
			continue
		}
		if _, err := s.Images.InspectImage(ctx, pin.ID); err == nil {
			return true
		}
	}
	return false
}

func lost(ref string, pin compose.Pin, d *compose.Deployment) string {
	hint := "build it again"
	if len(pin.Digests) > 0 {
		hint = "pull " + pin.Digests[0]
	}
	if d.Source != nil && d.Source.Commit != "" {
		hint += ", from commit " + shortCommit(d.Source)
	}
	return fmt.Sprintf("%s (%s): %s", ref, shortID(pin.ID), hint)
}

// notKept are the secrets that a service got by value: from a variable, or with
// an owner of its own.
func notKept(p *compose.Project) []string {
	var out []string
	for _, s := range p.Services {
		files := slices.Clone(s.Files)
		for _, h := range s.PreStart {
			files = append(files, h.Files...)
		}
		for _, f := range files {
			if f.Sum != "" && !slices.Contains(out, f.Key) {
				out = append(out, f.Key)
			}
		}
	}
	return out
}

// changedFiles tells of configs and secrets that are files of the host and
// contain something else by now: they are not ours to write.
func changedFiles(d *compose.Deployment) []string {
	var out []string
	seen := map[string]bool{}
	for _, s := range d.Config.Services {
		contents := slices.Clone(s.Contents)
		for _, h := range s.PreStart {
			contents = append(contents, h.Contents...)
		}
		for _, f := range contents {
			if seen[f.Path] {
				continue
			}
			seen[f.Path] = true
			if filesum.Of(f.Path, compose.MaxFile) == f.Sum {
				continue
			}
			w := fmt.Sprintf("%s: %s has other contents than in deployment %d; the services get what it contains now", f.Key, f.Path, d.ID)
			if d.Source != nil && d.Source.Commit != "" {
				w += ": to get the former, check out commit " + shortCommit(d.Source)
			}
			out = append(out, w)
		}
	}
	return out
}
