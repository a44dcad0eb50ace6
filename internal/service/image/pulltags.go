package image

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/distribution/reference"

	"lus/internal/base/errs"
	"lus/internal/model/image"
)

// maxTags is how many tags of a repository are pulled together.
const maxTags = 10_000

// PullTags brings every tag that the repository has at its registry.
func (s *Service) PullTags(ctx context.Context, repository, platform string, auth *image.Auth, progress func(image.Progress)) error {
	named, err := reference.ParseNormalizedNamed(repository)
	if err != nil || !reference.IsNameOnly(named) {
		return errs.New(errs.Invalid, "invalid reference format: %q is not the name of a repository", repository)
	}
	tags, err := s.tags(ctx, named, auth)
	if err != nil {
		return pullError(named, auth, err)
	}
	for _, tag := range tags {
		tagged, err := reference.WithTag(named, tag)
		if err != nil {
			return errs.New(errs.Invalid, "the registry names a tag %q: %w", tag, err)
		}
		if err := s.PullImage(ctx, tagged.String(), platform, auth, progress); err != nil {
			return err
		}
	}
	return nil
}

// tags lists the tags of a repository, from the first place that answers.
func (s *Service) tags(ctx context.Context, named reference.Named, auth *image.Auth) ([]string, error) {
	hosts, err := s.registries.resolver(reference.Domain(named), auth).Hosts(reference.Domain(named))
	if err != nil {
		return nil, err
	}
	ctx = docker.WithScope(ctx, "repository:"+reference.Path(named)+":pull")
	var list []string
	for _, at := range hosts {
		if list, err = listTags(ctx, at, reference.Path(named)); err == nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, errs.New(errs.NotFound, "manifest for %s not found: the registry %s has no tag in it", reference.FamiliarName(named), reference.Domain(named))
	}
	return list, nil
}

// listTags reads the list page by page.
func listTags(ctx context.Context, at docker.RegistryHost, repository string) ([]string, error) {
	page := &url.URL{Scheme: at.Scheme, Host: at.Host, Path: at.Path + "/" + repository + "/tags/list", RawQuery: "n=1000"}
	var all []string
	for page != nil {
		resp, err := get(ctx, at, page.String())
		if err != nil {
			return nil, err
		}
		var body struct{ Tags []string }
		err = json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&body)
		resp.Body.Close()
		if err != nil {
			return nil, errs.New(errs.Unavailable, "the registry's list of tags of %s is not valid: %w", repository, err)
		}
		all = append(all, body.Tags...)
		if len(all) > maxTags {
			return nil, errs.New(errs.Unsupported, "%s has more than %d tags: pull those you need one by one", repository, maxTags)
		}
		next := nextPage(page, resp.Header.Get("Link"))
		if next != nil && (len(body.Tags) == 0 || next.Host != page.Host || next.Scheme != page.Scheme) {
			return nil, errs.New(errs.Unavailable, "the registry's list of tags of %s leads to %s: tell its owner", repository, next)
		}
		page = next
	}
	return all, nil
}

// nextPage is where a Link header says that the list goes on; nil at its end.
func nextPage(page *url.URL, link string) *url.URL {
	target, rest, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(link), "<"), ">")
	if !ok || !strings.Contains(rest, `rel="next"`) {
		return nil
	}
	next, err := page.Parse(target)
	if err != nil {
		return nil
	}
	return next
}

// get asks a registry with what its authorizer has, again after a challenge.
func get(ctx context.Context, at docker.RegistryHost, address string) (*http.Response, error) {
	for try := 1; ; try++ {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return nil, err
		}
		r.Header = at.Header.Clone()
		if at.Authorizer != nil {
			if err := at.Authorizer.Authorize(ctx, r); err != nil {
				return nil, err
			}
		}
		resp, err := at.Client.Do(r)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode == http.StatusOK {
			return resp, nil
		}
		err = remoteerrors.NewUnexpectedStatusErr(resp)
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized || at.Authorizer == nil || try == 2 {
			return nil, err
		}
		if aerr := at.Authorizer.AddResponses(ctx, []*http.Response{resp}); aerr != nil {
			return nil, err
		}
	}
}
