package composefile

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"lus/internal/base/errs"
)

// links are, by service, the names by which links: of other services call it.
// They become its names on its networks: a link to db as database makes it
// answer to both. A name that would then mean two services is refused.
func links(p *types.Project) (map[string][]string, *complaint) {
	means := map[string]string{}
	for name, s := range p.Services {
		means[name] = name
		for _, n := range s.Networks {
			if n == nil {
				continue
			}
			for _, a := range n.Aliases {
				means[a] = name
			}
		}
	}
	out := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		for _, link := range p.Services[name].Links {
			target, alias, ok := strings.Cut(link, ":")
			if !ok || alias == target {
				continue
			}
			if other := means[alias]; other != "" && other != target {
				return nil, &complaint{name, errs.New(errs.Invalid, "links: %s: the name %s means service %s already: give the link another name", link, alias, other)}
			}
			means[alias] = target
			if !slices.Contains(out[target], alias) {
				out[target] = append(out[target], alias)
			}
		}
	}
	return out, nil
}

// pullPolicy is when the image is looked for anew, and for refresh how old the
// one at hand may be.
func pullPolicy(s types.ServiceConfig) (string, time.Duration, error) {
	policy, after, err := s.GetPullPolicy()
	if err != nil {
		return "", 0, errs.New(errs.Invalid, "pull_policy: %q: write always, missing, never, build, daily, weekly or every_ and a time, as in every_12h", s.PullPolicy)
	}
	if policy == types.PullPolicyRefresh && s.PullRefreshAfter != "" {
		if after, err = time.ParseDuration(s.PullRefreshAfter); err != nil {
			return "", 0, errs.New(errs.Invalid, "pull_refresh_after: %q is not a duration, as in 12h", s.PullRefreshAfter)
		}
	}
	if s.PullPolicy == "" {
		policy = ""
	}
	return policy, after, nil
}
