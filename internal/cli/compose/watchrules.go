package compose

import (
	"fmt"
	"slices"

	"lus/internal/base/errs"
	"lus/internal/composefile"
	"lus/internal/model/compose"
)

// trigger is one rule of develop.watch, ready to be asked.
type trigger struct {
	composefile.Watch
	match *matcher
}

// triggersOf are the rules of the services, or of those asked for and what they are
// built from. Those that would copy what the service mounts come apart: each copy
// would be a change of the source itself, and so on without end.
func triggersOf(l *composefile.Loaded, services []string) (out []trigger, mounted []composefile.Watch, err error) {
	for _, rule := range l.Watches() {
		asked := func(name string) bool { return slices.Contains(services, name) }
		if len(services) > 0 && !asked(rule.Service) &&
			(rule.Action != composefile.Rebuild || !slices.ContainsFunc(builtFrom(l.Project, rule.Service), asked)) {
			continue
		}
		m, err := newMatcher(rule)
		if err == nil && rule.Action == composefile.Rebuild && rule.Build == nil {
			err = errs.New(errs.Invalid, "action rebuild needs build: in the service")
		}
		if err == nil && rule.Syncs() && rule.Target == "" {
			err = errs.New(errs.Invalid, "action %s needs a target in the container", rule.Action)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("services.%s.develop.watch[%d]: %w", rule.Service, rule.Nth, err)
		}
		if rule.Syncs() && rule.Mounted != "" {
			mounted = append(mounted, rule)
			continue
		}
		out = append(out, trigger{rule, m})
	}
	switch {
	case len(out)+len(mounted) == 0:
		err = errs.New(errs.Invalid, "none of the services has develop.watch: say there what to do when which files change")
	case len(out) == 0:
		err = errs.New(errs.Invalid, "nothing is left to watch: the services mount what develop.watch names, and see each change as it is made")
	}
	return out, mounted, err
}

// builtFrom are the services whose images are built, also by way of others, from the
// image of the one called name.
func builtFrom(p *compose.Project, name string) []string {
	var out []string
	reached := map[string]bool{name: true}
	for more := true; more; {
		more = false
		for _, s := range slices.Concat(p.Services, p.Bases) {
			if reached[s.Name] || !slices.ContainsFunc(s.BuildFrom, func(from string) bool { return reached[from] }) {
				continue
			}
			reached[s.Name], more = true, true
			if runs(p, s.Name) {
				out = append(out, s.Name)
			}
		}
	}
	return out
}

// runs reports whether a service is one that runs, and not only one that others are
// built from.
func runs(p *compose.Project, name string) bool {
	return slices.ContainsFunc(p.Services, func(s compose.Service) bool { return s.Name == name })
}
