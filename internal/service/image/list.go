package image

import (
	"context"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"

	"lus/internal/base/errs"
	"lus/internal/model/filter"
	"lus/internal/model/image"
)

// knownFilters are those of Docker's image list.
func knownFilters() []string {
	return []string{"dangling", "label", "label!", "before", "since", "reference", "until"}
}

// ListImages returns the images, newest first. There are no intermediate
// images in this store, so all changes nothing.
func (s *Service) ListImages(ctx context.Context, _ bool, f filter.Filters) ([]*image.Image, error) {
	n, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	match, err := s.matcher(ctx, n, f)
	if err != nil {
		return nil, err
	}
	list := []*image.Image{}
	for _, id := range n.ids {
		i, err := s.whole(ctx, n, id)
		if err != nil {
			s.log.Warn("an image cannot be read", "image", id, "error", err)
			continue
		}
		if match(i) {
			list = append(list, i)
		}
	}
	slices.SortStableFunc(list, func(a, b *image.Image) int { return b.Created.Compare(a.Created) })
	return list, nil
}

// matcher checks the filters and returns what they say of an image.
func (s *Service) matcher(ctx context.Context, n *names, f filter.Filters) (func(*image.Image) bool, error) {
	for key := range f {
		if !slices.Contains(knownFilters(), key) {
			return nil, errs.New(errs.Invalid, "invalid filter '%s': images can be filtered by %s", key, strings.Join(knownFilters(), ", "))
		}
	}
	dangling, err := truth(f["dangling"])
	if err != nil {
		return nil, err
	}
	before, after, err := s.bounds(ctx, n, f)
	if err != nil {
		return nil, err
	}
	for _, pattern := range f["reference"] {
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, errs.New(errs.Invalid, "invalid reference pattern %q: %w", pattern, err)
		}
	}
	return func(i *image.Image) bool {
		switch {
		case dangling != nil && *dangling && len(i.RepoTags) > 0:
			return false
		case dangling != nil && !*dangling && len(i.RepoTags)+len(i.RepoDigests) == 0:
			return false
		case !before.IsZero() && !i.Created.Before(before):
			return false
		case !after.IsZero() && !i.Created.After(after):
			return false
		}
		return labelsMatch(i.Config.Labels, f) && keepReferences(i, f["reference"])
	}, nil
}

// bounds are the times between which an image must have been made: of several, each
// has to hold.
func (s *Service) bounds(ctx context.Context, n *names, f filter.Filters) (before, after time.Time, err error) {
	for _, ref := range f["before"] {
		i, err := s.made(ctx, n, ref)
		if err != nil {
			return before, after, err
		}
		if before.IsZero() || i.Before(before) {
			before = i
		}
	}
	for _, ref := range f["since"] {
		i, err := s.made(ctx, n, ref)
		if err != nil {
			return before, after, err
		}
		if i.After(after) {
			after = i
		}
	}
	for _, v := range f["until"] {
		until, err := filter.Moment(v, time.Now())
		if err != nil {
			return before, after, err
		}
		if before.IsZero() || until.Before(before) {
			before = until
		}
	}
	return before, after, nil
}

func (s *Service) made(ctx context.Context, n *names, ref string) (time.Time, error) {
	id, err := n.find(ref)
	if err != nil {
		return time.Time{}, err
	}
	i, err := s.byID(ctx, id)
	if err != nil {
		return time.Time{}, err
	}
	return i.Created, nil
}

func truth(values []string) (*bool, error) {
	if len(values) == 0 {
		return nil, nil
	}
	var b bool
	switch values[0] {
	case "1", "true":
		b = true
	case "0", "false":
	default:
		return nil, errs.New(errs.Invalid, "invalid filter 'dangling=%s': it is true or false", values[0])
	}
	return &b, nil
}

// labelsMatch reports whether all labels asked for are there and none that is not wanted.
func labelsMatch(labels map[string]string, f filter.Filters) bool {
	has := func(want string) bool {
		key, value, exact := strings.Cut(want, "=")
		got, ok := labels[key]
		return ok && (!exact || got == value)
	}
	for _, want := range f["label"] {
		if !has(want) {
			return false
		}
	}
	return !slices.ContainsFunc(f["label!"], has)
}

// keepReferences keeps the names of the image that match one of the patterns
// and reports whether one is left. No pattern matches everything.
func keepReferences(i *image.Image, patterns []string) bool {
	if len(patterns) == 0 {
		return true
	}
	other := func(name string) bool {
		return !slices.ContainsFunc(patterns, func(p string) bool { return matchReference(p, name) })
	}
	i.RepoTags = slices.DeleteFunc(i.RepoTags, other)
	i.RepoDigests = slices.DeleteFunc(i.RepoDigests, other)
	return len(i.RepoTags)+len(i.RepoDigests) > 0
}

func matchReference(pattern, name string) bool {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return false
	}
	if ok, err := reference.FamiliarMatch(pattern, named); err == nil && ok {
		return true
	}
	ok, err := path.Match(pattern, reference.FamiliarName(named))
	return err == nil && ok
}
