package image

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"

	"lus/internal/base/errs"
	"lus/internal/model/image"
	store "lus/internal/store/content"
)

// TagImage gives an image one more name. An image that had the name before
// stays, without it.
func (s *Service) TagImage(ctx context.Context, ref, target string) error {
	to, err := parseTarget(target)
	if err != nil {
		return err
	}
	n, err := s.current(ctx)
	if err != nil {
		return err
	}
	id, err := n.find(ref)
	if err != nil {
		return err
	}
	row := n.row(ref, id)
	labels := map[string]string{}
	for k, v := range row.Labels {
		labels[k] = v
	}
	labels[store.LabelConfig] = id
	if d := labels[store.LabelRepoDigest]; d == "" || !sameRepository(d, to) {
		delete(labels, store.LabelRepoDigest)
		if d := n.digestIn(id, to); d != "" {
			labels[store.LabelRepoDigest] = d
		}
	}
	err = s.store.SetName(ctx, images.Image{Name: to.String(), Target: row.Target, Labels: labels})
	if errdefs.IsNotFound(err) {
		return noSuchImage(ref)
	}
	if err != nil {
		return fmt.Errorf("tag %s as %s: %w", ref, target, err)
	}
	i, err := s.byID(ctx, id)
	if err != nil {
		return err
	}
	s.tell("tag", id, reference.FamiliarString(to), i.Config.Labels)
	return nil
}

// row is the name of an image that ref is, or else the first it has.
func (n *names) row(ref, id string) images.Image {
	if named, err := parse(ref); err == nil && n.idByName[named.String()] == id {
		if row, ok := n.byName[named.String()]; ok {
			return row
		}
	}
	return n.byName[n.byID[id][0]]
}

// digestIn is where an image can be had in a repository; empty where that is not
// known.
func (n *names) digestIn(id string, repository reference.Named) string {
	for _, name := range n.byID[id] {
		if d := n.byName[name].Labels[store.LabelRepoDigest]; d != "" && sameRepository(d, repository) {
			return d
		}
	}
	return ""
}

func sameRepository(ref string, named reference.Named) bool {
	other, err := reference.ParseNormalizedNamed(ref)
	return err == nil && other.Name() == named.Name()
}

// RemoveImage takes a name from an image, and removes the image with its last
// one. By id it removes the image with its only name, or with all by force. An
// image that a running container has stays: by force it loses its name alone.
// There are no untagged parents in this store, so prune changes nothing.
func (s *Service) RemoveImage(ctx context.Context, ref string, force, _ bool) ([]image.Removed, error) {
	n, done, err := s.beginRemoval(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	id, err := n.find(ref)
	if err != nil {
		return nil, err
	}
	r := removal{id: id, ref: ref, all: n.byID[id], force: force}
	r.choose(n)
	if err := r.allowed(n); err != nil {
		return nil, err
	}
	if len(r.names) == len(r.all) {
		if err := s.unused(&r); err != nil {
			return nil, err
		}
	}
	return s.remove(ctx, n, r)
}

// beginRemoval waits until nobody else removes images, until done is called, and
// returns the names that there are then.
func (s *Service) beginRemoval(ctx context.Context) (n *names, done func(), err error) {
	done, err = s.busy.Lock(ctx, "remove")
	if err != nil {
		return nil, nil, err
	}
	if n, err = s.current(ctx); err != nil {
		done()
		return nil, nil, err
	}
	return n, done, nil
}

// removal is what one request removes.
type removal struct {
	id, ref string
	byID    bool
	force   bool
	all     []string // the image's names
	names   []string // those to be taken
	keep    bool     // the image stays, without a name
}

// choose says which names the request means.
func (r *removal) choose(n *names) {
	if named, err := parse(r.ref); err == nil {
		if own, ok := n.idByName[named.String()]; ok && own == r.id {
			full := named.String()
			for _, name := range r.all {
				if name == full || n.byName[name].Labels[store.LabelRepoDigest] == full {
					r.names = append(r.names, name)
				}
			}
			r.lastTag(named)
			return
		}
	}
	r.byID, r.names = true, r.all
}

// lastTag adds the digests by which the image was pulled from a repository to the
// last tag that it has there.
func (r *removal) lastTag(tag reference.Named) {
	if !isTag(tag.String()) {
		return
	}
	var left []string
	for _, name := range r.all {
		if slices.Contains(r.names, name) || !sameRepository(name, tag) {
			continue
		}
		if isTag(name) {
			return
		}
		left = append(left, name)
	}
	r.names = append(r.names, left...)
}

// allowed refuses to take several names by an id without force.
func (r *removal) allowed(n *names) error {
	if !r.byID || r.force {
		return nil
	}
	tags, repositories := 0, map[string]bool{}
	for _, name := range r.all {
		named, err := reference.ParseNormalizedNamed(name)
		if err != nil || strings.HasPrefix(name, store.DanglingPrefix) {
			continue
		}
		repositories[named.Name()] = true
		if isTag(name) {
			tags++
		}
	}
	if tags > 1 || len(repositories) > 1 {
		return errs.New(errs.Conflict, "conflict: unable to delete %s (must be forced) - image is referenced in multiple repositories", short(r.id))
	}
	return nil
}

// unused refuses to remove an image that containers need.
func (s *Service) unused(r *removal) error {
	if s.users == nil {
		return nil
	}
	running, stopped := s.users.ContainersUsing(r.id)
	using := slices.Concat(running, stopped)
	switch {
	case len(using) == 0:
		return nil
	case !r.byID && !r.force:
		return errs.New(errs.Conflict, "conflict: unable to remove repository reference %q (must force) - container %s is using its referenced image %s", r.ref, using[0], short(r.id))
	case !r.byID:
		r.keep = len(running) > 0
	case len(running) > 0:
		return errs.New(errs.Conflict, "conflict: unable to delete %s (cannot be forced) - image is being used by running container %s", short(r.id), running[0])
	case !r.force:
		return errs.New(errs.Conflict, "conflict: unable to delete %s (must be forced) - image is being used by stopped container %s", short(r.id), stopped[0])
	}
	return nil
}

// remove takes the names away in one transaction, and the image with them if
// they were all.
func (s *Service) remove(ctx context.Context, n *names, r removal) ([]image.Removed, error) {
	i, err := s.byID(ctx, r.id)
	if err != nil && !errdefs.IsNotFound(err) {
		return nil, err
	}
	if r.names, err = s.take(ctx, n, r.names, r.keep); err != nil {
		return nil, fmt.Errorf("remove %s: %w", r.ref, errors.Join(err, ctx.Err()))
	}
	if len(r.names) == 0 {
		return nil, noSuchImage(r.ref)
	}
	left, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	var labels map[string]string
	if i != nil {
		labels = i.Config.Labels
	}
	removed := []image.Removed{}
	for _, gone := range r.untagged(n) {
		removed = append(removed, image.Removed{Untagged: gone})
		s.tell("untag", r.id, gone, labels)
	}
	if len(left.byID[r.id]) == 0 {
		removed = append(removed, image.Removed{Deleted: r.id})
		s.configs.drop(r.id)
		s.tell("delete", r.id, "", labels)
		if err := s.forgetHold(ctx, r.id); err != nil {
			return removed, err
		}
		s.collect(ctx)
	}
	return removed, nil
}

// take removes names and returns them, but for those that mean another image
// since n was read. With keep their image stays, dangling where it has no other.
func (s *Service) take(ctx context.Context, n *names, names []string, keep bool) (taken []string, err error) {
	err = s.store.Update(ctx, func(ctx context.Context) error {
		for _, name := range names {
			now, err := s.store.ImageStore().Get(ctx, name)
			if errdefs.IsNotFound(err) || err == nil && now.Target.Digest != n.byName[name].Target.Digest {
				continue
			}
			if err == nil {
				err = s.store.ImageStore().Delete(ctx, name)
			}
			if err != nil {
				return err
			}
			taken = append(taken, name)
		}
		if keep && len(taken) > 0 {
			return s.store.KeepDangling(ctx, n.byName[taken[0]])
		}
		return nil
	})
	return taken, err
}

// untagged lists what the removed names were, tags before digests.
func (r *removal) untagged(n *names) []string {
	var tags, digests []string
	for _, name := range r.names {
		if isTag(name) {
			tags = append(tags, familiar(name))
		}
		d := n.byName[name].Labels[store.LabelRepoDigest]
		kept := slices.ContainsFunc(r.all, func(o string) bool {
			return !slices.Contains(r.names, o) && n.byName[o].Labels[store.LabelRepoDigest] == d
		})
		if d != "" && !kept && !slices.Contains(digests, familiar(d)) {
			digests = append(digests, familiar(d))
		}
	}
	return append(tags, digests...)
}
